"""A tree that is grown leaf by leaf and never held whole: for whoever rebuilds a log from its first leaf on.

Memory is one unfinished tile for each level, whatever the number of leaves.
"""

from ledger.proofs import merkle
from ledger.proofs.tiles import HEIGHT, MAX_LEVEL, WIDTH, Place


class GrowingTree:
    """The RFC 6962 tree over the leaves given so far, and its tiles as they fill (C2SP tlog-tiles)."""

    def __init__(self) -> None:
        self.size = 0
        self._stack: list[bytes] = []  # roots of the perfect subtrees, largest first
        self._open: list[bytearray] = []  # the unfinished tile of each level
        self._done: list[int] = []  # how many full tiles each level has

    def append(self, leaf_hash: bytes) -> list[tuple[Place, bytes]]:
        """Add a leaf's hash; returns the tiles that it filled, lowest level first."""
        full: list[tuple[Place, bytes]] = []
        hashed, height = leaf_hash, 0
        while True:
            level, inside = divmod(height, HEIGHT)
            if not inside and level <= MAX_LEVEL:
                full += self._put(level, hashed)
            if not self.size >> height & 1:
                break
            hashed = merkle.node_hash(self._stack.pop(), hashed)
            height += 1
        self._stack.append(hashed)
        self.size += 1
        return full

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._stack:
            return merkle.EMPTY_ROOT
        hashed = self._stack[-1]
        for left in reversed(self._stack[:-1]):
            hashed = merkle.node_hash(left, hashed)
        return hashed

    def rest(self) -> list[tuple[Place, bytes]]:
        """The unfinished tiles at the tree's right edge."""
        return [((level, self._done[level]), bytes(tile)) for level, tile in enumerate(self._open) if tile]

    def _put(self, level: int, hashed: bytes) -> list[tuple[Place, bytes]]:
        if level == len(self._open):
            self._open.append(bytearray())
            self._done.append(0)
        tile = self._open[level]
        tile += hashed
        if len(tile) < WIDTH * merkle.HASH_BYTES:
            return []
        place = (level, self._done[level])
        self._open[level], self._done[level] = bytearray(), self._done[level] + 1
        return [(place, bytes(tile))]
