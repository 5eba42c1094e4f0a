"""Confirmed events of the contract come back as leaves: once each, whatever happens to the chain or to us."""

import pytest
from django.db import transaction
from django.utils import timezone

from compute.protocol import keyfiles
from ledger import actions as ledger
from ledger import keys
from ledger.actions import anchoring, chain_alarms, chain_events, deployments
from ledger.actions.chain_alarms import ChainAlarm
from ledger.actions.entries import payload_of
from ledger.backends.base import Call, ChainUnreachable, LedgerBackend, own_call, record_call
from ledger.backends.evm import EVMBackend
from ledger.backends.memory import MemoryBackend
from ledger.kinds import EntryKind
from ledger.models import ChainDeployment, ChainEvent, Checkpoint, Entry
from ledger.proofs import grants
from tests.factories.ledger import exchange_key_files, record
from tests.unit.ledger.chain_world import wait_for

pytestmark = [pytest.mark.django_db, pytest.mark.chain]

TERMS = "ab" * 32


class Crash(BaseException):
    """The process dies here."""


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


@pytest.fixture
def provider(chain):
    made = keyfiles.generate("fund-a")
    chain.fund(made.chain_address)
    return made


def send(chain, deployment, call, *, by):
    signed = chain.sign(
        call,
        address=deployment.contract_address,
        chain_id=deployment.chain_id,
        key=by.chain,
        nonce=chain.nonce(by.chain_address),
        gas_price=chain.gas_price(),
    )
    chain.send(signed.raw)
    landed = wait_for(chain, signed.transaction_hash)
    assert landed.succeeded
    return landed


def grant_directly(chain, deployment, provider, *, terms=TERMS):
    fields = {"terms_digest": terms, "not_before": 1_700_000_000, "not_after": 1_900_000_000, "cap": 5}
    send(chain, deployment, own_call("grant", fields), by=provider)
    return grants.grant_id(grantor=provider.chain_address, terms_digest=terms)


def names() -> list[str]:
    return list(ChainEvent.objects.order_by("pk").values_list("name", flat=True))


def read(chain, **given) -> int:
    return chain_events.read_chain_events(backend=chain, **given)


def test_what_an_owner_sends_to_the_chain_itself_stands_in_the_log(chain, deployment, provider):
    read(chain)
    grant_id = grant_directly(chain, deployment, provider)
    send(chain, deployment, own_call("revoke", {"grant_id": grant_id}), by=provider)
    send(chain, deployment, own_call("void", {"digest": "cd" * 32}), by=provider)

    assert read(chain) == 3
    assert names()[-3:] == ["Granted", "Revoked", "Voided"]
    revoked = ChainEvent.objects.get(name="Revoked")
    assert revoked.entry.kind == EntryKind.CHAIN_EVENT
    assert revoked.entry.subject == deployment.urn
    said = payload_of(revoked.entry)
    assert (said["event"], said["arguments"]["id"], said["transaction"]) == (
        "Revoked", grant_id, revoked.transaction_hash,
    )  # fmt: skip
    ledger.seal()
    assert revoked.entry.leaf is not None


def test_an_event_is_written_once_however_often_the_pass_runs(chain, deployment, provider):
    grant_directly(chain, deployment, provider)
    first = read(chain)
    assert first > 0
    assert [read(chain) for _ in range(3)] == [0, 0, 0]
    ChainDeployment.objects.update(events_through=0)  # the mark was lost: a restored row, a crash before it
    assert read(chain) == 0
    assert Entry.objects.filter(kind=EntryKind.CHAIN_EVENT).count() == ChainEvent.objects.count() == first


def test_without_its_key_the_same_event_would_stand_there_twice(chain, deployment, provider, monkeypatch):
    """The sister: what keeps an event single is the key of its entry."""
    grant_directly(chain, deployment, provider)
    first = read(chain)
    monkeypatch.setattr(chain_events, "_key", lambda deployment, event, place: None)
    with pytest.raises(Exception, match="chain_event_once"), transaction.atomic():
        read(chain)  # and behind the key stands the table
    assert ChainEvent.objects.count() == first


