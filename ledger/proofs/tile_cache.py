"""Tiles kept together with the hashes between their rows, for whoever makes many proofs from one tree.

A proof needs up to eight hashes inside a tile that the tile does not hold; working them out costs 247 hashes,
a tenth of a millisecond. Kept, a proof is a look at one place for each level of the tree. A full tile takes
16 kB here. What a tile holds never changes; one that is too short for the tree asked about is read again.
"""

from collections import OrderedDict

from ledger.proofs import merkle
from ledger.proofs.errors import VerificationError
from ledger.proofs.tiles import HEIGHT, WIDTH, Place, Reader, width

KEEP = 4096  # 64 MB: the lowest tiles of a million leaves


class CachedTiles:
    """Makes proofs from tiles, keeping the ones used last.

    Args:
        read: the stored bytes of a tile by level and number; empty bytes where there is none.
        keep: how many tiles are kept at most.
    """

    def __init__(self, read: Reader, *, keep: int = KEEP) -> None:
        self._read = read
        self._keep = keep
        self._rows: OrderedDict[Place, list[bytes]] = OrderedDict()

    def inclusion_path(self, *, index: int, size: int) -> list[bytes]:
        """The audit path of leaf `index` in the tree of the first `size` leaves."""
        node = self._node(size)
        return [merkle.range_root(start, end, node) for start, end in merkle.inclusion_ranges(index, size)]

    def consistency_proof(self, *, old_size: int, new_size: int) -> list[bytes]:
        """The proof that the first `old_size` leaves are a prefix of the first `new_size`."""
        node = self._node(new_size)
        return [merkle.range_root(start, end, node) for start, end in merkle.consistency_ranges(old_size, new_size)]

    def _node(self, size: int) -> merkle.Node:
        def node(height: int, number: int) -> bytes:
            level, inner = divmod(height, HEIGHT)
            tile, place = divmod(number, WIDTH >> inner)
            row = self._tile(level, tile, size)[inner]
            found = row[place * merkle.HASH_BYTES : (place + 1) * merkle.HASH_BYTES]
            if len(found) != merkle.HASH_BYTES:
                raise VerificationError("TILE_INVALID", "a tile lacks hashes that the log's size promises")
            return found

        return node

    def _tile(self, level: int, index: int, size: int) -> list[bytes]:
        place = (level, index)
        rows = self._rows.get(place)
        if rows is not None and len(rows[0]) >= width(level=level, index=index, size=size) * merkle.HASH_BYTES:
            self._rows.move_to_end(place)
            return rows
        rows = _rows(self._read(level, index))
        self._rows[place] = rows
        if len(self._rows) > self._keep:
            self._rows.popitem(last=False)
        return rows


def _rows(data: bytes) -> list[bytes]:
    """A tile and the perfect subtrees over it, row by row, the tile itself first."""
    rows = [data]
    pair = 2 * merkle.HASH_BYTES
    for _ in range(HEIGHT - 1):
        below = rows[-1]
        halves = range(0, len(below) - pair + 1, pair)
        rows.append(
            b"".join(
                merkle.node_hash(below[at : at + merkle.HASH_BYTES], below[at + merkle.HASH_BYTES : at + pair])
                for at in halves
            )
        )
    return rows
