"""The anchoring pass: look at the chain, look at the log, do the one next step.

Nothing is queued. The contract says what is anchored, the log says what should be, and the rows about
attempts are notes that a crash may lose without harm. A pass may be repeated, doubled or cut off at
any line: the signed transaction is saved before it is sent, so the same bytes go out again, and the
contract moves only from the size it holds, so no second copy counts.
"""

import logging
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from exchange.kernel.errors import DomainError
from ledger import keys as own_keys
from ledger.actions import chain_looks, chain_proofs, deployments, fees, witnessing
from ledger.actions.passes import LOOK_AGAIN_SECONDS, REPLACE_AFTER, single_worker
from ledger.actions.proofs import anchor_document
from ledger.backends.base import AnchoredRoot, ChainRefused, LedgerBackend, SignedTransaction, anchor_call
from ledger.models import Anchor, AnchorAttempt, AttemptState, ChainDeployment, Checkpoint, Entry, Leaf, Log, Tile
from ledger.proofs import tiles
from ledger.proofs.errors import VerificationError

logger = logging.getLogger(__name__)

_LOCK = 0x68656E6701  # "heng" and the duty's number: the advisory lock of this pass
_OPEN = (AttemptState.PREPARED, AttemptState.SENT)


class AnchorOutcome(StrEnum):
    """What one pass found or did."""

    NOT_CONFIGURED = "not_configured"
    BUSY = "busy"
    UNREACHABLE = "unreachable"
    NOT_DEPLOYED = "not_deployed"
    WRONG_CHAIN = "wrong_chain"
    ALARM = "alarm"
    NOTHING_NEW = "nothing_new"
    SENT = "sent"
    WAITING = "waiting"
    ANCHORED = "anchored"
    SHARD_NOT_OPEN = "shard_not_open"


@dataclass(frozen=True, slots=True)
class AnchorPass:
    """The outcome of a pass and the log size that the chain holds, confirmed."""

    outcome: AnchorOutcome
    anchored_size: int = 0
    alarm: str = ""


def anchor_pass(
    *, backend: LedgerBackend | None = None, keys: Any = None, confirmations: int | None = None
) -> AnchorPass:
    """Bring the chain one step nearer to the log.

    Args:
        backend, keys, confirmations: what the settings name, unless given.
    Idempotent: with nothing new it reads and returns. Never raises for the chain's sake: an endpoint
        that is silent, wrong or ahead of the log is an outcome, logged, and looked at again next time.
    """
    chain = backend or deployments.configured_backend()
    if chain is None:
        return AnchorPass(AnchorOutcome.NOT_CONFIGURED)
    with single_worker(_LOCK) as alone:
        if not alone:
            return AnchorPass(AnchorOutcome.BUSY)
        try:
            depth = settings.CHAIN_CONFIRMATIONS if confirmations is None else confirmations
            return _reconcile(chain, keys or own_keys.log_keys(), confirmations=depth)
        except DomainError as error:
            logger.warning("anchoring: %s", error.code)
            return AnchorPass(_OUTCOMES.get(error.code, AnchorOutcome.UNREACHABLE), anchored_size())


_OUTCOMES = {
    deployments.ChainNotDeployed.code: AnchorOutcome.NOT_DEPLOYED,
    deployments.ChainMismatch.code: AnchorOutcome.WRONG_CHAIN,
}


def anchored_size(log: int | None = None) -> int:
    """How many leaves of a log (the open one, unless told) are anchored and confirmed in the present epoch."""
    deployment = deployments.current_deployment()
    if deployment is None:
        return 0
    wanted = (
        deployment.anchors.filter(log__frozen_at__isnull=True) if log is None else deployment.anchors.filter(log=log)
    )
    newest = wanted.order_by("-size").first()
    return 0 if newest is None else newest.size


