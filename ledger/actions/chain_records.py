"""Direct chain records: grants, revocations and usage totals that must not wait for a batch.

An outbox: the row is written with the business change, the pass carries it to the chain and repeats
until the chain shows its effect. Payloads, all public:

- grant: `grantor`, `terms_digest` (64 hex), `not_before`, `not_after` (Unix seconds), `cap`, `signature`
- revoke: `grant_id` (0x, 64 hex), `signature`
- void: `signer`, `digest` (64 hex), `signature`
- meter: `grant_id`, `used` (an absolute total), and `open` (true) where the grant must not be revoked even
  if the total stands already

Two lanes, each with its own account and its own lock: what ends a grant never waits behind what makes one,
neither in a queue of ours nor behind a stuck nonce.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, IntegerField, Max, Min, Value, When
from django.utils import timezone

from compute.protocol.keyfiles import KeyFile
from exchange.kernel.errors import DomainError, InvalidInput
from ledger import keys as own_keys
from ledger.actions import deployments, fees
from ledger.actions.passes import LOOK_AGAIN_SECONDS, REPLACE_AFTER, single_worker
from ledger.backends.base import ChainRefused, Inclusion, LedgerBackend, record_call
from ledger.models import ChainDeployment, ChainRecord, ChainRecordKind, ChainRecordState
from ledger.proofs import grants

logger = logging.getLogger(__name__)

BATCH = 100
# Confirmed records this young are looked at again: a deep reorganisation may have taken them back.
RECHECK_FOR = timedelta(minutes=15)
RECHECK_BATCH = 20
_OPEN = (ChainRecordState.PENDING, ChainRecordState.SENT)
# A total is refused before its grant is there.
_PRIORITY = Case(
    When(kind=ChainRecordKind.GRANT, then=Value(1)),
    When(kind=ChainRecordKind.METER, then=Value(2)),
    default=Value(0),
    output_field=IntegerField(),
)


@dataclass(frozen=True, slots=True)
class Lane:
    """One account's way to the chain: which records it carries, under which advisory lock, with which keys."""

    kinds: Sequence[ChainRecordKind]
    lock: int
    own_keys: Callable[[], KeyFile]


URGENT = Lane((ChainRecordKind.REVOKE, ChainRecordKind.VOID), 0x68656E6703, own_keys.revocation_keys)
ORDINARY = Lane((ChainRecordKind.GRANT, ChainRecordKind.METER), 0x68656E6702, own_keys.exchange_keys)


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
    """Carry every open record one step on, revocations first; returns how many the chain confirmed in this pass.

    Idempotent: the effect on the chain is looked at before anything is sent, and the signed bytes are
    saved before they go out.
    """
    return _run(URGENT, backend, keys) + _run(ORDINARY, backend, keys)


def send_revocations(*, backend: LedgerBackend | None = None, keys: Any = None) -> int:
    """Carry revocations and voids alone; like `send_chain_records`, and never held up by it."""
    return _run(URGENT, backend, keys)


def _run(lane: Lane, backend: LedgerBackend | None, keys: Any) -> int:
    chain = backend or deployments.configured_backend()
    if chain is None or not ChainRecord.objects.filter(kind__in=lane.kinds).exists():
        return 0
    with single_worker(lane.lock) as alone:
        if not alone:
            return 0
        try:
            return _pass(chain, lane, keys or lane.own_keys())
        except DomainError as error:
            logger.warning("chain records: %s", error.code)
            return 0


def _pass(chain: LedgerBackend, lane: Lane, keys: Any) -> int:
    if not _has_work(lane):
        return 0
    deployment = deployments.check_deployment(chain)
    _reopen(deployment, lane)
    _recheck(chain, deployment, lane)
    nonce = _next_nonce(chain, deployment, lane, keys)
    records = list(ChainRecord.objects.filter(kind__in=lane.kinds, state__in=_OPEN).order_by(_PRIORITY, "pk")[:BATCH])
    for record in records:
        if record.state == ChainRecordState.PENDING or record.deployment_id != deployment.pk:
            if not _prepare(chain, deployment, record, keys, nonce=nonce):
                continue
            nonce += 1
        _carry(chain, deployment, record, keys)
    for pause_seconds in LOOK_AGAIN_SECONDS:
        on_their_way = [record for record in records if record.state == ChainRecordState.SENT]
        if not on_their_way:
            break
        time.sleep(pause_seconds)
        for record in on_their_way:
            _look(chain, deployment, record)
    return sum(record.state == ChainRecordState.CONFIRMED for record in records)


