"""What the log publishes for everyone: checkpoint, tiles and entry bundles, and the figures of its pages.

Nothing here goes beyond the newest signed checkpoint: what is not signed is not published.
"""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from ledger.actions import proofs
from ledger.errors import EntryNotFound, NotYetSealed
from ledger.models import Anchor, ChainDeployment, Checkpoint, Entry, Leaf, Tile
from ledger.proofs import leaves, tiles
from ledger.proofs.errors import VerificationError

PAGE = 50


@dataclass(frozen=True, slots=True)
class LogPage:
    """One page of the log, newest first; `before` is the index to ask for next, None on the last page."""

    rows: list[Leaf]
    before: int | None


def published_size() -> int:
    """How many leaves the newest signed checkpoint covers."""
    checkpoint = proofs.latest_checkpoint()
    return 0 if checkpoint is None else checkpoint.size


def _published_log() -> int:
    checkpoint = proofs.latest_checkpoint()
    return 1 if checkpoint is None else checkpoint.log_id


def checkpoint_note() -> str:
    """The newest signed checkpoint as a note.

    Raises:
        NotYetSealed: nothing has been signed yet.
    """
    checkpoint = proofs.latest_checkpoint()
    if checkpoint is None:
        raise NotYetSealed("Nothing has been sealed yet; ask again after the first entry.")
    return checkpoint.note


def tile(level: int, path: str) -> bytes:
    """The bytes of one tile by its tlog-tiles path, full or partial.

    Raises:
        EntryNotFound: the log does not reach that far, or the path is none.
    """
    index, width = _place(level, path)
    return Tile.objects.reader(_published_log())(level, index)[: width * 32]


def entry_bundle(path: str) -> bytes:
    """The leaves under one tile of level 0, each behind its length in two bytes (tlog-tiles entry bundle).

    Raises:
        EntryNotFound: the log does not reach that far, or the path is none.
    """
    index, width = _place(0, path)
    first = index * tiles.WIDTH
    rows = Leaf.objects.filter(log_id=_published_log(), index__gte=first, index__lt=first + width).order_by("index")
    return b"".join(len(data).to_bytes(2, "big") + bytes(data) for data in rows.values_list("data", flat=True))


def consistency(*, old_size: int, new_size: int) -> list[str]:
    """The proof that the log of `old_size` leaves is a prefix of that of `new_size`, as hex.

    Raises:
        EntryNotFound: the sizes are not 0 < old ≤ new ≤ the published size.
    """
    if not 0 < old_size <= new_size <= published_size():
        raise EntryNotFound("Ask for sizes between 1 and the newest checkpoint's, the older one first.")
    proof = tiles.consistency_proof(old_size=old_size, new_size=new_size, read=Tile.objects.reader(_published_log()))
    return [step.hex() for step in proof]


def log_page(*, before: int | None = None, subject: str = "", kind: str = "", size: int = PAGE) -> LogPage:
    """Leaves with their entries, newest first."""
    limit = published_size() if before is None else min(before, published_size())
    rows = Leaf.objects.filter(log_id=_published_log(), index__lt=limit).select_related("entry").order_by("-index")
    if subject:
        rows = rows.filter(entry__subject=subject)
    if kind:
        rows = rows.filter(entry__kind=kind)
    found = list(rows[: size + 1])
    return LogPage(rows=found[:size], before=found[size - 1].index if len(found) > size else None)


def entries(*, subject: str = "", kind: str = "") -> QuerySet[Entry]:
    """All entries, sequenced or waiting, of one subject or kind where asked for."""
    found = Entry.objects.select_related("leaf")
    if subject:
        found = found.filter(subject=subject)
    return found.filter(kind=kind) if kind else found


def history(subject: str) -> QuerySet[Entry]:
    """Everything the log says about one subject, in its order."""
    return Entry.objects.about(subject).select_related("leaf")


def overview() -> dict[str, Any]:
    """The log's figures: the newest checkpoint, the newest anchor, how far each reaches."""
    checkpoint = proofs.latest_checkpoint()
    anchor = Anchor.objects.select_related("deployment").order_by("-deployment__epoch", "-size").first()
    return {
        "checkpoint": checkpoint,
        "size": 0 if checkpoint is None else checkpoint.size,
        "root": "" if checkpoint is None else checkpoint.root,
        "anchor": anchor,
        "anchored_size": 0 if anchor is None else anchor.size,
        "deployment": ChainDeployment.objects.order_by("-epoch").first(),
    }


def recent_checkpoints(count: int = 10) -> list[Checkpoint]:
    """The newest checkpoints, newest first."""
    return list(Checkpoint.objects.order_by("-size")[:count])


def anchor_covering(entry: Entry) -> Anchor | None:
    """The first anchor of the newest epoch that covers the entry; None while it waits for one."""
    leaf = Leaf.objects.filter(entry=entry).first()
    if leaf is None:
        return None
    covering = Anchor.objects.filter(log_id=leaf.log_id, size__gt=leaf.index).select_related("deployment")
    return covering.order_by("-deployment__epoch", "size").first()


def leaf_parts(leaf: Leaf) -> leaves.Leaf:
    """The members of a stored leaf."""
    return leaves.parse(bytes(leaf.data))


def _place(level: int, path: str) -> tuple[int, int]:
    try:
        index, width = tiles.parse_path(path)
    except VerificationError as error:
        raise EntryNotFound("That is not the path of a tile; see c2sp.org/tlog-tiles.") from error
    if level > tiles.MAX_LEVEL or width > tiles.width(level=level, index=index, size=published_size()):
        raise EntryNotFound("The log does not reach that far; read the checkpoint for its size.")
    return index, width