def is_anchored(entry: Entry) -> bool:
    """Whether the entry lies under a confirmed anchor."""
    leaf = Leaf.objects.filter(entry=entry).first()
    return leaf is not None and leaf.index < anchored_size(leaf.log_id)


def anchor_for(size: int) -> dict[str, Any] | None:
    """The first anchor that covers the open log of `size` leaves, as receipts carry it; None when there is none yet.

    Its own `size` may be larger: a receipt takes its checkpoint at that size.
    """
    deployment = deployments.current_deployment()
    if deployment is None:
        return None
    anchor = deployment.anchors.filter(log__frozen_at__isnull=True, size__gte=size).order_by("size").first()
    return None if anchor is None else anchor_document(anchor)


def _reconcile(chain: LedgerBackend, keys: Any, *, confirmations: int) -> AnchorPass:
    deployment = deployments.check_deployment(chain)
    # The chain is read before the log: a log that grows in between is never mistaken for one that lags.
    head = chain.anchored(deployment.contract_address)
    confirmed = head if not confirmations else chain.anchored(deployment.contract_address, confirmations=confirmations)
    chain_looks.note(deployment)
    alarm = _compare(head)
    if alarm:
        return AnchorPass(AnchorOutcome.ALARM, anchored_size(), alarm)
    log = Log.objects.filter(number=head.shard).first()
    if log is None:
        return AnchorPass(AnchorOutcome.NOTHING_NEW)
    _note_confirmed(chain, deployment, confirmed)
    target = witnessing.anchor_target(log)
    if target is None or target.size <= head.size:
        settled = (head.shard, head.size) == (confirmed.shard, confirmed.size)
        _close_attempts(chain, deployment, head)
        # A frozen log is done only at its final size: its last checkpoint may still wait for its witnesses.
        if log.is_frozen and settled and confirmed.size == log.size:
            logger.warning("anchoring: log %s is frozen and anchored; the chain waits for open_shard", log.origin)
            return AnchorPass(AnchorOutcome.SHARD_NOT_OPEN, confirmed.size)
        outcome = AnchorOutcome.NOTHING_NEW if settled else AnchorOutcome.WAITING
        return AnchorPass(outcome, confirmed.size)
    waiting = _resume(chain, deployment, head, keys)
    if waiting is None:
        attempt = _prepare(chain, deployment, head, target, keys)
        _send(chain, attempt)
    return _look_again(chain, deployment, confirmations=confirmations)


def _look_again(chain: LedgerBackend, deployment: ChainDeployment, *, confirmations: int) -> AnchorPass:
    """A chain that mines at once has the anchor in a moment; do not make its readers wait for the next pass."""
    for pause_seconds in LOOK_AGAIN_SECONDS:
        time.sleep(pause_seconds)
        confirmed = chain.anchored(deployment.contract_address, confirmations=confirmations)
        _note_confirmed(chain, deployment, confirmed)
        if not deployment.attempts.filter(state__in=_OPEN).exists():
            return AnchorPass(AnchorOutcome.ANCHORED, confirmed.size)
    return AnchorPass(AnchorOutcome.SENT, confirmed.size)


def _compare(head: AnchoredRoot) -> str:
    """Note in the log's head whether the chain holds what our log does not; the code of the alarm or "".

    While it stands nothing is signed. It goes by itself once chain and log agree again, for example after
    the right backup was restored.
    """
    current = Log.objects.current()
    log = Log.objects.filter(number=head.shard).first()
    size = 0 if log is None else log.size
    if head.size > size or (log is None and head.shard > 1):
        alarm = "CHAIN_AHEAD"
    elif log is not None and head.size and _our_root(log, head.size) != head.root:
        alarm = "CHAIN_DIFFERS"
    else:
        alarm = ""
    if alarm:
        logger.critical("anchoring: %s: the log was shortened or edited since the chain saw it; signing stops", alarm)
    if current is not None and current.alarm != alarm:
        Log.objects.filter(pk=current.pk).update(alarm=alarm)
    return alarm