def test_a_crash_in_the_middle_of_a_batch_loses_and_doubles_nothing(chain, deployment, provider, monkeypatch):
    read(chain)
    grant_directly(chain, deployment, provider)
    grant_directly(chain, deployment, provider, terms="cd" * 32)
    grant_directly(chain, deployment, provider, terms="ef" * 32)
    through = ChainDeployment.objects.get().events_through
    write, done = chain_events._write_one, []

    def die_at_the_third(*args, **kwargs):
        if len(done) == 2:
            raise Crash
        done.append(write(*args, **kwargs))
        return done[-1]

    with monkeypatch.context() as patch:
        patch.setattr(chain_events, "_write_one", die_at_the_third)
        with pytest.raises(Crash):
            read(chain)
    assert (names().count("Granted"), ChainDeployment.objects.get().events_through) == (2, through)

    assert read(chain) == 1
    assert names().count("Granted") == 3


def test_a_crash_between_entry_and_row_leaves_neither(chain, deployment, provider, monkeypatch):
    read(chain)
    grant_directly(chain, deployment, provider)
    before = Entry.objects.count()

    def die(*args, **kwargs):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(ChainEvent.objects, "get_or_create", die)
        with pytest.raises(Crash):
            read(chain)
    assert Entry.objects.count() == before
    assert read(chain) == 1


def test_an_event_waits_for_its_confirmations(chain_rpc, provider_on):
    chain = EVMBackend(chain_rpc)
    deployment = deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    provider = provider_on(chain)
    _mine(chain, 3)
    read(chain, confirmations=3)
    grant_directly(chain, deployment, provider)

    assert read(chain, confirmations=3) == 0
    _mine(chain, 3)
    assert read(chain, confirmations=3) == 1


@pytest.fixture
def provider_on():
    def make(chain):
        made = keyfiles.generate("fund-a")
        chain.fund(made.chain_address)
        return made

    return make


@pytest.mark.parametrize("depth", [1, 3, 10])
def test_a_reorganisation_above_the_confirmed_depth_writes_nothing_twice(chain_rpc, provider_on, depth):
    chain = EVMBackend(chain_rpc)
    deployment = deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    provider = provider_on(chain)
    _mine(chain, depth + 1)
    read(chain, confirmations=depth + 1)
    grant_directly(chain, deployment, provider)
    _mine(chain, depth - 1)
    read(chain, confirmations=depth + 1)
    assert "Granted" not in names()

    _reorganise(
        chain, depth
    )  # takes the grant's block away; anvil puts its transactions back into the pool or drops them
    grant_id = grants.grant_id(grantor=provider.chain_address, terms_digest=TERMS)
    if chain.grant(deployment.contract_address, grant_id) is None:
        grant_directly(chain, deployment, provider)
    _mine(chain, depth + 2)
    read(chain, confirmations=depth + 1)
    read(chain, confirmations=depth + 1)

    assert names().count("Granted") == 1


@pytest.mark.parametrize("depth", [1, 3, 10])
def test_what_a_deeper_reorganisation_brings_is_found_below_the_mark(chain_rpc, provider_on, depth):
    chain = EVMBackend(chain_rpc)
    deployment = deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    provider = provider_on(chain)
    _mine(chain, depth + 1)
    read(chain)
    through = ChainDeployment.objects.get().events_through
    # The new history holds an event in a block whose number was read before.
    rolled_back = chain._web3.provider.make_request("anvil_rollback", [depth])
    assert "error" not in rolled_back, rolled_back
    chain.fund(provider.chain_address)
    grant_directly(chain, deployment, provider)

    assert chain.block_number() <= through
    assert read(chain) == 1
    assert names()[-1] == "Granted"


def test_a_reset_chain_with_the_very_same_transactions_is_another_epoch(provider):
    before, after = MemoryBackend(genesis="first"), MemoryBackend(genesis="second")
    deployments.deploy(backend=before, anchor=keys.log_keys(), record=keys.exchange_keys())
    first = read(before)
    assert read(after) == 0  # another chain than recorded: nothing is believed
    second = deployments.deploy(backend=after, anchor=keys.log_keys(), record=keys.exchange_keys())
    assert second.epoch == 2
    assert read(after) == first
    assert ChainEvent.objects.filter(deployment=second).count() == first


