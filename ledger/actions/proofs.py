"""Reading evidence back: proofs of entries, checkpoints, and the trust policy to hold them against."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings

from ledger import keys
from ledger.actions import entries as entry_actions
from ledger.errors import NotYetSealed
from ledger.models import Anchor, ChainDeployment, Checkpoint, Entry, Leaf, Log, Tile
from ledger.proofs import notes, policies, tiles


def latest_checkpoint() -> Checkpoint | None:
    """The newest signed checkpoint; None while nothing has been sealed."""
    return Checkpoint.objects.latest_or_none()


def is_sealed(entry: Entry) -> bool:
    """Whether a signed checkpoint covers the entry."""
    leaf = Leaf.objects.filter(entry=entry).first()
    return leaf is not None and Checkpoint.objects.filter(log_id=leaf.log_id, size__gt=leaf.index).exists()


def cosigned_note(checkpoint: Checkpoint) -> str:
    """The checkpoint's note with every cosignature there is."""
    lines = checkpoint.cosignatures.order_by("pk").values_list("line", flat=True)
    return notes.add_signatures(checkpoint.note, [line for several in lines for line in several.split("\n")])


def checkpoint_of(entry: Entry) -> Checkpoint | None:
    """The newest checkpoint of the log an entry stands in; None while it waits for its place."""
    leaf = Leaf.objects.filter(entry=entry).first()
    return None if leaf is None else newest_of(leaf.log_id)


def newest_of(log: Log | int) -> Checkpoint | None:
    """The newest checkpoint of one log."""
    number = log if isinstance(log, int) else log.number
    return Checkpoint.objects.filter(log_id=number).select_related("log").order_by("-size").first()


def entry_proof(entry: Entry, *, checkpoint: Checkpoint | None = None) -> dict[str, Any]:
    """An entry with all that opens and places it: leaf, payload, salt, index and path under one checkpoint.

    Args:
        checkpoint: the one to prove under; the newest of the entry's log by default.
    Raises:
        NotYetSealed: the checkpoint does not cover the entry.
        DisclosureErased: the payload has been erased; `inclusion_proof` still works.
    Privacy: payload and salt are for the parties of the fact; the public gets `inclusion_proof`.
    """
    proof = inclusion_proof(entry, checkpoint=checkpoint)
    payload = entry_actions.payload_of(entry)
    return {
        "leaf": proof["leaf"],
        "payload": payload,
        "salt": bytes(entry.disclosure.salt or b"").hex(),
        "index": proof["index"],
        "path": proof["path"],
    }


def inclusion_proof(entry: Entry, *, checkpoint: Checkpoint | None = None) -> dict[str, Any]:
    """An entry's leaf and its place in the log, without what its commitment opens to: fit for anyone.

    Raises:
        NotYetSealed: the checkpoint does not cover the entry.
    """
    leaf = Leaf.objects.filter(entry=entry).first()
    if leaf is not None and checkpoint is None:
        checkpoint = newest_of(leaf.log_id)
    if checkpoint is None or leaf is None or leaf.log_id != checkpoint.log_id or leaf.index >= checkpoint.size:
        raise NotYetSealed("The entry waits for the next checkpoint; ask again in a second.")
    path = tiles.inclusion_path(index=leaf.index, size=checkpoint.size, read=Tile.objects.reader(leaf.log_id))
    return {
        "leaf": bytes(leaf.data).decode(),
        "index": leaf.index,
        "path": [step.hex() for step in path],
        "checkpoint": cosigned_note(checkpoint),
    }


def evidence(entries: Iterable[Entry]) -> dict[str, Any]:
    """The ledger's part of a receipt bundle: `entries`, `checkpoint` and `anchor`, all of one log size.

    The newest anchored checkpoint is taken where it covers every entry, so that the anchor speaks of the
    same root; otherwise the newest checkpoint, with `anchor` None.

    Raises:
        NotYetSealed: an entry is not under a checkpoint yet.
    """
    wanted = list(entries)
    anchor = Anchor.objects.select_related("deployment").order_by("-deployment__epoch", "-size").first()
    anchored = Checkpoint.objects.filter(log_id=anchor.log_id, size=anchor.size).first() if anchor else None
    sizes = Leaf.objects.filter(entry__in=wanted).values_list("index", flat=True)
    if anchored is None or len(sizes) < len(wanted) or max(sizes, default=0) >= anchored.size:
        anchor, anchored = None, latest_checkpoint()
    if anchored is None:
        raise NotYetSealed("The entries wait for the first checkpoint; ask again in a second.")
    return {
        "entries": [entry_proof(entry, checkpoint=anchored) for entry in wanted],
        "checkpoint": anchored.note,
        "anchor": anchor and anchor_document(anchor),
    }


def anchor_document(anchor: Anchor) -> dict[str, Any]:
    """What a receipt says of an anchor."""
    return {
        "chain_id": anchor.deployment.chain_id,
        "contract_address": anchor.deployment.contract_address,
        "size": anchor.size,
        "root": anchor.root,
        "block_number": anchor.block_number,
        "block_hash": anchor.block_hash,
        "transaction": anchor.transaction_hash,
    }


def trust_policy() -> policies.TrustPolicy:
    """Whose keys a member of this exchange is asked to believe: its own, its log's, and its chain."""
    deployment = ChainDeployment.objects.order_by("-epoch").first()
    return policies.single(
        exchange_document_key=keys.exchange_keys().document_key,
        log_origin=settings.LOG_ORIGIN,
        log_key=keys.log_vkey(),
        chain=(
            None
            if deployment is None
            else policies.Chain(chain_id=deployment.chain_id, contract_address=deployment.contract_address)
        ),
    )
