"""What a hostile witness, a lying chain endpoint or a second sealer may not bring about."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from django.utils import timezone

from exchange.kernel.errors import InvalidInput
from ledger import actions as ledger
from ledger import keys, publication
from ledger.actions import chain_looks, deployments, proofs, witnessing
from ledger.actions import log as log_actions
from ledger.actions.anchoring import anchor_pass
from ledger.backends.memory import MemoryBackend
from ledger.errors import NotYetSealed, SignedCheckpointMissing
from ledger.models import Anchor, AnchorAttempt, ChainDeployment, Cosignature, Log, Witness
from ledger.proofs import cosignatures, notes
from tests.factories.ledger import EXCHANGE, exchange_key_files, record

pytestmark = pytest.mark.django_db
URL = "http://127.0.0.1:9"


@pytest.fixture
def log():
    return log_actions.open_first()


def key_of(name: str, key: Ed25519PrivateKey) -> str:
    return cosignatures.vkey(name, key.public_key())


def admit(name: str, vkey: str, *, url: str = URL) -> Witness:
    return ledger.admit_witness(name=name, vkey=vkey, url=url, issuer=EXCHANGE)


# --- witnesses ---------------------------------------------------------------------------------------------


def test_one_key_under_two_names_is_one_witness_and_the_policy_stays_readable(log):
    key = Ed25519PrivateKey.generate()
    first = admit("one", key_of("one.example", key))

    with pytest.raises(InvalidInput):
        admit("two", key_of("two.example", key))

    assert proofs.trust_policy().witnesses.keys == (first.vkey,)
    assert first.vkey in publication.tlog_policy_file()


def test_a_key_may_come_back_under_another_name_once_the_first_is_withdrawn(log):
    key = Ed25519PrivateKey.generate()
    ledger.withdraw_witness(witness=admit("one", key_of("one.example", key)), issuer=EXCHANGE)

    again = admit("two", key_of("two.example", key))

    assert proofs.trust_policy().witnesses.keys == (again.vkey,)


def test_the_log_does_not_witness_itself(log):
    own = keys.log_keys().document

    with pytest.raises(InvalidInput):
        admit("self", key_of("self.example", own))


@pytest.mark.parametrize(
    ("name", "url"), [("a\x7fb.example", URL), ("a.example", URL + "/a b"), ("a.example", URL + "/a\tb")]
)
def test_what_a_policy_file_cannot_name_is_no_witness(log, name, url):
    with pytest.raises(InvalidInput):
        admit("odd", key_of(name, Ed25519PrivateKey.generate()), url=url)

    assert "quorum none" in publication.tlog_policy_file()


class Answers:
    """A witness that signs rightly but states the time it likes."""

    def __init__(self, key: Ed25519PrivateKey, name: str, *, at: int) -> None:
        self._key, self._name, self._at = key, name, at

    def cosign(self, note, **_):
        text = notes.parse(note).text
        line = cosignatures.sign(text, name=self._name, key=self._key, at=self._at)

        return dataclasses.make_dataclass("Cosigned", ["lines", "at"])((line,), self._at)


@pytest.mark.parametrize("at", [253_402_300_800, 2**62])
def test_a_witness_from_beyond_the_calendar_troubles_nobody_but_itself(log, at):
    bad, good = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    admit("bad", key_of("bad.example", bad))
    record(1)
    ledger.seal()

    found = witnessing.ask_witnesses(client_for=lambda witness: Answers(bad, "bad.example", at=at))

    assert [name for name, _ in found.troubles] == ["bad"]
    admit("good", key_of("good.example", good))
    later = witnessing.ask_witnesses(client_for=lambda witness: Answers(good, "good.example", at=1_795_000_000))
    assert later.cosigned == ("good",)


def cosign(checkpoint, witness: Witness, key: Ed25519PrivateKey) -> None:
    name = notes.parse_vkey(witness.vkey).name
    line = cosignatures.sign(notes.parse(checkpoint.note).text, name=name, key=key, at=1_795_000_000)
    Cosignature.objects.create(
        checkpoint=checkpoint, witness=witness, line=line, at=datetime.fromtimestamp(1_795_000_000, tz=UTC)
    )


def test_who_has_left_does_not_make_the_quorum_that_verifiers_ask_for(log, settings):
    settings.LOG_WITNESS_QUORUM = 1
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    left = admit("left", key_of("left.example", old))
    record(1)
    ledger.seal()
    checkpoint = proofs.latest_checkpoint()
    cosign(checkpoint, left, old)
    assert witnessing.has_quorum(checkpoint)

    ledger.withdraw_witness(witness=left, issuer=EXCHANGE)
    stays = admit("stays", key_of("stays.example", new))

    assert not witnessing.has_quorum(checkpoint)
    assert witnessing.newest_cosigned(log) is None
    assert not publication.entry_document(checkpoint.log.leaves.get(index=0).entry)[1]
    with pytest.raises(NotYetSealed):
        ledger.evidence([checkpoint.log.leaves.get(index=0).entry])
    cosign(checkpoint, stays, new)
    assert witnessing.has_quorum(checkpoint)
    assert witnessing.newest_cosigned(log) == checkpoint


# --- a second sealer -----------------------------------------------------------------------------------------


def test_a_memory_older_than_the_database_signs_nothing(settings, tmp_path):
    """Two sealers with two directories, or an old file put back: either could sign what the other did not see."""
    exchange_key_files(settings, tmp_path)
    record(3)
    ledger.seal()
    file = keys.signed_checkpoint_file()
    old = file.read_bytes()
    record(2)
    ledger.seal()
    newest = file.read_bytes()
    file.write_bytes(old)
    record(1)

    with pytest.raises(SignedCheckpointMissing):
        ledger.seal()

    file.write_bytes(newest)
    assert ledger.seal().size == 6


# --- a lying endpoint ----------------------------------------------------------------------------------------


class Liar(MemoryBackend):
    """Tells the truth about its head, and something else about what is deep enough to count."""

    lie = None

    def anchored(self, address, *, confirmations=0):
        found = super().anchored(address, confirmations=0)
        return found if not confirmations or self.lie is None else dataclasses.replace(found, **self.lie)


@pytest.mark.parametrize("lie", [{"root": "ab" * 32}, {"size": 2, "root": "ab" * 32}, {"size": 900}])
def test_an_anchor_is_noted_only_where_it_is_our_own_root(settings, tmp_path, lie):
    exchange_key_files(settings, tmp_path)
    settings.CHAIN_CONTRACT_ADDRESS = ""
    chain = Liar()
    deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    record(3)
    ledger.seal()
    chain.lie = lie

    for _ in range(3):
        anchor_pass(backend=chain, confirmations=1)

    assert not Anchor.objects.exists()
    chain.lie = None
    for _ in range(2):
        anchor_pass(backend=chain, confirmations=1)
    assert [anchor.root for anchor in Anchor.objects.all()] == [proofs.latest_checkpoint().root]


def test_the_newest_anchor_is_the_newest_shards_however_small(settings, tmp_path):
    exchange_key_files(settings, tmp_path)
    first = log_actions.open_first()
    record(9)
    ledger.seal()
    second = Log(number=2, origin="next.example/log", vkey=first.vkey, root="00" * 32, frozen_at=timezone.now())
    second.save()
    place = {"block_number": 1, "block_hash": "0x", "transaction_hash": "0x", "root": "00" * 32}
    epochs = [
        ChainDeployment.objects.create(
            chain_id=1, genesis_hash=f"0x{epoch}", contract_address="0x", code_hash="0x", epoch=epoch
        )
        for epoch in (1, 2)
    ]
    Anchor.objects.create(deployment=epochs[0], log=first, size=9, **place)
    Anchor.objects.create(deployment=epochs[1], log=first, size=8, **place)
    newest = Anchor.objects.create(deployment=epochs[1], log=second, size=2, **place)

    assert publication.overview()["anchor"] == newest
    covering = [publication.anchor_covering(leaf.entry) for leaf in first.leaves.order_by("index")]
    assert [(one.deployment.epoch, one.size) for one in covering] == [(2, 8)] * 8 + [(1, 9)]


class Halted(MemoryBackend):
    """Answers every question and takes transactions, but makes no more blocks."""

    halted = False

    def send(self, raw):
        if not self.halted:
            super().send(raw)


def test_an_endpoint_that_answers_but_takes_nothing_does_not_keep_sales_open(settings, tmp_path):
    exchange_key_files(settings, tmp_path)
    settings.CHAIN_CONTRACT_ADDRESS, settings.CHAIN_RPC_URL = "", "http://127.0.0.1:9"
    chain = Halted()
    deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    record(1)
    ledger.seal()
    anchor_pass(backend=chain, confirmations=0)
    chain.halted = True
    record(1)
    ledger.seal()
    anchor_pass(backend=chain, confirmations=0)
    begun = AnchorAttempt.objects.latest("pk").created
    limit = timedelta(seconds=settings.CHAIN_DOWN_LIMIT_SECONDS)

    def is_down(after):
        ChainDeployment.objects.update(seen_at=begun + after)  # it answers all the while
        return chain_looks.is_down_too_long(now=begun + after)

    assert not is_down(limit - timedelta(seconds=1))
    assert is_down(limit + timedelta(seconds=1))

    chain.halted = False
    anchor_pass(backend=chain, confirmations=0)
    assert not is_down(limit + timedelta(seconds=1))


@pytest.mark.urls("tests.unit.ledger.urlconf")
def test_a_subject_with_many_entries_is_shown_around_the_one_asked_for(client, log, monkeypatch):
    monkeypatch.setattr(publication, "NEIGHBOURS", 3)
    found = record(9)
    ledger.seal()

    shown = client.get(f"/ledger/entries/{found[4].ref}/").context["history"]

    assert [one.pk for one in shown] == [one.pk for one in found[2:8]]
    assert len(client.get(f"/ledger/entries/{found[0].ref}/").context["history"]) == 4


def test_one_witness_with_two_keys_is_not_two_witnesses(log):
    first, second = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    admit("one", key_of("one.example", first))

    with pytest.raises(InvalidInput):
        admit("one again", key_of("one.example", second))

    assert len(proofs.trust_policy().witnesses.keys) == 1


def test_a_key_that_does_not_fit_is_refused_and_not_an_error(log):
    with pytest.raises(InvalidInput):
        admit("long", cosignatures.vkey("long.example", MLDSA44PrivateKey.generate().public_key()))
    with pytest.raises(InvalidInput):
        admit("long", key_of("long.example/" + "a" * 200, Ed25519PrivateKey.generate()))
    with pytest.raises(InvalidInput):
        admit("n" * 200, key_of("name.example", Ed25519PrivateKey.generate()))
    with pytest.raises(InvalidInput):
        admit("url", key_of("url.example", Ed25519PrivateKey.generate()), url=f"{URL}/{'a' * 300}")
