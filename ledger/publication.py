"""What the log publishes for everyone: checkpoint, tiles and entry bundles, and the figures of its pages.

Nothing here goes beyond the newest signed checkpoint: what is not signed is not published.
"""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, QuerySet

from ledger import keys
from ledger.actions import log_keys, proofs, witnessing
from ledger.errors import EntryNotFound, NotYetSealed
from ledger.models import Anchor, ChainDeployment, Checkpoint, Entry, Leaf, Log, Tile, Witness
from ledger.proofs import leaves, tiles, tlog_policy, tlog_proof
from ledger.proofs.errors import VerificationError
from ledger.proofs.tlog_policy import Member

PAGE = 50
NEIGHBOURS = 300  # entries shown before and behind one of the same subject


@dataclass(frozen=True, slots=True)
class LogPage:
    """One page of the log, newest first; `before` is the index to ask for next, None on the last page."""

    rows: list[Leaf]
    before: int | None


@dataclass(frozen=True, slots=True)
class WitnessLine:
    """A witness as pages show it; `newest` is the size it cosigned last, None before any."""

    name: str
    vkey: str
    url: str
    newest: int | None
    trouble: str


def newest(number: int | None = None) -> Checkpoint:
    """The newest checkpoint of one log; of the log that grows, unless told.

    Raises:
        NotYetSealed: nothing has been signed there yet.
    """
    found = proofs.latest_checkpoint() if number is None else proofs.newest_of(number)
    if found is None:
        raise NotYetSealed("Nothing has been sealed yet; ask again after the first entry.")
    return found


def published_size(number: int | None = None) -> int:
    """How many leaves a log's newest signed checkpoint covers."""
    try:
        return newest(number).size
    except NotYetSealed:
        return 0


def checkpoint_note(number: int | None = None) -> str:
    """A log's newest checkpoint as a note, with the cosignatures of its witnesses.

    Raises:
        NotYetSealed: nothing has been signed yet.
    """
    return proofs.cosigned_note(newest(number))


def tile(level: int, path: str, *, number: int | None = None) -> bytes:
    """The bytes of one tile by its tlog-tiles path, full or partial.

    Raises:
        EntryNotFound: the log does not reach that far, or the path is none.
    """
    log, index, width = _place(level, path, number)
    return Tile.objects.reader(log)(level, index)[: width * 32]


def entry_bundle(path: str, *, number: int | None = None) -> bytes:
    """The leaves under one tile of level 0, each behind its length in two bytes (tlog-tiles entry bundle).

    Raises:
        EntryNotFound: the log does not reach that far, or the path is none.
    """
    log, index, width = _place(0, path, number)
    first = index * tiles.WIDTH
    rows = Leaf.objects.filter(log_id=log, index__gte=first, index__lt=first + width).order_by("index")
    return b"".join(len(data).to_bytes(2, "big") + bytes(data) for data in rows.values_list("data", flat=True))


def consistency(*, old_size: int, new_size: int, number: int | None = None) -> list[str]:
    """The proof that a log of `old_size` leaves is a prefix of that of `new_size`, as hex.

    Raises:
        EntryNotFound: the sizes are not 0 < old ≤ new ≤ the published size.
    """
    if not 0 < old_size <= new_size <= published_size(number):
        raise EntryNotFound("Ask for sizes between 1 and the newest checkpoint's, the older one first.")
    read = Tile.objects.reader(newest(number).log_id)
    return [step.hex() for step in tiles.consistency_proof(old_size=old_size, new_size=new_size, read=read)]


def entry_proof_file(entry: Entry) -> str:
    """An entry's proof as a C2SP tlog-proof file, under the newest checkpoint of its log.

    Raises:
        NotYetSealed: the entry waits for its checkpoint.
    """
    found = proofs.inclusion_proof(entry)
    path = tuple(bytes.fromhex(step) for step in found["path"])
    proof = tlog_proof.TlogProof(index=found["index"], path=path, checkpoint=found["checkpoint"])
    return tlog_proof.format_text(proof)


def entry_document(entry: Entry) -> tuple[dict[str, Any], bool]:
    """An entry's leaf with everything that proves it, and whether the document will never change again.

    It stands under the first anchored checkpoint that covers it, or the first of all while there is none.
    It changes no more once that checkpoint is anchored and has its quorum.

    Raises:
        NotYetSealed: the entry waits for its checkpoint.
    """
    leaf = Leaf.objects.filter(entry=entry).select_related("log").first()
    anchor = anchor_covering(entry)
    covering = Checkpoint.objects.filter(log=leaf.log, size__gt=leaf.index).order_by("size") if leaf else None
    checkpoint = covering and (covering.filter(size=anchor.size).first() if anchor else covering.first())
    if not checkpoint:
        raise NotYetSealed("The entry waits for the next checkpoint; ask again in a second.")
    document = {
        "type": "hengshu/entry-proof/v1",
        **proofs.inclusion_proof(entry, checkpoint=checkpoint),
        "origin": checkpoint.log.origin,
        "anchor": anchor and proofs.anchor_document(anchor),
    }
    is_final = anchor is not None and checkpoint.cosignatures.exists() and witnessing.has_quorum(checkpoint)
    return document, is_final


