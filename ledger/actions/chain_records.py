"""Direct chain records: grants, revocations and usage totals that must not wait for a batch.

An outbox: the row is written with the business change, the pass carries it to the chain and repeats
until the chain shows its effect. Payloads, all public:

- grant: `grantor`, `terms_digest` (64 hex), `not_before`, `not_after` (Unix seconds), `cap`, `signature`
- revoke: `grant_id` (0x, 64 hex), `signature`
- meter: `grant_id`, `used` (an absolute total)
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Case, IntegerField, Value, When
from django.utils import timezone

from exchange.kernel.errors import DomainError, InvalidInput
from ledger import keys as own_keys
from ledger.actions import deployments
from ledger.actions.anchoring import LOOK_AGAIN_SECONDS, single_worker
from ledger.backends.base import ChainRefused, Inclusion, LedgerBackend, record_call
from ledger.models import ChainDeployment, ChainRecord, ChainRecordKind, ChainRecordState
from ledger.proofs import grants

logger = logging.getLogger(__name__)

BATCH = 100
_LOCK = 0x68656E6702
_OPEN = (ChainRecordState.PENDING, ChainRecordState.SENT)
# A revocation never waits behind anything else; a total is refused before its grant is there.
_PRIORITY = Case(
    When(kind=ChainRecordKind.REVOKE, then=Value(0)),
    When(kind=ChainRecordKind.GRANT, then=Value(1)),
    default=Value(2),
    output_field=IntegerField(),
)


@transaction.atomic
def submit_chain_record(*, kind: str, key: str, payload: Mapping[str, Any]) -> ChainRecord:
    """Ask for a record on the chain, in the caller's transaction; it is sent by a later pass.

    Raises:
        InvalidInput: the payload is not one of this kind.
    Idempotent: one record per key; asking again returns the first.
    """
    try:
        record_call(kind, payload)
    except (KeyError, ValueError, TypeError, AttributeError):
        raise InvalidInput(f"This is not a {kind} record; see ledger.actions.chain_records for its fields.") from None
    record, _ = ChainRecord.objects.get_or_create(key=key, defaults={"kind": kind, "payload": dict(payload)})
    return record


def chain_record(key: str) -> ChainRecord | None:
    """The record asked for under this key, with how far it has come."""
    return ChainRecord.objects.filter(key=key).first()


def send_chain_records(*, backend: LedgerBackend | None = None, keys: Any = None) -> int:
    """Carry every open record one step on; returns how many the chain has confirmed in this pass.

    Idempotent: the effect on the chain is looked at before anything is sent, and the signed bytes are
    saved before they go out.
    """
    chain = backend or deployments.configured_backend()
    if chain is None or not ChainRecord.objects.exists():
        return 0
    with single_worker(_LOCK) as alone:
        if not alone:
            return 0
        try:
            return _pass(chain, keys or own_keys.exchange_keys())
        except DomainError as error:
            logger.warning("chain records: %s", error.code)
            return 0


def _pass(chain: LedgerBackend, keys: Any) -> int:
    deployment = deployments.check_deployment(chain)
    _reopen(deployment)
    nonce = chain.nonce(keys.chain_address)
    records = list(ChainRecord.objects.filter(state__in=_OPEN).order_by(_PRIORITY, "pk")[:BATCH])
    for record in records:
        if record.state == ChainRecordState.PENDING or record.deployment_id != deployment.pk:
            if not _prepare(chain, deployment, record, keys, nonce=nonce):
                continue
            nonce += 1
        elif record.nonce is not None:
            nonce = max(nonce, record.nonce + 1)
        _carry(chain, deployment, record, keys)
    for pause_seconds in LOOK_AGAIN_SECONDS:
        on_their_way = [record for record in records if record.state == ChainRecordState.SENT]
        if not on_their_way:
            break
        time.sleep(pause_seconds)
        for record in on_their_way:
            _look(chain, deployment, record)
    return sum(record.state == ChainRecordState.CONFIRMED for record in records)


def _reopen(deployment: ChainDeployment) -> None:
    """In a new epoch at the same place (a reset development chain), the old signatures count: send again."""
    elsewhere = ChainRecord.objects.filter(
        state=ChainRecordState.CONFIRMED,
        deployment__chain_id=deployment.chain_id,
        deployment__contract_address=deployment.contract_address,
    ).exclude(deployment=deployment)
    if not elsewhere.exists():
        return
    revoked = {record.payload["grant_id"] for record in ChainRecord.objects.filter(kind=ChainRecordKind.REVOKE)}
    for record in elsewhere.exclude(kind=ChainRecordKind.REVOKE):
        if grant_id_of(record) not in revoked:  # no grant there needs no revocation there
            _update(record, state=ChainRecordState.PENDING, nonce=None, raw_transaction="")


def grant_id_of(record: ChainRecord) -> str:
    """The id of the grant that a record makes, ends or meters."""
    if record.kind == ChainRecordKind.GRANT:
        return grants.grant_id(grantor=record.payload["grantor"], terms_digest=record.payload["terms_digest"])
    return str(record.payload["grant_id"])


def _prepare(chain: LedgerBackend, deployment: ChainDeployment, record: ChainRecord, keys: Any, *, nonce: int) -> bool:
    """Save the signed transaction of a record; False when there is nothing to send."""
    if _has_effect(chain, deployment, record):
        _confirm(record, deployment, chain.inclusion(record.transaction_hash) if record.transaction_hash else None)
        return False
    call = record_call(record.kind, record.payload)
    try:
        chain.simulate(call, address=deployment.contract_address, sender=keys.chain_address)
    except ChainRefused as error:
        if error.reason == "NO_GRANT" and _grant_is_on_its_way(record):
            return False
        _fail(record, error.reason)
        return False
    signed = chain.sign(
        call,
        address=deployment.contract_address,
        chain_id=deployment.chain_id,
        key=keys.chain,
        nonce=nonce,
        gas_price=chain.gas_price(),
    )
    _update(
        record,
        deployment=deployment,
        nonce=signed.nonce,
        raw_transaction=signed.raw,
        transaction_hash=signed.transaction_hash,
        state=ChainRecordState.SENT,
        error_code="",
    )
    return True


def _carry(chain: LedgerBackend, deployment: ChainDeployment, record: ChainRecord, keys: Any) -> None:
    """Send the saved bytes unless they have landed; plan anew when their nonce went to another transaction."""
    if _look(chain, deployment, record):
        return
    if record.nonce is not None and record.nonce < chain.nonce(keys.chain_address):
        if not _look(chain, deployment, record):  # it may have been mined between the two questions
            _start_over(chain, deployment, record)
        return
    chain.send(record.raw_transaction)
    if record.sent_at is None:
        _update(record, sent_at=timezone.now())


def _look(chain: LedgerBackend, deployment: ChainDeployment, record: ChainRecord) -> bool:
    """Whether the record's transaction has landed, and if so, what became of it."""
    landed = chain.inclusion(record.transaction_hash)
    if landed is None:
        return False
    if landed.succeeded:
        _confirm(record, deployment, landed)
    else:
        _start_over(chain, deployment, record)
    return True


