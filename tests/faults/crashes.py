"""Workers killed at named moments, several at once, a nonce taken, a fee that runs away."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError
from django.utils import timezone
from eth_account import Account

from ledger import actions as ledger
from ledger import keys
from ledger.actions import anchoring, log
from ledger.errors import SignedCheckpointMissing
from ledger.models import AnchorAttempt, Log
from tests.faults import outside
from tests.faults.verdicts import Broken, Verdict, healed, scenario, sister

if TYPE_CHECKING:
    from tests.faults.world import Worker, World


def _standing(world: "World") -> None:
    """A log on a chain, with an anchor or without one yet."""
    world.start_chain()
    if world.rng.random() < 0.7:
        world.grow(world.some())
        world.settle()


def _stopped(world: "World", work: Any, *, at: str, nth: int = 1) -> "Worker":
    worker = world.worker(work, at=at, nth=nth)
    if not worker.reached():
        worker.end()
        raise Broken(f"the worker never came to {at}")
    return worker


def _whole_again(world: "World") -> Verdict:
    if world.rng.random() < 0.5:
        world.record(world.some())  # the business does not wait for the repair
    world.settle()
    outside.check_whole(world)
    return healed()


def _killed_while_anchoring(world: "World", at: str) -> Verdict:
    _standing(world)
    world.grow(world.some())
    _stopped(world, anchoring.anchor_pass, at=at).kill()
    return _whole_again(world)


@scenario("crash_before_persist")
def crash_before_persist(world: "World") -> Verdict:
    """Killed with the anchoring transaction signed, not saved."""
    return _killed_while_anchoring(world, "anchor.before_persist")


@scenario("crash_after_persist")
def crash_after_persist(world: "World") -> Verdict:
    """Killed with the transaction saved, not sent."""
    return _killed_while_anchoring(world, "anchor.persisted")


@scenario("crash_after_send")
def crash_after_send(world: "World") -> Verdict:
    """Killed with the transaction sent, nothing noted about it."""
    return _killed_while_anchoring(world, "anchor.sent")


@scenario("crash_mid_batch")
def crash_mid_batch(world: "World") -> Verdict:
    """The sealer killed inside the transaction of one of its batches."""
    _standing(world)
    count = world.some()
    log.BATCH = max(1, count // world.rng.randint(1, 4))
    try:
        world.record(count)
        moments = ["log.leaves_placed", "log.leaves_written", "log.before_commit", "log.sequenced"]
        batch = world.rng.randint(1, count // log.BATCH)
        _stopped(world, ledger.seal, at=world.rng.choice(moments), nth=batch).kill()
        return _whole_again(world)
    finally:
        log.BATCH = 1000


@scenario("crash_between_file_and_commit")
def crash_between_file_and_commit(world: "World") -> Verdict:
    """The sealer killed with the checkpoint in the file and not in the database."""
    _standing(world)
    world.record(world.some())
    _stopped(world, ledger.seal, at="log.remembered").kill()
    signed = world.remembered()
    ledger.seal()
    if world.remembered() != signed:
        raise Broken("another note was signed for the same size")
    return _whole_again(world)


@scenario("three_workers_without_a_lock")
def three_workers_without_a_lock(world: "World") -> Verdict:
    """Three anchoring workers that do not see each other's lock, all past the look at the chain before any sends."""
    _standing(world)
    world.grow(world.some())
    moment = world.rng.choice(["anchor.before_persist", "anchor.before_send"])
    workers = [_stopped(world, _lockless_pass, at=moment) for _ in range(3)]
    world.rng.shuffle(workers)
    victim = world.rng.randrange(4)
    for number, worker in enumerate(workers):
        worker.kill() if number == victim else worker.go_on()
    codes = [worker.end() for number, worker in enumerate(workers) if number != victim]
    if any(codes):
        raise Broken("a worker raised")
    return _whole_again(world)


def _lockless_pass() -> None:
    from contextlib import nullcontext

    anchoring.single_worker = lambda lock: nullcontext(True)  # type: ignore[assignment]
    anchoring.anchor_pass()


