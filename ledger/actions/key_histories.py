"""How keys came into force and ended, entry by entry, for who pinned an older policy: `hengshu/key-history/v1`."""

from typing import Any

from django.db.models import Q

from compute.protocol import key_history
from ledger.actions import entries, log_keys, proofs
from ledger.actions.key_life import EXCHANGE_KEY
from ledger.kinds import EntryKind
from ledger.models import Entry

_KINDS = (EntryKind.LOG_KEY_ROTATED, EntryKind.LOG_FROZEN, EntryKind.KEY_REVOKED, EntryKind.LOG_KEY_REVOKED)


def history() -> dict[str, Any]:
    """The entries by which the exchange's and the log's keys changed and anybody's were withdrawn.

    Opened and proven, each under the newest checkpoint of its log; what no checkpoint covers yet is left out.
    """
    own = Entry.objects.filter(kind=EntryKind.KEY_REGISTERED, key__startswith=EXCHANGE_KEY)
    rotations = [log_keys.rotation_name(entries.payload_of(entry)["value"]) for entry in own]
    wanted = Entry.objects.filter(Q(kind__in=_KINDS) | Q(key__in=rotations))
    found = []
    for entry in (
        wanted.filter(leaf__isnull=False, disclosure__erased_at__isnull=True)
        .select_related("leaf", "disclosure")
        .order_by("leaf__log_id", "leaf__index")
    ):
        checkpoint = proofs.newest_of(entry.leaf.log_id)
        if checkpoint is not None and entry.leaf.index < checkpoint.size:
            proof = proofs.entry_proof(entry, checkpoint=checkpoint)
            found.append({**proof, "checkpoint": proofs.cosigned_note(checkpoint)})
    return key_history.document(found)
