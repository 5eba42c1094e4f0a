"""The anchoring pass against both backends, with crashes, resets and edited logs."""

import hashlib
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from ledger import actions as ledger
from ledger import keys, tasks
from ledger.actions import anchoring, chain_alarms, chain_events, deployments, log
from ledger.actions.anchoring import AnchorOutcome, anchor_pass
from ledger.backends.base import Call, ChainUnreachable, LedgerBackend, open_shard_call
from ledger.backends.evm import EVMBackend
from ledger.backends.memory import MemoryBackend
from ledger.errors import LogBehindSignedCheckpoint
from ledger.models import Anchor, AnchorAttempt, AttemptState, ChainDeployment, Log
from tests.factories.ledger import exchange_key_files, record
from tests.unit.ledger.chain_world import wait_for

pytestmark = [pytest.mark.django_db, pytest.mark.chain]


class Crash(BaseException):
    """The process dies here; no handler of ours may catch it."""


@pytest.fixture(autouse=True)
def _own_keys(settings, tmp_path):
    exchange_key_files(settings, tmp_path)
    settings.CHAIN_CONTRACT_ADDRESS = ""


@pytest.fixture(params=["memory", "evm"])
def chain(request) -> LedgerBackend:
    if request.param == "memory":
        return MemoryBackend()
    return EVMBackend(request.getfixturevalue("chain_rpc"))


@pytest.fixture
def deployment(chain) -> ChainDeployment:
    return deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())


def grow(count: int) -> int:
    record(count)
    checkpoint = ledger.seal()
    assert checkpoint is not None
    return checkpoint.size


def events(chain: LedgerBackend, deployment: ChainDeployment, sizes: list[int]) -> list[int]:
    return [size for size in sizes if chain.anchored_event(deployment.contract_address, size=size)]


def test_without_a_chain_anchors_wait_and_nothing_fails(settings):
    settings.CHAIN_RPC_URL = ""
    grow(3)
    assert anchor_pass().outcome == AnchorOutcome.NOT_CONFIGURED
    assert (ledger.anchored_size(), ledger.anchor_for(1)) == (0, None)


def test_a_chain_without_our_contract_is_said_so(chain):
    grow(1)
    assert anchor_pass(backend=chain).outcome == AnchorOutcome.NOT_DEPLOYED


def test_the_log_is_anchored_step_by_step(chain, deployment):
    entry = record(1)[0]
    grow(2)

    first = anchor_pass(backend=chain)
    idle = anchor_pass(backend=chain)
    size = grow(5)
    second = anchor_pass(backend=chain)

    assert (first.outcome, first.anchored_size) == (AnchorOutcome.ANCHORED, 3)
    assert (idle.outcome, idle.anchored_size) == (AnchorOutcome.NOTHING_NEW, 3)
    assert (second.outcome, second.anchored_size) == (AnchorOutcome.ANCHORED, size)
    assert ledger.is_anchored(entry)
    assert list(Anchor.objects.order_by("size").values_list("size", flat=True)) == [3, 8]


def test_an_anchor_is_what_a_receipt_carries(chain, deployment):
    grow(4)
    anchor_pass(backend=chain)

    anchor = ledger.anchor_for(2)

    assert anchor is not None
    assert set(anchor) == {
        "chain_id", "contract_address", "size", "root", "block_number", "block_hash", "transaction",
    }  # fmt: skip
    assert (anchor["size"], anchor["root"]) == (4, Log.objects.get().root)
    assert ledger.anchor_for(5) is None


def test_deploying_again_returns_the_first(chain, deployment):
    again = deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    assert again.pk == deployment.pk
    assert ChainDeployment.objects.count() == 1


@pytest.mark.parametrize("point", ["before persist", "after persist", "after send"])
def test_a_crash_at_any_point_ends_in_one_anchor(chain, deployment, monkeypatch, point):
    grow(3)
    send = chain.send

    def die(*args, **kwargs):
        raise Crash

    def send_and_die(raw):
        send(raw)
        raise Crash

    with monkeypatch.context() as patch:
        if point == "before persist":
            patch.setattr(anchoring, "_persist", die)
        else:
            patch.setattr(chain, "send", die if point == "after persist" else send_and_die)
        with pytest.raises(Crash):
            anchor_pass(backend=chain)

    for _ in range(3):
        anchor_pass(backend=chain)
    assert ledger.anchored_size() == 3
    assert events(chain, deployment, [3]) == [3]
    assert AnchorAttempt.objects.filter(state=AttemptState.CONFIRMED).count() == 1
    assert not AnchorAttempt.objects.filter(state__in=["prepared", "sent"]).exists()


