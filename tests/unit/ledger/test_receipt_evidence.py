"""What the exchange puts into a receipt of the log and the chain, judged by the reader's own code."""

from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compute.protocol import keyfiles
from ledger import actions as ledger
from ledger import keys
from ledger.actions import chain_proofs, chain_shards, deployments, shards
from ledger.actions.anchoring import AnchorOutcome, anchor_pass
from ledger.backends.base import ChainRefused, ChainUnreachable
from ledger.backends.evm import EVMBackend
from ledger.backends.memory import MemoryBackend
from ledger.errors import NotYetSealed
from ledger.models import Anchor, Checkpoint, Cosignature, Witness
from ledger.proofs import (
    chain,
    chain_rules,
    checkpoints,
    checks,
    cosignatures,
    grants,
    key_rules,
    layout,
    policies,
    receipt_rules,
)
from ledger.proofs.receipt_parts import Evidence
from tests.factories.ledger import EXCHANGE, exchange_key_files, record
from tests.unit.ledger import chain_world

pytestmark = [pytest.mark.django_db, pytest.mark.chain]


@pytest.fixture(autouse=True)
def _own_keys(settings, tmp_path):
    exchange_key_files(settings, tmp_path)
    settings.CHAIN_CONTRACT_ADDRESS = ""


@pytest.fixture
def backend(settings, chain_rpc):
    settings.CHAIN_RPC_URL = chain_rpc
    return EVMBackend(chain_rpc)


@pytest.fixture
def deployment(backend):
    return deployments.deploy(backend=backend, anchor=keys.log_keys(), record=keys.exchange_keys())


@pytest.fixture
def entries(deployment):
    return record(3)


def anchored(backend) -> Anchor:
    ledger.seal()
    assert anchor_pass(backend=backend, confirmations=0).outcome == AnchorOutcome.ANCHORED
    return Anchor.objects.order_by("-pk")[0]


def check(found, *, grants=()) -> chain.Block:
    """Read the evidence as a stranger does; the block it is of."""
    trusted = ledger.trust_policy().chain
    checkpoint = checkpoints.parse(found["checkpoint"])
    proof = found["anchor"]["evidence"]
    root = checkpoint.root.hex()
    block = chain.check_root(proof, chain=trusted, shard=1, size=checkpoint.size, root=root)
    for grant in grants:
        chain.check_grant_in_force(proof, chain=trusted, **grant)
    return block


def granted(backend, deployment, provider) -> dict[str, str]:
    place = chain_world.Contract(
        backend, deployment.contract_address, deployment.chain_id, keys.log_keys(), keys.exchange_keys()
    )
    grant_id = place.grant(provider)
    return {"grant_id": grant_id, "signer": provider.chain_address, "terms_digest": chain_world.TERMS}


def test_root_and_grants_are_proven_in_the_anchors_own_block(backend, deployment, entries):
    grant = granted(backend, deployment, keyfiles.generate("fund-a"))
    anchor = anchored(backend)

    found = ledger.evidence(entries, grants=[grant])

    block = check(found, grants=[grant])
    assert (block.number, block.hash) == (anchor.block_number, anchor.block_hash)
    assert found["anchor"]["block_hash"] == anchor.block_hash


def test_what_proves_the_root_is_kept_with_the_anchor_and_used_when_the_chain_is_silent(backend, settings, entries):
    anchor = anchored(backend)
    assert {one["slot"] for one in anchor.proof["storage"]} == {layout.root_in(1, anchor.size)}
    settings.CHAIN_RPC_URL = "http://127.0.0.1:1"

    found = ledger.evidence(entries, grants=[unknown_grant()])

    assert found["anchor"]["evidence"] == anchor.proof
    check(found)


def unknown_grant() -> dict[str, str]:
    signer = keyfiles.generate("nobody").chain_address
    grant_id = grants.grant_id(grantor=signer, terms_digest=chain_world.TERMS)
    return {"grant_id": grant_id, "signer": signer, "terms_digest": chain_world.TERMS}


def test_where_validators_are_demanded_a_receipt_waits_for_its_grants(backend, settings, entries):
    anchored(backend)
    settings.CHAIN_RPC_URL = "http://127.0.0.1:1"
    settings.CHAIN_VALIDATORS = ["0x" + "12" * 20]

    with pytest.raises(NotYetSealed, match="prove its grants"):
        ledger.evidence(entries, grants=[unknown_grant()])
    assert ledger.trust_policy().chain.validators == ("0x" + "12" * 20,)
    assert ledger.trust_policy().chain.development is False


class Forgetful(EVMBackend):
    """A node that has the state of the newest block only."""

    def evidence(self, address, *, slots, block_number=None, block_hash=""):
        if block_number is not None and block_number < self.block_number():
            raise ChainRefused("The chain no longer has that state.", reason="RPC_ERROR")
        return super().evidence(address, slots=slots, block_number=block_number, block_hash=block_hash)


