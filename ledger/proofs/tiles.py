"""The tree cut into tiles of 256 hashes, so that it can be stored, cached and served as files.

Tile (L, N) holds hashes of the perfect subtrees of 256^L leaves, number 256·N onwards. The last tile of
a level may be partial; hashes are only ever added at its end.

Source: C2SP tlog-tiles, https://c2sp.org/tlog-tiles (height 8).
"""

import re
from collections.abc import Callable, Iterable

from ledger.proofs import merkle
from ledger.proofs.errors import VerificationError

HEIGHT = 8
WIDTH = 1 << HEIGHT
MAX_LEVEL = 63 // HEIGHT
MAX_ENTRY_BYTES = 65_535

_LENGTH_BYTES = 2

Place = tuple[int, int]
Reader = Callable[[int, int], bytes]

# Five leading elements reach beyond 2^53; the bound keeps the number short before it is read.
_PATH = re.compile(r"(?P<index>(?:x\d{3}/){0,5}\d{3})(?:\.p/(?P<width>[1-9]\d{0,2}))?", re.ASCII)


def append(*, size: int, leaf_hashes: Iterable[bytes], read: Reader) -> dict[Place, bytes]:
    """Add leaf hashes behind the first `size` leaves; returns every tile that changed, whole.

    Args:
        read: the stored bytes of a tile by level and number; empty bytes where there is none.
    """
    changed: dict[Place, bytearray] = {}
    for offset, value in enumerate(leaf_hashes):
        level, position, hashed = 0, size + offset, value
        while True:
            place = (level, position // WIDTH)
            if place not in changed:
                before = position % WIDTH * merkle.HASH_BYTES
                changed[place] = bytearray(read(*place)[:before] if before else b"")
            tile = changed[place]
            if len(tile) != position % WIDTH * merkle.HASH_BYTES:
                raise VerificationError("TILE_INVALID", "a stored tile is shorter than the log's size says")
            tile += hashed
            if (position + 1) % WIDTH or level == MAX_LEVEL:
                break
            level, position, hashed = level + 1, position // WIDTH, merkle.root(split(bytes(tile)))
    return {place: bytes(tile) for place, tile in changed.items()}


def split(data: bytes) -> list[bytes]:
    """The hashes inside a tile; VerificationError `TILE_INVALID` where one is cut short."""
    if len(data) % merkle.HASH_BYTES:
        raise VerificationError("TILE_INVALID", "a tile is not a whole number of hashes")
    return [data[start : start + merkle.HASH_BYTES] for start in range(0, len(data), merkle.HASH_BYTES)]


def width(*, level: int, index: int, size: int) -> int:
    """How many hashes tile (level, index) has in a log of `size` leaves; 0 where it does not exist."""
    return max(0, min(WIDTH, (size >> HEIGHT * level) - index * WIDTH))


def root(*, size: int, read: Reader) -> bytes:
    """The root of the first `size` leaves."""
    return merkle.range_root(0, size, _node(read))


def inclusion_path(*, index: int, size: int, read: Reader) -> list[bytes]:
    """The audit path of leaf `index` in the tree of the first `size` leaves."""
    node = _node(read)
    return [merkle.range_root(start, end, node) for start, end in merkle.inclusion_ranges(index, size)]


def consistency_proof(*, old_size: int, new_size: int, read: Reader) -> list[bytes]:
    """The proof that the first `old_size` leaves are a prefix of the first `new_size`."""
    node = _node(read)
    return [merkle.range_root(start, end, node) for start, end in merkle.consistency_ranges(old_size, new_size)]


def format_entries(entries: Iterable[bytes]) -> bytes:
    """An entry bundle: each entry behind its length in two bytes, at most 256 of them."""
    found = list(entries)
    if len(found) > WIDTH or any(len(entry) > MAX_ENTRY_BYTES for entry in found):
        raise VerificationError("BUNDLE_INVALID", "a bundle has at most 256 entries of at most 65,535 bytes")
    return b"".join(len(entry).to_bytes(_LENGTH_BYTES) + entry for entry in found)


def parse_entries(data: bytes) -> list[bytes]:
    """The entries of a bundle, in order; VerificationError `BUNDLE_INVALID` for any other bytes."""
    found: list[bytes] = []
    place = 0
    while place < len(data):
        start = place + _LENGTH_BYTES
        end = start + int.from_bytes(data[place:start])
        if start > len(data) or end > len(data) or len(found) == WIDTH:
            raise VerificationError("BUNDLE_INVALID", "a bundle is at most 256 whole entries, each behind its length")
        found.append(data[start:end])
        place = end
    return found


def format_path(index: int, *, width: int | None = None) -> str:
    """The path form of a tile number: 1234067 is `x001/x234/067`, a partial tile adds `.p/W`."""
    digits = [f"{index % 1000:03d}"]
    while index := index // 1000:
        digits.append(f"x{index % 1000:03d}")
    return "/".join(reversed(digits)) + (f".p/{width}" if width and width != WIDTH else "")


def parse_path(path: str) -> tuple[int, int]:
    """The tile number and width that a path names; VerificationError `PATH_INVALID` for any other form."""
    match = _PATH.fullmatch(path)
    index = int(re.sub(r"[x/]", "", match["index"])) if match else 0
    wanted = int(match["width"] or WIDTH) if match else 0
    if not match or wanted > WIDTH or (match["width"] and wanted == WIDTH) or index >= 2**53:
        raise VerificationError("PATH_INVALID", "not the path of a tile")
    if format_path(index, width=wanted if match["width"] else None) != path:
        raise VerificationError("PATH_INVALID", "the path of a tile has only one form")
    return index, wanted


def _node(read: Reader) -> merkle.Node:
    cache: dict[Place, list[bytes]] = {}

    def node(height: int, number: int) -> bytes:
        level, inner = divmod(height, HEIGHT)
        first = number << inner
        place = (level, first // WIDTH)
        if place not in cache:
            cache[place] = split(read(*place))
        start = first % WIDTH
        hashes = cache[place][start : start + (1 << inner)]
        if len(hashes) != 1 << inner:
            raise VerificationError("TILE_INVALID", "a tile lacks hashes that the log's size promises")
        return merkle.root(hashes)

    return node