def test_bytes_saved_before_a_crash_are_the_bytes_sent_after_it(chain, deployment, monkeypatch):
    grow(2)
    with monkeypatch.context() as patch:
        patch.setattr(chain, "send", _raise(Crash()))
        with pytest.raises(Crash):
            anchor_pass(backend=chain)
    saved = AnchorAttempt.objects.get().transaction_hash

    anchor_pass(backend=chain)

    assert Anchor.objects.get().transaction_hash == saved


def test_a_silent_chain_is_asked_again_later(chain, deployment, monkeypatch):
    grow(2)
    with monkeypatch.context() as patch:
        patch.setattr(chain, "anchored", _raise(ChainUnreachable("silent")))
        assert anchor_pass(backend=chain).outcome == AnchorOutcome.UNREACHABLE
    assert anchor_pass(backend=chain).outcome == AnchorOutcome.ANCHORED


def test_a_stolen_nonce_is_planned_anew(chain, deployment, monkeypatch):
    grow(2)
    with monkeypatch.context() as patch:
        patch.setattr(chain, "send", _raise(Crash()))
        with pytest.raises(Crash):
            anchor_pass(backend=chain)
    _use_up_a_nonce(chain, deployment)

    for _ in range(3):
        anchor_pass(backend=chain)

    assert ledger.anchored_size() == 2
    assert set(AnchorAttempt.objects.values_list("state", flat=True)) == {AttemptState.LOST, AttemptState.CONFIRMED}


def test_a_stuck_transaction_is_replaced_at_its_nonce_with_a_higher_fee(deployment, chain, monkeypatch):
    grow(2)
    price = max(1, chain.gas_price())
    with monkeypatch.context() as patch:
        patch.setattr(chain, "gas_price", lambda: price)
        patch.setattr(chain, "send", lambda raw: None)
        assert anchor_pass(backend=chain).outcome == AnchorOutcome.SENT
        AnchorAttempt.objects.update(sent_at=timezone.now() - timedelta(minutes=1))
        anchor_pass(backend=chain)

    stuck, fresh = AnchorAttempt.objects.order_by("pk")
    assert (stuck.state, fresh.state, stuck.nonce) == (AttemptState.REPLACED, AttemptState.SENT, fresh.nonce)
    assert chain.gas_price_of(fresh.raw_transaction) * 1000 >= 1125 * chain.gas_price_of(stuck.raw_transaction)
    anchor_pass(backend=chain)
    assert ledger.anchored_size() == 2


def test_another_worker_at_the_same_time_stays_out(chain, deployment):
    grow(2)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [anchoring._LOCK])
            assert anchor_pass(backend=chain).outcome == AnchorOutcome.BUSY
            # Closing alone lets go of the lock only once the server has noticed.
            cursor.execute("SELECT pg_advisory_unlock(%s)", [anchoring._LOCK])
    finally:
        other.close()
    assert anchor_pass(backend=chain).outcome == AnchorOutcome.ANCHORED


def test_without_the_lock_two_workers_still_make_one_anchor(chain, deployment, monkeypatch):
    """The sister: the lock saves gas, the contract's compare-and-swap is what keeps the log straight."""
    grow(2)
    send, nested = chain.send, []

    def second_worker_comes_first(raw):
        if not nested:
            nested.append(True)
            nested.append(anchoring._reconcile(chain, keys.log_keys(), confirmations=0))
        send(raw)

    monkeypatch.setattr(chain, "send", second_worker_comes_first)
    anchor_pass(backend=chain)
    anchor_pass(backend=chain)

    assert ledger.anchored_size() == 2
    assert Anchor.objects.count() == 1
    assert chain.anchored(deployment.contract_address).size == 2