def _start_over(chain: LedgerBackend, deployment: ChainDeployment, record: ChainRecord) -> None:
    """The nonce is used up without effect of this transaction: done by another one, or planned anew next time."""
    if _has_effect(chain, deployment, record):
        _confirm(record, deployment, None)
    else:
        _update(record, state=ChainRecordState.PENDING, nonce=None, raw_transaction="", sent_at=None)


def _has_effect(chain: LedgerBackend, deployment: ChainDeployment, record: ChainRecord) -> bool:
    found = chain.grant(deployment.contract_address, grant_id_of(record))
    if found is None:
        return False
    if record.kind == ChainRecordKind.REVOKE:
        return found.revoked_at != 0
    if record.kind == ChainRecordKind.METER:
        return found.used >= int(record.payload["used"])
    wanted = (record.payload["not_before"], record.payload["not_after"], record.payload["cap"])
    return (found.not_before, found.not_after, found.cap) == wanted


def _grant_is_on_its_way(record: ChainRecord) -> bool:
    wanted = grant_id_of(record)
    on_their_way = ChainRecord.objects.filter(kind=ChainRecordKind.GRANT, state__in=_OPEN)
    return any(grant_id_of(other) == wanted for other in on_their_way)


def _confirm(record: ChainRecord, deployment: ChainDeployment, landed: Inclusion | None) -> None:
    _update(
        record,
        deployment=deployment,
        state=ChainRecordState.CONFIRMED,
        block_number=None if landed is None else landed.block_number,
        block_hash="" if landed is None else landed.block_hash,
        confirmed_at=timezone.now(),
    )


def _fail(record: ChainRecord, reason: str) -> None:
    logger.error("chain records: %s %d refused by the contract: %s", record.kind, record.pk, reason)
    _update(record, state=ChainRecordState.FAILED, error_code=reason[:64])


def _update(record: ChainRecord, **values: Any) -> None:
    for name, value in values.items():
        setattr(record, name, value)
    record.save(update_fields=list(values))