def _our_root(log: Log, size: int) -> str:
    try:
        return tiles.root(size=size, read=Tile.objects.reader(log)).hex()
    except VerificationError:  # a tile is missing hashes: no root of ours equals anything
        return ""


def _note_confirmed(chain: LedgerBackend, deployment: ChainDeployment, confirmed: AnchoredRoot) -> None:
    """Make the rows say what the chain says: take back anchors it lost, write down the one it holds."""
    ours = deployment.anchors.filter(log=confirmed.shard)
    later = deployment.anchors.filter(log__gt=confirmed.shard)
    lost = ours.filter(size__gt=confirmed.size) | later
    for anchor in lost:
        logger.warning("anchoring: size %d left the chain in a reorganisation", anchor.size)
    lost.delete()
    if confirmed.size == 0 or (confirmed.shard, confirmed.size) == (1, deployment.first_size):
        return
    log = Log.objects.filter(number=confirmed.shard).first()
    if log is None or confirmed.size > log.size or _our_root(log, confirmed.size) != confirmed.root:
        logger.warning("anchoring: size %d is said to be confirmed with a root that is not ours", confirmed.size)
        return
    found = ours.filter(size=confirmed.size).first()
    # The shard is part of the question: another shard may have stood at the same size.
    landed = chain.anchored_event(deployment.contract_address, size=confirmed.size, shard=confirmed.shard)
    if landed is None or (found is not None and found.block_hash == landed.block_hash):
        return
    proof = chain_proofs.of_root(
        chain,
        deployment,
        shard=confirmed.shard,
        size=confirmed.size,
        root=confirmed.root,
        block_number=landed.block_number,
    )
    with transaction.atomic():
        Anchor.objects.update_or_create(
            deployment=deployment,
            log_id=confirmed.shard,
            size=confirmed.size,
            defaults={
                "root": confirmed.root,
                "block_number": landed.block_number,
                "block_hash": landed.block_hash,
                "transaction_hash": landed.transaction_hash,
                "confirmed_at": timezone.now(),
                "proof": proof,
            },
        )
        deployment.attempts.filter(transaction_hash=landed.transaction_hash).update(
            state=AttemptState.CONFIRMED, block_number=landed.block_number, block_hash=landed.block_hash
        )
        done = deployment.attempts.filter(log=confirmed.shard, new_size__lte=confirmed.size)
        done.filter(state__in=_OPEN).update(state=AttemptState.LOST)


def _close_attempts(chain: LedgerBackend, deployment: ChainDeployment, head: AnchoredRoot) -> None:
    """Attempts whose effect is on the chain under another transaction need no more care."""
    _leave_earlier_shards(deployment, head)
    done = deployment.attempts.filter(log=head.shard, new_size__lte=head.size)
    for attempt in done.filter(state__in=_OPEN):
        if chain.inclusion(attempt.transaction_hash) is None:
            _mark(attempt, AttemptState.LOST)


def _leave_earlier_shards(deployment: ChainDeployment, head: AnchoredRoot) -> None:
    """The contract takes nothing for a frozen shard any more: what was on its way there is lost."""
    deployment.attempts.filter(log__lt=head.shard, state__in=_OPEN).update(state=AttemptState.LOST)


def _resume(chain: LedgerBackend, deployment: ChainDeployment, head: AnchoredRoot, keys: Any) -> AnchorAttempt | None:
    """Carry the open attempt on; None when there is none left and a new one may be planned."""
    _leave_earlier_shards(deployment, head)
    used = chain.nonce(keys.chain_address)
    for attempt in deployment.attempts.filter(log=head.shard, state__in=_OPEN).order_by("-pk"):
        landed = chain.inclusion(attempt.transaction_hash)
        if landed is not None and landed.succeeded and attempt.new_size <= head.size:
            continue  # mined and waiting for its confirmations: the next anchor may follow
        if landed is not None or attempt.nonce < used or attempt.old_size != head.size:
            _mark(attempt, AttemptState.LOST)
            continue
        now = timezone.now()
        if attempt.sent_at is not None and now - attempt.sent_at > REPLACE_AFTER:
            attempt = _replace(chain, deployment, attempt, keys)
        _send(chain, attempt)
        return attempt
    return None


