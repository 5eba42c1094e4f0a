"""Reading evidence back: proofs of entries, checkpoints, and the trust policy to hold them against."""

from typing import Any

from django.conf import settings

from ledger import keys
from ledger.actions import chain_proofs, key_life
from ledger.actions import entries as entry_actions
from ledger.errors import NotYetSealed
from ledger.models import Anchor, ChainDeployment, Checkpoint, Entry, Leaf, Log, Tile, Witness
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
    """Whose keys a member of this exchange is asked to believe: its own, its log's, its witnesses', and its chain."""
    deployment = ChainDeployment.objects.order_by("-epoch").first()
    present = tuple(Witness.objects.filter(withdrawn_at=None).order_by("pk").values_list("vkey", flat=True))
    first = policies.Log(settings.LOG_ORIGIN, (policies.Window(keys.log_vkey()),))
    return policies.TrustPolicy(
        exchange_keys=key_life.exchange_windows(keys.exchange_keys().document_key),
        logs=key_life.policy_logs() or (first,),
        revoked=tuple(key_life.logged_revocations()),
        witnesses=policies.Witnesses(present, min(int(settings.LOG_WITNESS_QUORUM), len(present))),
        chain=chain_proofs.trusted_chain(deployment) if deployment else None,
    )