def witnesses() -> list[WitnessLine]:
    """The present witnesses and how far each has come."""
    return [
        WitnessLine(witness.name, witness.vkey, witness.url, _newest_size(witness), witness.trouble)
        for witness in Witness.objects.filter(withdrawn_at=None)
    ]


def _newest_size(witness: Witness) -> int | None:
    last = (
        witness.cosignatures.select_related("checkpoint").order_by("-checkpoint__log_id", "-checkpoint__size").first()
    )
    return None if last is None else last.checkpoint.size


def tlog_policy_file() -> str:
    """Our logs, our witnesses and their quorum as a C2SP tlog-policy file, for stock verifiers."""
    present = {f"w{number}": witness for number, witness in enumerate(witnesses(), start=1)}
    quorum = witnessing.quorum()
    policy = tlog_policy.LogPolicy(
        logs=tuple(Member(vkey) for log in Log.objects.all() for vkey in [*log_keys.vkeys_of(log), *_mldsa(log)]),
        witnesses={name: Member(witness.vkey, witness.url) for name, witness in present.items()},
        groups={"witnesses": tlog_policy.Group(quorum, tuple(present))} if quorum else {},
        quorum="witnesses" if quorum else tlog_policy.NONE,
    )
    return tlog_policy.format_text(policy)


def _mldsa(log: Log) -> list[str]:
    """The post-quantum vkey of the log that grows, where the exchange has such a key."""
    vkey = None if log.is_frozen else keys.log_mldsa_vkey(log.origin)
    return [] if vkey is None else [vkey]


def log_page(
    *, before: int | None = None, subject: str = "", kind: str = "", size: int = PAGE, number: int | None = None
) -> LogPage:
    """Leaves with their entries, newest first."""
    published = published_size(number)
    limit = published if before is None else min(before, published)
    log = newest(number).log_id if published else 1
    rows = Leaf.objects.filter(log_id=log, index__lt=limit).select_related("entry").order_by("-index")
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


def history(entry: Entry) -> list[Entry]:
    """What the log says about an entry's subject, in its order: all, or where that is much, what lies around the entry.

    A chain's contract is one subject, and anybody with an account there adds to its events.
    """
    same = Entry.objects.filter(subject=entry.subject)
    before = same.filter(pk__lte=entry.pk).order_by("-pk").values_list("pk", flat=True)[:NEIGHBOURS]
    after = same.filter(pk__gt=entry.pk).order_by("pk").values_list("pk", flat=True)[:NEIGHBOURS]
    return list(Entry.objects.about(entry.subject).filter(pk__in=[*before, *after]).select_related("leaf"))


def overview() -> dict[str, Any]:
    """The log's figures: the newest checkpoint, the newest anchor, how far each reaches."""
    checkpoint = proofs.latest_checkpoint()
    anchor = _first_of_epochs(Anchor.objects.order_by("-log_id", "-size"))
    return {
        "checkpoint": checkpoint,
        "size": 0 if checkpoint is None else checkpoint.size,
        "root": "" if checkpoint is None else checkpoint.root,
        "anchor": anchor,
        "anchored_size": 0 if anchor is None else anchor.size,
        "log": None if checkpoint is None else checkpoint.log,
        "logs": list(Log.objects.all()),
        "witnesses": witnesses(),
        "quorum": witnessing.quorum(),
        "deployment": ChainDeployment.objects.order_by("-epoch").first(),
    }


def recent_checkpoints(count: int = 10) -> list[Checkpoint]:
    """The newest checkpoints, newest first, each with `.seen`: how many witnesses cosigned it."""
    newest = Checkpoint.objects.order_by("-log_id", "-size").values_list("pk", flat=True)[:count]
    found = Checkpoint.objects.filter(pk__in=list(newest))  # cut first, then counted
    return list(found.annotate(seen=Count("cosignatures")).order_by("-log_id", "-size"))


def anchor_covering(entry: Entry) -> Anchor | None:
    """The first anchor of the newest epoch that covers the entry; None while it waits for one."""
    leaf = Leaf.objects.filter(entry=entry).first()
    if leaf is None:
        return None
    return _first_of_epochs(Anchor.objects.filter(log_id=leaf.log_id, size__gt=leaf.index).order_by("size"))


def _first_of_epochs(anchors: QuerySet[Anchor]) -> Anchor | None:
    """The first of the newest epoch that has one; asked epoch by epoch, so that each question is an index's."""
    found = (anchors.filter(deployment=epoch).first() for epoch in ChainDeployment.objects.order_by("-epoch"))
    return next((anchor for anchor in found if anchor is not None), None)


def leaf_parts(leaf: Leaf) -> leaves.Leaf:
    """The members of a stored leaf."""
    return leaves.parse(bytes(leaf.data))


def _place(level: int, path: str, number: int | None) -> tuple[int, int, int]:
    try:
        checkpoint = newest(number)
        index, width = tiles.parse_path(path)
    except (NotYetSealed, VerificationError) as error:
        raise EntryNotFound("That is not the path of a tile; see c2sp.org/tlog-tiles.") from error
    if level > tiles.MAX_LEVEL or width > tiles.width(level=level, index=index, size=checkpoint.size):
        raise EntryNotFound("The log does not reach that far; read the checkpoint for its size.")
    return checkpoint.log_id, index, width