def _prepare(
    chain: LedgerBackend, deployment: ChainDeployment, head: AnchoredRoot, target: Checkpoint, keys: Any
) -> AnchorAttempt:
    signed = _sign(
        chain,
        deployment,
        keys,
        log=target.log,
        old_size=head.size,
        new_size=target.size,
        root=target.root,
        nonce=chain.nonce(keys.chain_address),
        gas_price=fees.first(chain),
    )
    return _persist(deployment, signed, log=target.log, old_size=head.size, new_size=target.size, root=target.root)


def _replace(chain: LedgerBackend, deployment: ChainDeployment, attempt: AnchorAttempt, keys: Any) -> AnchorAttempt:
    """The same step at the same nonce with a higher fee, up to the cap; whichever is mined, the step is done once."""
    price = fees.raised(chain, chain.gas_price_of(attempt.raw_transaction))
    if price is None:
        return attempt
    signed = _sign(
        chain,
        deployment,
        keys,
        log=attempt.log,
        old_size=attempt.old_size,
        new_size=attempt.new_size,
        root=attempt.root,
        nonce=attempt.nonce,
        gas_price=price,
    )
    with transaction.atomic():
        _mark(attempt, AttemptState.REPLACED)
        return _persist(
            deployment, signed, log=attempt.log, old_size=attempt.old_size, new_size=attempt.new_size, root=attempt.root
        )


def _sign(
    chain: LedgerBackend,
    deployment: ChainDeployment,
    keys: Any,
    *,
    log: Log,
    old_size: int,
    new_size: int,
    root: str,
    nonce: int,
    gas_price: int,
) -> SignedTransaction:
    read = Tile.objects.reader(log)
    proof = tiles.consistency_proof(old_size=old_size, new_size=new_size, read=read) if old_size else []
    return chain.sign(
        anchor_call(old_size=old_size, new_size=new_size, root=root, proof=proof, shard=log.number),
        address=deployment.contract_address,
        chain_id=deployment.chain_id,
        key=keys.chain,
        nonce=nonce,
        gas_price=gas_price,
    )


def _persist(
    deployment: ChainDeployment, signed: SignedTransaction, *, log: Log, old_size: int, new_size: int, root: str
) -> AnchorAttempt:
    attempt, _ = AnchorAttempt.objects.get_or_create(
        transaction_hash=signed.transaction_hash,
        defaults={
            "deployment": deployment,
            "log": log,
            "old_size": old_size,
            "new_size": new_size,
            "root": root,
            "nonce": signed.nonce,
            "raw_transaction": signed.raw,
        },
    )
    if attempt.state not in _OPEN or attempt.deployment_id != deployment.pk:
        # A reorganisation or a reset chain took it back: the very same bytes are due once more.
        attempt.state, attempt.deployment, attempt.sent_at = AttemptState.PREPARED, deployment, None
        attempt.save(update_fields=["state", "deployment", "sent_at"])
    return attempt


def _send(chain: LedgerBackend, attempt: AnchorAttempt) -> None:
    try:
        chain.send(attempt.raw_transaction)
    except ChainRefused as error:
        # The bytes stay as they are: the next pass sees whether they count and plans anew if not.
        logger.warning("anchoring: the chain did not take the transaction (%s)", error.reason)
    if attempt.state == AttemptState.PREPARED:
        attempt.state, attempt.sent_at = AttemptState.SENT, timezone.now()
        attempt.save(update_fields=["state", "sent_at"])


def _mark(attempt: AnchorAttempt, state: AttemptState) -> None:
    attempt.state = state
    attempt.save(update_fields=["state"])