def test_a_reset_chain_is_refused_until_a_new_epoch_begins():
    before, after = MemoryBackend(genesis="first"), MemoryBackend(genesis="second")
    deployments.deploy(backend=before, anchor=keys.log_keys(), record=keys.exchange_keys())
    grow(3)
    anchor_pass(backend=before)

    assert anchor_pass(backend=after).outcome == AnchorOutcome.WRONG_CHAIN
    second = deployments.deploy(backend=after, anchor=keys.log_keys(), record=keys.exchange_keys())

    assert second.epoch == 2
    assert anchor_pass(backend=after).outcome == AnchorOutcome.ANCHORED
    assert ledger.anchored_size() == 3
    assert Anchor.objects.count() == 2  # the old epoch's proof keeps its label


def test_a_log_restored_from_an_old_backup_raises_the_alarm_and_signs_nothing(chain, deployment, settings):
    grow(5)
    anchor_pass(backend=chain)
    head = Log.objects.get()
    Log.objects.update(size=2)

    assert anchor_pass(backend=chain).alarm == "CHAIN_AHEAD"
    with pytest.raises(LogBehindSignedCheckpoint, match="CHAIN_AHEAD"):
        log.sign()

    Log.objects.update(size=head.size, root=head.root)  # the right backup is found
    assert anchor_pass(backend=chain).outcome == AnchorOutcome.NOTHING_NEW
    assert Log.objects.get().alarm == ""


def test_a_chain_that_holds_another_root_raises_the_alarm(chain, deployment, monkeypatch):
    grow(3)
    anchor_pass(backend=chain)
    monkeypatch.setattr(anchoring, "_our_root", lambda log, size: "11" * 32)

    assert anchor_pass(backend=chain).outcome == AnchorOutcome.ALARM
    assert Log.objects.get().alarm == "CHAIN_DIFFERS"


def test_a_reorganisation_takes_the_anchor_back_and_the_pass_heals_it(chain_rpc):
    chain = EVMBackend(chain_rpc)
    deployment = deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    rpc = chain._web3.provider.make_request
    grow(2)
    anchor_pass(backend=chain)
    before = rpc("evm_snapshot", [])["result"]
    grow(4)
    anchor_pass(backend=chain)
    assert ledger.anchored_size() == 6

    rpc("evm_revert", [before])
    healed = [anchor_pass(backend=chain) for _ in range(3)]

    assert [outcome.anchored_size for outcome in healed][-1] == 6
    assert events(chain, deployment, [2, 6]) == [2, 6]
    assert list(Anchor.objects.order_by("size").values_list("size", flat=True)) == [2, 6]


def test_an_anchor_counts_only_below_the_demanded_confirmations(chain_rpc):
    chain = EVMBackend(chain_rpc)
    deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    grow(2)

    assert anchor_pass(backend=chain, confirmations=2).anchored_size == 0
    assert anchor_pass(backend=chain, confirmations=2).outcome == AnchorOutcome.WAITING
    chain._web3.provider.make_request("anvil_mine", ["0x2"])

    assert anchor_pass(backend=chain, confirmations=2).anchored_size == 2
    assert Anchor.objects.count() == 1


def _use_up_a_nonce(chain, deployment) -> None:
    sender = keys.log_keys()
    signed = chain.sign(
        Call("meter", (bytes(32), 1)),
        address=deployment.contract_address,
        chain_id=deployment.chain_id,
        key=sender.chain,
        nonce=chain.nonce(sender.chain_address),
        gas_price=chain.gas_price(),
    )
    chain.send(signed.raw)
    assert wait_for(chain, signed.transaction_hash).succeeded is False


def _raise(error: BaseException):
    def fail(*args, **kwargs):
        raise error

    return fail


# --- shards --------------------------------------------------------------------------------------------------


def open_next_log() -> Log:
    """Freeze the open log as it stands and begin the next: what the key-life actions do, without their documents."""
    current = Log.objects.current()
    assert current is not None
    Log.objects.filter(pk=current.pk).update(frozen_at=timezone.now())
    return Log.objects.create(
        number=current.number + 1,
        origin=f"hengshu.example/ledger/{2026 + current.number}",
        vkey=keys.log_vkey(f"hengshu.example/ledger/{2026 + current.number}"),
        root=hashlib.sha256(b"").hexdigest(),
        epoch=current.epoch,
    )