@scenario("nonce_stolen")
def nonce_stolen(world: "World") -> Verdict:
    """Another transaction of the same account takes the nonce between saving and sending."""
    _standing(world)
    world.grow(world.some())
    worker = _stopped(world, anchoring.anchor_pass, at="anchor.persisted")
    for _ in range(world.rng.randint(1, 3)):
        _take_a_nonce(world)
    if world.rng.random() < 0.5:
        worker.kill()
    else:
        worker.go_on()
        worker.end()
    return _whole_again(world)


def _take_a_nonce(world: "World") -> None:
    own = keys.log_keys()
    transaction = {
        "to": own.chain_address,
        "value": 0,
        "gas": 21_000,
        "gasPrice": 10**11,
        "nonce": int(world.rpc("eth_getTransactionCount", own.chain_address, "latest"), 16),
        "chainId": int(world.rpc("eth_chainId"), 16),
    }
    signed = Account.sign_transaction(transaction, own.chain.secret)
    world.rpc("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())


@scenario("base_fee_x50")
def base_fee_x50(world: "World") -> Verdict:
    """The base fee rises fiftyfold with a transaction on its way; time passes by the clock of the exchange's rows."""
    _standing(world)
    world.grow(world.some())
    fee = int(world.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    worker = _stopped(world, anchoring.anchor_pass, at="anchor.persisted")
    world.rpc("evm_setAutomine", False)
    worker.go_on()
    worker.end()
    high = fee * 50
    for _ in range(12):
        world.rpc("anvil_setNextBlockBaseFeePerGas", hex(high))
        world.rpc("evm_mine")
        waiting = AnchorAttempt.objects.filter(state="sent")
        waiting.update(sent_at=timezone.now() - anchoring.REPLACE_AFTER - timedelta(seconds=1))
        world.anchor()
        if outside.head(world.chain_url, world.address)[0] == world.sql("SELECT size FROM ledger_log")[0][0]:
            break
    else:
        raise Broken("twelve passes did not pay what the chain asks for")
    world.rpc("evm_setAutomine", True)
    return _whole_again(world)


# --- guards off ----------------------------------------------------------------------------------------------


@sister("crash_mid_batch_without_a_transaction")
def crash_mid_batch_without_a_transaction(world: "World") -> Verdict:
    """The sequencer's steps committed one by one: a kill leaves leaves without tiles."""
    _standing(world)
    world.record(world.some())
    _stopped(world, _seal_step_by_step, at="log.leaves_written").kill()
    try:
        return _whole_again(world)
    except IntegrityError as error:
        raise Broken("the log cannot go on: the next place is taken") from error


def _seal_step_by_step() -> None:
    log.lock_log = Log.objects.get
    log.sequence.__wrapped__()  # type: ignore[attr-defined]


@sister("anchored_twice")
def anchored_twice(world: "World") -> Verdict:
    """A contract that forgets what it holds, which is what compare-and-swap prevents: the second anchor is seen."""
    world.start_chain()
    world.grow(world.some())
    world.settle()
    from ledger.proofs import layout

    for slot in (layout.plain("size"), layout.plain("root")):
        world.rpc("anvil_setStorageAt", world.address, slot, "0x" + "00" * 32)
    return _whole_again(world)


@sister("crash_between_file_and_commit_without_the_file")
def crash_between_file_and_commit_without_the_file(world: "World") -> Verdict:
    """The note is never kept outside: after the kill the file does not hold what was signed."""
    _standing(world)
    world.grow(1)
    world.record(world.some())
    before = world.remembered()
    remember = log.remember
    log.remember = lambda note, *, number: None
    try:
        ledger.seal()
        world.settle()
    except SignedCheckpointMissing as refusal:
        raise Broken(f"the log cannot go on: {refusal.code}") from refusal
    finally:
        log.remember = remember
    if world.remembered() == before:
        outside.check_whole(world)
    return healed()