def _has_work(lane: Lane) -> bool:
    """Whether a pass could find anything to do without asking the chain."""
    ours = ChainRecord.objects.filter(kind__in=lane.kinds)
    deployment = deployments.current_deployment()
    young = ours.filter(confirmed_at__gte=timezone.now() - RECHECK_FOR)
    elsewhere = ours.filter(state=ChainRecordState.CONFIRMED).exclude(deployment=deployment)
    return ours.filter(state__in=_OPEN).exists() or young.exists() or elsewhere.exists()


def _next_nonce(chain: LedgerBackend, deployment: ChainDeployment, lane: Lane, keys: Any) -> int:
    """The first nonce that no record on its way holds.

    Where all of them hold later nonces than the chain waits for, they can never be mined: they are planned anew.
    """
    used = chain.nonce(keys.chain_address)
    kinds = [kind for kind in ChainRecordKind if kind in lane.kinds or _same_account(lane, keys)]
    waiting = ChainRecord.objects.filter(kind__in=kinds, state=ChainRecordState.SENT, deployment=deployment)
    lowest, highest = waiting.aggregate(lowest=Min("nonce"), highest=Max("nonce")).values()
    if lowest is not None and lowest > used:
        logger.warning("chain records: nonce %d is missing; what was signed for later ones is planned anew", used)
        waiting.update(state=ChainRecordState.PENDING, nonce=None, raw_transaction="", sent_at=None)
        return used
    return used if highest is None else max(used, highest + 1)


def _same_account(lane: Lane, keys: Any) -> bool:
    """Whether the other lane sends from this account, too: there is no file of keys for revocations."""
    other = ORDINARY if lane is URGENT else URGENT
    return bool(other.own_keys().chain_address == keys.chain_address)


def _recheck(chain: LedgerBackend, deployment: ChainDeployment, lane: Lane) -> None:
    """Take back what a reorganisation took: the very same bytes are due once more."""
    young = ChainRecord.objects.filter(
        kind__in=lane.kinds,
        state=ChainRecordState.CONFIRMED,
        deployment=deployment,
        confirmed_at__gte=timezone.now() - RECHECK_FOR,
    )
    for record in young.order_by(F("block_number").desc(nulls_last=True))[:RECHECK_BATCH]:
        if _has_effect(chain, deployment, record):
            return  # a reorganisation takes the newest blocks: what is older than this stands
        logger.warning("chain records: %s %d left the chain in a reorganisation", record.kind, record.pk)
        again = ChainRecordState.SENT if record.raw_transaction else ChainRecordState.PENDING
        _update(record, state=again, block_number=None, block_hash="", confirmed_at=None, sent_at=None)


def _reopen(deployment: ChainDeployment, lane: Lane) -> None:
    """In a new epoch at the same place (a reset development chain), the old signatures count: send again."""
    elsewhere = ChainRecord.objects.filter(
        kind__in=lane.kinds,
        state=ChainRecordState.CONFIRMED,
        deployment__chain_id=deployment.chain_id,
        deployment__contract_address=deployment.contract_address,
    ).exclude(deployment=deployment)
    if not elsewhere.exists():
        return
    ended = {grant_id_of(record) for record in ChainRecord.objects.filter(kind__in=URGENT.kinds)}
    for record in elsewhere.exclude(kind=ChainRecordKind.REVOKE):
        # No grant there needs no revocation there; a void is repeated, because the owner may grant again.
        if record.kind == ChainRecordKind.VOID or grant_id_of(record) not in ended:
            _update(record, state=ChainRecordState.PENDING, nonce=None, raw_transaction="", confirmed_at=None)


def grant_id_of(record: ChainRecord) -> str:
    """The id of the grant that a record makes, ends or meters; for a void, of the grant under the voided terms."""
    if record.kind == ChainRecordKind.VOID:
        return grants.grant_id(grantor=record.payload["signer"], terms_digest=record.payload["digest"])
    if record.kind == ChainRecordKind.GRANT:
        return grants.grant_id(grantor=record.payload["grantor"], terms_digest=record.payload["terms_digest"])
    return str(record.payload["grant_id"])


