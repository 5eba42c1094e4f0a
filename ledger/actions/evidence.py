"""The ledger's part of a receipt: entries, checkpoints with their witnesses, and the anchor with what proves it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.conf import settings

from ledger.actions import chain_proofs, deployments, witnessing
from ledger.actions.proofs import anchor_document, cosigned_note, entry_proof
from ledger.errors import NotYetSealed
from ledger.models import Anchor, ChainDeployment, Checkpoint, Entry, Leaf
from ledger.proofs import layout

_WAIT = "The entries wait for a checkpoint that covers them, and for its witnesses; ask again in a second."


def evidence(entries: Iterable[Entry], *, grants: Sequence[Mapping[str, str]] = ()) -> dict[str, Any]:
    """The ledger's part of a receipt bundle: `entries`, `checkpoint` and `anchor`.

    All entries of one log are proven under one checkpoint, which has its quorum of witnesses. It is the newest
    anchored one if that covers them, so that the anchor speaks of the same root; otherwise the newest, and
    `anchor` is None. Entries of an earlier shard carry that shard's checkpoint themselves.

    Args:
        grants: what the chain is asked about beside the root: `grant_id`, `signer`, `terms_digest` of each.
    Raises:
        NotYetSealed: an entry is not under a checkpoint with its quorum yet; or verifiers are told to demand
            seals, and the chain does not show just now what they are over.
    Time-outs: the chain is asked once or twice, a few seconds each. A silent one is no error: what was kept
        with the anchor is used, and what is missing is NOT CHECKED to the reader.
    """
    wanted = list(entries)
    last = _last_leaves(wanted)
    main = max(last)
    anchors = _anchors(last, main=main)
    checkpoints = {anchor.log_id: _checkpoint(anchor) for anchor in anchors}
    checkpoints |= {log: _newest(log, index=index) for log, index in last.items() if log not in checkpoints}
    return {
        "entries": [_proof(entry, checkpoints, main=main) for entry in wanted],
        "checkpoint": cosigned_note(checkpoints[main]),
        "anchor": _proven(anchors, grants=grants) if anchors else None,
    }


def _last_leaves(entries: Sequence[Entry]) -> dict[int, int]:
    """The largest index in each log, by the log's number, in order."""
    places = list(Leaf.objects.filter(entry__in=entries).values_list("log_id", "index").order_by("log_id", "index"))
    if not places or len(places) < len(entries):
        raise NotYetSealed(_WAIT)
    return dict(places)


def _anchors(last: Mapping[int, int], *, main: int) -> list[Anchor]:
    """For each log the newest anchor that covers its entries and whose checkpoint has its quorum.

    Empty where the newest log has none. An earlier log may lack one: an older contract held it.
    """
    deployment = ChainDeployment.objects.order_by("-epoch").first()
    found = []
    for log, index in last.items():
        anchor = Anchor.objects.filter(deployment=deployment, log=log, size__gt=index).order_by("-size").first()
        if anchor is not None and witnessing.has_quorum(_checkpoint(anchor)):
            found.append(anchor)
        elif log == main:
            return []
    return found


def _checkpoint(anchor: Anchor) -> Checkpoint:
    return Checkpoint.objects.select_related("log").get(log=anchor.log_id, size=anchor.size)


def _newest(log: int, *, index: int) -> Checkpoint:
    found = witnessing.newest_cosigned(log)
    if found is None or found.size <= index:
        raise NotYetSealed(_WAIT)
    return found


def _proof(entry: Entry, checkpoints: Mapping[int, Checkpoint], *, main: int) -> dict[str, Any]:
    checkpoint = checkpoints[entry.leaf.log_id]
    proof = entry_proof(entry, checkpoint=checkpoint)
    return proof if checkpoint.log_id == main else {**proof, "checkpoint": cosigned_note(checkpoint)}


def _proven(anchors: Sequence[Anchor], *, grants: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    document = anchor_document(anchors[-1])
    found = chain_proofs.for_receipt(deployments.configured_backend(), anchors, grants=grants)
    held = set() if found is None else {entry["slot"] for entry in found["storage"]}
    demanded = {slot for grant in grants for slot in layout.for_grant(**grant)}
    if settings.CHAIN_VALIDATORS and not demanded <= held:
        raise NotYetSealed("The receipt waits for the chain to prove its grants; ask again in some seconds.")
    return document if found is None else {**document, "evidence": found}