def test_where_old_state_is_forgotten_a_later_block_proves_it(backend, deployment, entries, chain_rpc, monkeypatch):
    anchor = anchored(backend)
    grant = granted(backend, deployment, keyfiles.generate("fund-a"))  # moves the chain on
    monkeypatch.setattr(deployments, "configured_backend", lambda: Forgetful(chain_rpc))

    found = ledger.evidence(entries, grants=[grant])

    assert check(found, grants=[grant]).number > anchor.block_number


def test_a_chain_without_proofs_is_legal():
    memory = MemoryBackend()
    deployments.deploy(backend=memory, anchor=keys.log_keys(), record=keys.exchange_keys())
    entries = record(2)
    anchor = anchored(memory)

    found = ledger.evidence(entries)

    assert anchor.proof is None
    assert "evidence" not in found["anchor"]


@pytest.mark.parametrize(
    "answer",
    [ChainUnreachable("silent"), ChainRefused("no", reason="RPC_ERROR"), {"header": "0x"},
     {"header": "0x00", "account_proof": [], "storage": []}],
)  # fmt: skip
def test_a_lying_or_silent_node_adds_nothing(backend, entries, answer, monkeypatch):
    class Lying(EVMBackend):
        def evidence(self, address, **_):
            if isinstance(answer, Exception):
                raise answer
            return answer

    anchor = anchored(Lying(backend._web3.provider.endpoint_uri))

    assert anchor.proof is None


def test_the_proof_of_another_root_is_not_kept(backend, deployment, entries):
    anchor = anchored(backend)
    place = {"shard": 1, "size": anchor.size, "block_number": anchor.block_number}

    assert chain_proofs.of_root(backend, deployment, root=anchor.root, **place) == anchor.proof
    assert chain_proofs.of_root(backend, deployment, root="00" * 32, **place) is None


def test_a_receipt_waits_for_its_quorum_and_carries_the_cosignatures(settings):
    settings.CHAIN_RPC_URL = ""
    settings.LOG_WITNESS_QUORUM = 1
    key = Ed25519PrivateKey.generate()
    vkey = cosignatures.vkey("witness.example/w", key.public_key())
    witness = Witness.objects.create(name="w", vkey=vkey, url="http://127.0.0.1:1")
    entries = record(2)
    sealed = ledger.seal()
    with pytest.raises(NotYetSealed, match="witnesses"):
        ledger.evidence(entries)

    text = checkpoints.format_text(checkpoints.parse(sealed.note))
    line = cosignatures.sign(text, name="witness.example/w", key=key, at=1_795_238_400)
    row = Checkpoint.objects.get(pk=sealed.pk)
    Cosignature.objects.create(checkpoint=row, witness=witness, line=line, at=datetime.now(tz=UTC))

    found = ledger.evidence(entries)
    policy = ledger.trust_policy()
    assert asdict(policy.witnesses) == {"keys": (vkey,), "quorum": 1}
    policies.tlog_policy(policy).check(found["checkpoint"])


def judged(entries, **evidence_options) -> dict[str, str]:
    """The questions about log and chain put to the evidence of some entries, under our own policy of now."""
    found = ledger.evidence(entries, **evidence_options)
    bundle = {"computation": "", **found}
    for entry in bundle["entries"]:
        assert "checkpoint" not in entry or entry["checkpoint"] != bundle["checkpoint"]
    evidence = Evidence(bundle, policy=ledger.trust_policy())
    answers = {}
    for name, rule in (("checkpoint", receipt_rules.check_checkpoint), ("inclusion", receipt_rules.check_inclusion),
                       ("commitments", receipt_rules.check_commitments), ("anchor", chain_rules.check_anchor),
                       ("chain", chain_rules.check_chain), ("keys", key_rules.check_log_keys)):  # fmt: skip
        answers[name] = checks.ask(name, "", "", partial(rule, evidence)).code
    return answers


def test_entries_of_two_shards_are_proven_each_in_its_own(backend, deployment, entries):
    ledger.seal()
    after = shards.open_shard(origin="hengshu.example/ledger/2027", new=shards.make_next_key(), issuer=EXCHANGE)
    both = [*entries, *record(2)]
    ledger.seal()
    assert set(judged(both).values()) == {"", "NO_ANCHOR"}

    chain_shards.open_next(after, backend=backend, keys=keys.exchange_keys(), seconds=30)
    for _ in range(4):
        anchor_pass(backend=backend, confirmations=0)

    found = ledger.evidence(both)
    assert [("checkpoint" in one) for one in found["entries"]] == [True, True, True, False, False]
    assert set(judged(both).values()) == {""}


def test_a_rotated_log_key_still_proves_what_it_sealed_and_the_new_one_what_followed(backend, entries):
    anchored(backend)
    before = judged(entries)
    shards.rotate_key(new=shards.make_next_key(), issuer=EXCHANGE)
    later = record(1)
    anchored(backend)

    assert set(before.values()) == set(judged(entries).values()) == set(judged(later).values()) == {""}