def _prepare(chain: LedgerBackend, deployment: ChainDeployment, record: ChainRecord, keys: Any, *, nonce: int) -> bool:
    """Save the signed transaction of a record; False when there is nothing to send."""
    if record.payload.get("open") and _is_over(chain, deployment, record):
        _fail(record, "GRANT_REVOKED")
        return False
    if _has_effect(chain, deployment, record):
        _confirm(record, deployment, chain.inclusion(record.transaction_hash) if record.transaction_hash else None)
        return False
    call = record_call(record.kind, record.payload)
    try:
        chain.simulate(call, address=deployment.contract_address, sender=keys.chain_address)
    except ChainRefused as error:
        if error.reason == "RPC_ERROR" or (error.reason == "NO_GRANT" and _grant_is_on_its_way(record)):
            logger.info("chain records: %s %d waits (%s)", record.kind, record.pk, error.reason)
            return False
        _fail(record, error.reason)
        return False
    signed = chain.sign(
        call,
        address=deployment.contract_address,
        chain_id=deployment.chain_id,
        key=keys.chain,
        nonce=nonce,
        gas_price=fees.first(chain),
    )
    _update(
        record,
        deployment=deployment,
        sent_at=None,
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
    if record.sent_at is not None and timezone.now() - record.sent_at > REPLACE_AFTER:
        _replace(chain, deployment, record, keys)
    try:
        chain.send(record.raw_transaction)
    except ChainRefused as error:
        # The bytes stay as they are; the next pass sees whether they count. Nothing behind them waits for it.
        logger.warning("chain records: the chain did not take %s %d (%s)", record.kind, record.pk, error.reason)
    if record.sent_at is None:
        _update(record, sent_at=timezone.now())


def _replace(chain: LedgerBackend, deployment: ChainDeployment, record: ChainRecord, keys: Any) -> None:
    """The same call at the same nonce with a higher fee, up to the cap; whichever is mined, it counts once."""
    price = fees.raised(chain, chain.gas_price_of(record.raw_transaction))
    if price is None or record.nonce is None:
        return
    signed = chain.sign(
        record_call(record.kind, record.payload),
        address=deployment.contract_address,
        chain_id=deployment.chain_id,
        key=keys.chain,
        nonce=record.nonce,
        gas_price=price,
    )
    _update(record, raw_transaction=signed.raw, transaction_hash=signed.transaction_hash, sent_at=None)


def _look(chain: LedgerBackend, deployment: ChainDeployment, record: ChainRecord) -> bool:
    """Whether the record's transaction has landed, and if so, what became of it."""
    landed = chain.inclusion(record.transaction_hash)
    if landed is None:
        return False
    if not landed.succeeded:
        _start_over(chain, deployment, record)
    elif _is_deep_enough(chain, landed):
        _confirm(record, deployment, landed)
    return True


def _is_deep_enough(chain: LedgerBackend, landed: Inclusion) -> bool:
    depth = settings.CHAIN_CONFIRMATIONS
    return not depth or chain.block_number() - landed.block_number >= depth


def _start_over(chain: LedgerBackend, deployment: ChainDeployment, record: ChainRecord) -> None:
    """The nonce is used up without effect of this transaction: done by another one, or planned anew next time."""
    if _has_effect(chain, deployment, record):
        _confirm(record, deployment, None)
    else:
        _update(record, state=ChainRecordState.PENDING, nonce=None, raw_transaction="", sent_at=None)


def _has_effect(chain: LedgerBackend, deployment: ChainDeployment, record: ChainRecord) -> bool:
    if record.kind == ChainRecordKind.VOID:
        signer, digest = record.payload["signer"], record.payload["digest"]
        return chain.is_voided(deployment.contract_address, signer=signer, digest=digest)
    found = chain.grant(deployment.contract_address, grant_id_of(record))
    if found is None:
        return False
    if record.kind == ChainRecordKind.REVOKE:
        return found.revoked_at != 0
    if record.kind == ChainRecordKind.METER:
        return found.used >= int(record.payload["used"])
    wanted = (record.payload["not_before"], record.payload["not_after"], record.payload["cap"])
    return (found.not_before, found.not_after, found.cap) == wanted


def _is_over(chain: LedgerBackend, deployment: ChainDeployment, record: ChainRecord) -> bool:
    """Whether the grant was revoked: a total that stands already says nothing about that."""
    found = chain.grant(deployment.contract_address, grant_id_of(record))
    if found is None:
        return False
    voided = chain.is_voided(deployment.contract_address, signer=found.grantor, digest=found.terms_digest)
    return voided or found.revoked_at != 0


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
