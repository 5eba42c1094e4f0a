"""One pass over the leaves of an archive: everything that can only be judged with all of them.

Memory is the tree's unfinished tiles and, for the history of each subject, some hundred bytes.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ledger.archive.layout import MAX_LINE_BYTES, OPENINGS, Manifest, Shard
from ledger.archive.stores import Store
from ledger.proofs import canonical, leaves, merkle, tiles
from ledger.proofs.errors import VerificationError
from ledger.proofs.growing import GrowingTree
from ledger.proofs.tree_heads import Checkpoint

FROZEN, OPENED = "log.frozen", "log.opened"
_OPENING = {"log", "index", "payload", "salt"}


@dataclass(slots=True)
class Walk:
    """What the pass found: the first error of each question, and what other questions need.

    Args:
        wanted: sizes whose roots somebody will ask for, by the log's number.
    """

    wanted: dict[int, set[int]]
    errors: dict[str, VerificationError] = field(default_factory=dict)
    roots: dict[tuple[int, int], bytes] = field(default_factory=dict)
    opened: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    ends: dict[int, tuple[str, str]] = field(default_factory=dict)  # kinds of each log's first and last leaf
    counts: dict[str, int] = field(default_factory=lambda: {"leaves": 0, "openings": 0, "disclosures": 0})
    last: dict[bytes, bytes] = field(default_factory=dict)  # each subject's newest leaf, by a digest of its name

    def fail(self, question: str, error: VerificationError) -> None:
        self.errors.setdefault(question, error)


def walk(store: Store, manifest: Manifest, *, since: Checkpoint | None, anchored: dict[int, set[int]]) -> Walk:
    """Rebuild every log from its leaves and compare what the archive holds with it."""
    wanted = {number: set(sizes) for number, sizes in anchored.items()}
    for shard in manifest.shards:
        sizes = wanted.setdefault(shard.number, set())
        sizes.add(shard.size)
        if since is not None and since.origin == shard.origin:
            sizes.add(since.size)
    found = Walk(wanted)
    openings = {name: _Openings(store, name) for name in manifest.files if name in (OPENINGS, "disclosures.jsonl")}
    is_whole = manifest.shards[0].number == 1
    for shard in manifest.shards:
        _walk_shard(store, shard, found, openings, is_whole=is_whole)
    for name, reader in openings.items():
        if not reader.is_done():
            found.fail(_question(name), _error("OPENING_INVALID", "an opening is of no leaf, or stands out of order"))
    return found


def _walk_shard(store: Store, shard: Shard, found: Walk, openings: "dict[str, _Openings]", *, is_whole: bool) -> None:
    tree = GrowingTree()
    kind = first = ""
    for index, data in _leaves(store, shard, found):
        for place, tile in tree.append(merkle.leaf_hash(data)):
            _compare_tile(store, shard, place, tile, found)
        if tree.size in found.wanted[shard.number]:
            found.roots[shard.number, tree.size] = tree.root()
        try:
            leaf = leaves.parse(data)
        except VerificationError as error:
            found.fail("leaves", error)
            continue
        kind, first = leaf.kind, first or leaf.kind
        _follow(leaf, merkle.leaf_hash(data), found, is_whole=is_whole)
        for name, reader in openings.items():
            _open(reader, shard, index, leaf, found, _question(name))
    for place, tile in tree.rest():
        _compare_tile(store, shard, place, tile, found)
    found.ends[shard.number] = (first, kind)
    found.counts["leaves"] += tree.size
    if tree.size != shard.size:
        found.fail("tree", _error("TREE_DIFFERS", "the archive has fewer leaves than the checkpoint covers"))


def _leaves(store: Store, shard: Shard, found: Walk) -> Iterator[tuple[int, bytes]]:
    for number in shard.bundles():
        try:
            entries = tiles.parse_entries(store.read(shard.entries(number)))
        except VerificationError as error:
            found.fail("tree", error)
            return
        expected = tiles.width(level=0, index=number, size=shard.size)
        if len(entries) != expected:
            found.fail("tree", _error("BUNDLE_INVALID", "an entry bundle has more or fewer leaves than its place"))
            return
        for offset, data in enumerate(entries):
            yield number * tiles.WIDTH + offset, data


def _compare_tile(store: Store, shard: Shard, place: tiles.Place, tile: bytes, found: Walk) -> None:
    try:
        stored = store.read(shard.tile(*place))
    except VerificationError as error:
        found.fail("tree", error)
        return
    if stored != tile:
        found.fail("tree", _error("TREE_DIFFERS", "a tile is not what the leaves make it"))


def _follow(leaf: leaves.Leaf, hashed: bytes, found: Walk, *, is_whole: bool) -> None:
    """`prev` names the subject's leaf before; the first may point outside where earlier logs are not here."""
    subject = hashlib.sha256(leaf.subject.encode()).digest()[:16]
    before = found.last.get(subject)
    found.last[subject] = hashed
    stated = None if leaf.prev is None else bytes.fromhex(leaf.prev)
    if stated != before and (before is not None or is_whole):
        found.fail("history", _error("PREV_DIFFERS", "a leaf does not name the leaf before it of the same subject"))


def _open(reader: "_Openings", shard: Shard, index: int, leaf: leaves.Leaf, found: Walk, question: str) -> None:
    try:
        opening = reader.take(shard.number, index)
        if opening is None:
            return
        payload = canonical.encode(opening["payload"])
        leaves.verify_opening(leaf, payload=payload, salt=bytes.fromhex(opening["salt"]))
    except VerificationError as error:
        found.fail(question, error)
        return
    except (TypeError, ValueError, AttributeError):
        found.fail(question, _error("OPENING_INVALID", "an opening has a salt that is none"))
        return
    found.counts[question] += 1
    if leaf.kind in (FROZEN, OPENED):
        found.opened[shard.number, leaf.kind] = opening["payload"]


class _Openings:
    """A file of openings, read beside the leaves: both are in the order of log and index."""

    def __init__(self, store: Store, name: str) -> None:
        self._lines = lines(store, name)
        self._next: dict[str, Any] | None = None
        self._broken: VerificationError | None = None
        self._advance()

    def take(self, log: int, index: int) -> dict[str, Any] | None:
        """The opening of one leaf; None where the file does not open it."""
        if self._broken is not None:
            error, self._broken = self._broken, None
            raise error
        opening = self._next
        if opening is None or (opening["log"], opening["index"]) != (log, index):
            return None
        self._advance()
        return opening

    def is_done(self) -> bool:
        return self._next is None and self._broken is None

    def _advance(self) -> None:
        self._next = None
        try:
            found = next(self._lines, None)
            if found is not None and set(found) != _OPENING:
                raise _error("OPENING_INVALID", "an opening has the members log, index, payload and salt")
            self._next = found
        except VerificationError as error:
            self._broken = error


def lines(store: Store, name: str) -> Iterator[dict[str, Any]]:
    """The objects of a file with one canonical object on each line.

    Raises:
        VerificationError: `LINE_INVALID`, or what strict JSON raises.
    """
    for line in store.lines(name):
        if not line.endswith(b"\n"):
            raise _error("LINE_INVALID", "a line does not end")
        value = canonical.parse_canonical(line[:-1], max_bytes=MAX_LINE_BYTES)
        if not isinstance(value, dict):
            raise _error("LINE_INVALID", "a line holds no object")
        yield value


def _question(name: str) -> str:
    return name.removesuffix(".jsonl")


def _error(code: str, message: str) -> VerificationError:
    return VerificationError(code, message)
