"""What people must look at on the chain's side, worked out from the rows each time; nothing is acknowledged away.

An alarm goes when its cause goes: the chain answers, a transaction lands, or the operator says in
CHAIN_KNOWN_ADDRESSES that an unknown holder of a role is known.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from django.conf import settings

from ledger import keys as own_keys
from ledger.actions import chain_looks, deployments, fees, log_keys
from ledger.actions.passes import REPLACE_AFTER
from ledger.models import AnchorAttempt, AttemptState, ChainEvent, ChainRecord, ChainRecordKind, ChainRecordState, Log
from ledger.proofs import rlp
from ledger.proofs.errors import VerificationError


class ChainAlarm(StrEnum):
    """The causes, as pages and health checks name them."""

    SILENT = "chain_silent"
    DOWN_TOO_LONG = "chain_down_too_long"
    FEE_AT_CAP = "chain_fee_at_cap"
    EVENT_UNEXPECTED = "chain_event_unexpected"
    RECORD_FAILED = "chain_record_failed"


_WATCHED = ("RoleChanged", "AdminOffered", "AdminChanged", "LogKeyChanged", "ShardOpened")
_EXPECTED_REFUSALS = ("GRANT_REVOKED", "TERMS_VOIDED", "CAP_EXCEEDED")
_NOBODY = "0x" + "00" * 20


def chain_alarms(*, now: datetime) -> list[ChainAlarm]:
    """Every alarm that stands at this moment."""
    found = []
    if chain_looks.is_down_too_long(now=now):
        found.append(ChainAlarm.DOWN_TOO_LONG)
    elif chain_looks.silent_since(now=now) is not None:
        found.append(ChainAlarm.SILENT)
    if _is_stuck_at_cap(now):
        found.append(ChainAlarm.FEE_AT_CAP)
    if unexpected_events():
        found.append(ChainAlarm.EVENT_UNEXPECTED)
    failed = ChainRecord.objects.filter(state=ChainRecordState.FAILED)
    # That a run under an ended or spent grant is not counted is the contract doing its work.
    if failed.exclude(kind=ChainRecordKind.METER, error_code__in=_EXPECTED_REFUSALS).exists():
        found.append(ChainAlarm.RECORD_FAILED)
    return found


def unexpected_events() -> list[ChainEvent]:
    """Changes of roles, administrator, log key or shard that are not of our making, oldest first."""
    deployment = deployments.current_deployment()
    if deployment is None:
        return []
    ours = {
        keys.chain_address.lower()
        for keys in (own_keys.log_keys(), own_keys.exchange_keys(), own_keys.revocation_keys())
    } | {address.lower() for address in settings.CHAIN_KNOWN_ADDRESSES}
    logs = {str(log.number): log for log in Log.objects.all()}
    vkeys = {_vkey_hash(key) for log in logs.values() for key in log_keys.vkeys_of(log)}
    vkeys.add(_vkey_hash(own_keys.log_vkey()))
    newest: dict[tuple[str, ...], ChainEvent] = {}
    for event in ChainEvent.objects.filter(deployment=deployment, name__in=_WATCHED).order_by("pk"):
        newest[_matter(event)] = event
    return [event for event in newest.values() if not _is_expected(event, ours=ours, vkeys=vkeys, logs=logs)]


def _matter(event: ChainEvent) -> tuple[str, ...]:
    """What an event decides; a later one about the same matter stands in its place."""
    if event.name == "RoleChanged":
        return event.name, event.arguments["role"], event.arguments["holder"]
    if event.name in ("LogKeyChanged", "ShardOpened"):
        return event.name, event.arguments["shard"]
    return (event.name,)


def _is_expected(event: ChainEvent, *, ours: set[str], vkeys: set[str], logs: Mapping[str, Log]) -> bool:
    said = event.arguments
    if event.name == "RoleChanged":
        return (said["holder"].lower() in ours) is bool(said["allowed"])  # nor may ours lose its role
    if event.name == "AdminOffered":
        return said["to"].lower() in ours | {_NOBODY}
    if event.name == "AdminChanged":
        return said["new"].lower() in ours
    if event.name == "LogKeyChanged":
        return said["new"] in vkeys
    opened, before = logs.get(said["shard"]), logs.get(str(int(said["shard"]) - 1))
    if opened is None or before is None or said["log_key_hash"] != _vkey_hash(log_keys.vkeys_of(opened)[0]):
        return False
    return (said["frozen_size"], said["frozen_root"]) == (str(before.size), "0x" + before.root)


def _is_stuck_at_cap(now: datetime) -> bool:
    before = now - REPLACE_AFTER
    attempts = AnchorAttempt.objects.filter(state=AttemptState.SENT, sent_at__lt=before)
    records = ChainRecord.objects.filter(state=ChainRecordState.SENT, sent_at__lt=before)
    raws = [*attempts.values_list("raw_transaction", flat=True), *records.values_list("raw_transaction", flat=True)]
    return any(fees.is_at_cap(_price(raw)) for raw in raws)


def _price(raw: str) -> int:
    """The gas price inside a signed legacy transaction, in wei; 0 for bytes of another kind."""
    try:
        return rlp.integer(rlp.decode_list(bytes.fromhex(raw[2:]))[1])
    except (VerificationError, ValueError, IndexError):
        return 0


def _vkey_hash(vkey: str) -> str:
    return "0x" + hashlib.sha256(vkey.encode()).hexdigest()