def test_anchors_do_not_come_back_as_leaves(chain, deployment):
    """Each leaf would ask for an anchor and each anchor for a leaf."""
    record(2)
    ledger.seal()
    for _ in range(3):
        anchoring.anchor_pass(backend=chain)
        read(chain)
        ledger.seal()
    sizes = Checkpoint.objects.count()
    for _ in range(3):
        anchoring.anchor_pass(backend=chain)
        read(chain)
        ledger.seal()
    assert Checkpoint.objects.count() == sizes
    assert "Anchored" not in names()


def test_a_silent_chain_is_asked_again_later(chain, deployment, monkeypatch):
    def silent(*args, **kwargs):
        raise ChainUnreachable("silent")

    with monkeypatch.context() as patch:
        patch.setattr(chain, "events", silent)
        assert read(chain) == 0
    assert read(chain) > 0


def test_our_own_set_up_raises_no_alarm(chain, deployment):
    read(chain)
    assert chain_alarms.unexpected_events() == []


@pytest.mark.parametrize(
    ("function", "name"),
    [("set_anchorer", "RoleChanged"), ("set_recorder", "RoleChanged"), ("offer_admin", "AdminOffered")],
)
def test_a_role_that_somebody_else_took_raises_an_alarm_until_it_is_known(chain, deployment, settings, function, name):
    stranger = keyfiles.generate("stranger").chain_address
    arguments = (stranger,) if function == "offer_admin" else (stranger, True)
    send(chain, deployment, Call(function, arguments), by=keys.exchange_keys())
    read(chain)

    assert [event.name for event in chain_alarms.unexpected_events()] == [name]
    assert ChainAlarm.EVENT_UNEXPECTED in chain_alarms.chain_alarms(now=timezone.now())

    settings.CHAIN_KNOWN_ADDRESSES = [stranger]
    assert chain_alarms.unexpected_events() == []


def test_a_log_key_that_is_not_ours_raises_an_alarm_until_ours_is_back(chain, deployment):
    from ledger.backends.base import log_key_call
    from ledger.models import Log

    record(1)
    ledger.seal()
    send(chain, deployment, log_key_call(log_key_hash="99" * 32), by=keys.exchange_keys())
    read(chain)
    assert [event.name for event in chain_alarms.unexpected_events()] == ["LogKeyChanged"]

    import hashlib

    ours = hashlib.sha256(Log.objects.get().vkey.encode()).hexdigest()
    send(chain, deployment, log_key_call(log_key_hash=ours), by=keys.exchange_keys())
    read(chain)
    assert chain_alarms.unexpected_events() == []


def test_our_own_key_losing_its_role_raises_an_alarm(chain, deployment):
    taken = Call("set_anchorer", (keys.log_keys().chain_address, False))
    send(chain, deployment, taken, by=keys.exchange_keys())
    read(chain)
    assert [event.arguments["allowed"] for event in chain_alarms.unexpected_events()] == [False]


def test_an_event_of_a_grant_we_carried_is_written_like_any_other(chain, deployment, provider):
    signed = grants.sign_grant(
        key=provider.chain,
        chain_id=deployment.chain_id,
        contract_address=deployment.contract_address,
        terms_digest=TERMS,
        not_before=1_700_000_000,
        not_after=1_900_000_000,
        cap=5,
    )
    send(chain, deployment, record_call("grant", signed), by=keys.exchange_keys())
    read(chain)
    assert names().count("Granted") == 1


def _mine(chain, blocks: int) -> None:
    if blocks > 0:
        chain._web3.provider.make_request("anvil_mine", [hex(blocks)])


def _reorganise(chain, depth: int) -> None:
    answer = chain._web3.provider.make_request("anvil_reorg", [depth, []])
    assert "error" not in answer, answer