def open_shard(chain, deployment, number: int) -> None:
    log_key_hash = hashlib.sha256(Log.objects.get(number=number).vkey.encode()).hexdigest()
    call_as_admin(chain, deployment, open_shard_call(number=number, log_key_hash=log_key_hash))


def call_as_admin(chain, deployment, call) -> None:
    admin = keys.exchange_keys()
    signed = chain.sign(
        call,
        address=deployment.contract_address,
        chain_id=deployment.chain_id,
        key=admin.chain,
        nonce=chain.nonce(admin.chain_address),
        gas_price=chain.gas_price(),
    )
    chain.send(signed.raw)
    assert wait_for(chain, signed.transaction_hash).succeeded


def test_a_frozen_log_is_anchored_to_its_end_then_the_next_begins(chain, deployment):
    grow(3)
    anchor_pass(backend=chain)
    grow(2)
    open_next_log()

    assert anchor_pass(backend=chain).anchored_size == 5
    assert [anchor_pass(backend=chain).outcome for _ in range(2)] == [AnchorOutcome.SHARD_NOT_OPEN] * 2
    grow(3)  # the next log grows; the chain does not know it yet
    assert anchor_pass(backend=chain).outcome == AnchorOutcome.SHARD_NOT_OPEN
    assert ledger.anchored_size() == 0

    open_shard(chain, deployment, 2)
    assert anchor_pass(backend=chain).outcome == AnchorOutcome.ANCHORED
    grow(4)
    assert anchor_pass(backend=chain).outcome == AnchorOutcome.ANCHORED
    assert (ledger.anchored_size(1), ledger.anchored_size(2)) == (5, 7)
    held = chain.anchored(deployment.contract_address)
    assert (held.shard, held.size) == (2, 7)


def test_the_same_size_in_two_shards_is_two_anchors(chain, deployment):
    """An anchor is found by shard and size: by size alone, the later shard would show the earlier one's block."""
    grow(3)
    anchor_pass(backend=chain)
    open_next_log()
    anchor_pass(backend=chain)
    open_shard(chain, deployment, 2)
    grow(3)
    anchor_pass(backend=chain)

    first, second = Anchor.objects.order_by("log_id")
    assert (first.size, second.size) == (3, 3)
    assert first.transaction_hash != second.transaction_hash
    assert chain.anchored_event(deployment.contract_address, size=3, shard=1).block_hash == first.block_hash


def test_an_attempt_for_a_shard_that_is_over_is_given_up(chain, deployment, monkeypatch):
    grow(3)
    anchor_pass(backend=chain)
    grow(2)
    with monkeypatch.context() as patch:
        patch.setattr(chain, "send", lambda raw: None)  # it never reaches the chain
        anchor_pass(backend=chain)
    # The administrator is too early: the shard is frozen below the log's end, which raises an alarm.
    open_next_log()
    call_as_admin(chain, deployment, open_shard_call(number=2, log_key_hash="77" * 32))
    grow(1)

    for _ in range(3):
        last = anchor_pass(backend=chain)
    assert (last.outcome, last.anchored_size) == (AnchorOutcome.NOTHING_NEW, 1)
    assert not AnchorAttempt.objects.filter(state__in=["prepared", "sent"]).exists()
    chain_events.read_chain_events(backend=chain)
    assert {event.name for event in chain_alarms.unexpected_events()} == {"ShardOpened", "LogKeyChanged"}


def test_those_who_wait_for_an_anchor_are_woken_once_it_stands(deployment, chain, monkeypatch, settings):
    woken = []
    monkeypatch.setattr(tasks.schedule, "wake", lambda names: woken.extend(names))
    monkeypatch.setattr(deployments, "configured_backend", lambda: chain)
    settings.WAKE_WHEN_ANCHORED = ["somebody.waits"]
    grow(3)

    for _ in range(4):  # sent, landed, and nothing new
        tasks.anchor_checkpoints()

    assert (anchoring.anchored_size(), woken) == (3, ["somebody.waits"])
