"""What the chain holds, proven offline: evidence from a real chain, and everything that must not pass for it."""

import copy
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import coincurve
import pytest

from compute.protocol import keyfiles
from ledger.backends import evidence as collecting
from ledger.backends.base import Call, ChainRefused, ChainUnreachable, open_shard_call, record_call
from ledger.backends.evm import EVMBackend
from ledger.backends.memory import MemoryBackend
from ledger.proofs import chain, grants, layout, rlp, trie, typed_data
from ledger.proofs.errors import VerificationError
from tests.unit.ledger import chain_world, trie_world
from tests.unit.ledger.chain_world import TERMS, root

PUBLISHED = json.loads((Path(__file__).parents[2] / "vectors" / "chain" / "eip1186.json").read_text())


@dataclass(frozen=True)
class Policy:
    contract_address: str
    code_hash: str | None = None
    validators: Sequence[str] = ()


@pytest.fixture(scope="module")
def backend(chain_rpc):
    return EVMBackend(chain_rpc)


@pytest.fixture
def contract(backend):
    return chain_world.deploy(backend)


@pytest.fixture
def policy(contract):
    return Policy(contract.address, contract.backend.code_hash(contract.address))


@pytest.fixture
def provider():
    return keyfiles.generate("fund-a")


def code(call, *arguments, **named) -> str:
    """The code of the refusal; empty where it passes. Nothing but VerificationError may come out."""
    try:
        call(*arguments, **named)
    except VerificationError as error:
        return error.code
    return ""


def root_evidence(contract, size, *, shard=1, **block):
    return contract.backend.evidence(contract.address, slots=layout.for_root(shard, size), **block)


def grant_evidence(contract, provider):
    grant_id = grants.grant_id(grantor=provider.chain_address, terms_digest=TERMS)
    slots = layout.for_grant(grant_id=grant_id, signer=provider.chain_address, terms_digest=TERMS)
    return grant_id, contract.backend.evidence(contract.address, slots=slots)


@pytest.mark.chain
def test_an_anchored_root_is_proven_and_the_block_is_named(contract, policy):
    contract.anchor(0, 7)
    landed = contract.anchor(7, 12)
    found = root_evidence(contract, 12, block_number=landed.block_number)
    block = chain.check_root(found, chain=policy, shard=1, size=12, root=root(12), block_hash=landed.block_hash)
    assert (block.number, block.hash, block.is_sealed) == (landed.block_number, landed.block_hash, False)
    assert abs(block.timestamp - time.time()) < 3600
    assert (
        chain.check_root(root_evidence(contract, 7), chain=policy, shard=1, size=7, root=root(7)).number >= block.number
    )


@pytest.mark.chain
def test_a_root_that_was_never_anchored_is_proven_absent(contract, policy):
    contract.anchor(0, 7)
    found = root_evidence(contract, 8)
    assert found["storage"][0]["value"] == "0x0"
    asked = {"chain": policy, "shard": 1, "size": 8, "root": root(8)}
    assert code(chain.check_root, found, **asked) == "CHAIN_ROOT_ABSENT"
    assert code(chain.check_root, root_evidence(contract, 7), **asked) == "CHAIN_PROOF_INCOMPLETE"


@pytest.mark.chain
def test_another_root_another_shard_and_another_block_are_refused(contract, policy):
    contract.anchor(0, 7)
    found = root_evidence(contract, 7)
    asked = {"chain": policy, "shard": 1, "size": 7}
    assert code(chain.check_root, found, **asked, root=root(7)) == ""
    assert code(chain.check_root, found, **asked, root=root(8)) == "CHAIN_ROOT_DIFFERS"
    assert code(chain.check_root, found, **{**asked, "shard": 2}, root=root(7)) == "CHAIN_PROOF_INCOMPLETE"
    other = "0x" + "11" * 32
    assert code(chain.check_root, found, **asked, root=root(7), block_hash=other) == "BLOCK_DIFFERS"


@pytest.mark.chain
def test_a_root_before_its_anchor_is_not_there_yet(contract, policy):
    landed = contract.anchor(0, 7)
    before = root_evidence(contract, 7, block_number=landed.block_number - 1)
    assert code(chain.check_root, before, chain=policy, shard=1, size=7, root=root(7)) == "CHAIN_ROOT_ABSENT"
    at = root_evidence(contract, 7, block_hash=landed.block_hash)
    assert chain.check_root(at, chain=policy, shard=1, size=7, root=root(7)).hash == landed.block_hash


@pytest.mark.chain
def test_a_shard_is_proven_apart_from_the_one_before(contract, policy):
    contract.anchor(0, 7)
    contract.run(open_shard_call(number=2, log_key_hash="09" * 32), by=contract.exchange)
    slots = [*layout.for_root(1, 7), *layout.for_root(2, 7), layout.frozen(1, "size"), layout.plain("shard")]
    found = contract.backend.evidence(contract.address, slots=slots)
    asked = {"chain": policy, "size": 7, "root": root(7)}
    assert code(chain.check_root, found, **asked, shard=1) == ""
    assert code(chain.check_root, found, **asked, shard=2) == "CHAIN_ROOT_ABSENT"
    held = chain.read(found, chain=policy)
    assert (held.value(layout.frozen(1, "size")), held.value(layout.plain("shard"))) == (7, 2)


@pytest.mark.chain
def test_a_grant_is_in_force_until_the_block_that_revokes_it(contract, policy, provider):
    _, nothing = grant_evidence(contract, provider)
    contract.grant(provider)
    grant_id, before = grant_evidence(contract, provider)
    contract.run(record_call("revoke", contract.revocation(grant_id, by=provider)), by=contract.exchange)
    _, after = grant_evidence(contract, provider)
    asked = {"chain": policy, "grant_id": grant_id, "signer": provider.chain_address, "terms_digest": TERMS}
    with pytest.raises(VerificationError, match="no such grant") as refused:
        chain.check_grant_in_force(nothing, **asked)
    assert refused.value.code == "GRANT_ABSENT"
    block = chain.check_grant_in_force(before, **asked)
    assert code(chain.check_grant_in_force, after, **asked) == "GRANT_REVOKED"
    assert block.number < chain.read(after, chain=policy).block.number
    stranger = keyfiles.generate("fund-b").chain_address
    assert code(chain.check_grant_in_force, before, **{**asked, "signer": stranger}) == "GRANT_ABSENT"
    with pytest.raises(VerificationError, match="id is not that of this grantor"):
        chain.check_grant_in_force(before, **{**asked, "terms_digest": "cd" * 32})
    unasked = contract.backend.evidence(contract.address, slots=[layout.grant(grant_id, "grantor")])
    assert code(chain.check_grant_in_force, unasked, **asked) == "CHAIN_PROOF_INCOMPLETE"


@pytest.mark.chain
def test_a_statement_is_not_voided_until_the_block_that_voids_it(contract, policy, provider):
    contract.grant(provider)
    grant_id, granted = grant_evidence(contract, provider)
    asked = {"chain": policy, "signer": provider.chain_address, "digest": TERMS}
    assert code(chain.check_not_voided, granted, **asked) == ""
    contract.backend.fund(provider.chain_address)
    contract.run(Call("void", (bytes.fromhex(TERMS),)), by=provider)
    _, after = grant_evidence(contract, provider)
    assert code(chain.check_not_voided, after, **asked) == "STATEMENT_VOIDED"
    terms = {"grant_id": grant_id, "signer": provider.chain_address, "terms_digest": TERMS}
    assert code(chain.check_grant_in_force, after, chain=policy, **terms) == "STATEMENT_VOIDED"
    assert code(chain.check_not_voided, after, **{**asked, "digest": "cd" * 32}) == "CHAIN_PROOF_INCOMPLETE"


@pytest.mark.chain
def test_evidence_of_another_contract_of_other_code_or_of_none_is_refused(contract, policy):
    contract.anchor(0, 7)
    other = chain_world.deploy(contract.backend)
    other.anchor(0, 7)
    found = root_evidence(contract, 7)
    asked = {"shard": 1, "size": 7, "root": root(7)}
    assert code(chain.check_root, found, chain=policy, **asked) == ""
    assert code(chain.check_root, root_evidence(other, 7), chain=policy, **asked) == "CHAIN_PROOF_INVALID"
    assert code(chain.check_root, found, chain=replace(policy, code_hash="0x" + "11" * 32), **asked) == "CODE_DIFFERS"
    assert code(chain.check_root, found, chain=replace(policy, code_hash=""), **asked) == ""
    nobody = keyfiles.generate("nobody").chain_address
    with pytest.raises(ChainUnreachable):  # nothing stands there, so there is nothing to hand out
        contract.backend.evidence(nobody, slots=layout.for_root(1, 7))
    raw = contract.backend._ask("eth_getProof", [nobody, [], "latest"])
    latest = contract.backend.evidence(contract.address, slots=[])
    absent = {**latest, "account_proof": raw["accountProof"]}
    assert code(chain.check_root, absent, chain=replace(policy, contract_address=nobody), **asked) == (
        "CHAIN_CONTRACT_ABSENT"
    )
    assert chain.verify_account_proof(latest["header"], address=nobody, proof=raw["accountProof"]) is None


@pytest.mark.chain
def test_the_low_level_functions_take_hex_and_bytes(contract):
    contract.anchor(0, 7)
    found = root_evidence(contract, 7)
    entry = found["storage"][0]
    as_bytes = [bytes.fromhex(node[2:]) for node in found["account_proof"]]
    account = chain.verify_account_proof(found["header"], address=contract.address, proof=as_bytes)
    assert account.code_hash == contract.backend.code_hash(contract.address)
    for slot in (entry["slot"], int(entry["slot"], 16), bytes.fromhex(entry["slot"][2:])):
        asked = {"address": contract.address, "account_proof": as_bytes, "slot": slot, "proof": entry["proof"]}
        assert chain.verify_storage_proof(found["header"], **asked) == int(root(7), 16)
    for slot in (-1, 1 << 256, b"\1", "0x01", None):
        asked = {"address": contract.address, "account_proof": as_bytes, "slot": slot, "proof": entry["proof"]}
        assert code(chain.verify_storage_proof, found["header"], **asked) == "CHAIN_PROOF_INVALID"


def flips(evidence, seeded, count):
    """Copies of evidence with one bit of one byte turned, in the bytes of header, nodes and slots or in the text."""
    text = json.dumps(evidence)
    places = [at for at in range(len(text)) if text[at] in "0123456789abcdef" and text[at - 2 : at] != '"0']
    for _ in range(count):
        changed = copy.deepcopy(evidence)
        if seeded.random() < 0.5:
            at = seeded.choice(places)
            try:
                changed = json.loads(text[:at] + chr(ord(text[at]) ^ 1 << seeded.randrange(7)) + text[at + 1 :])
            except ValueError:
                continue
        else:
            holders = [
                (changed, "header"),
                *((changed["account_proof"], n) for n in range(len(changed["account_proof"]))),
            ]
            for entry in changed["storage"]:
                holders += [(entry["proof"], n) for n in range(len(entry["proof"]))]
                holders += [(entry, "slot")]
            holder, key = seeded.choice(holders)
            data = bytearray.fromhex(holder[key][2:])
            data[seeded.randrange(len(data))] ^= 1 << seeded.randrange(8)
            holder[key] = "0x" + data.hex()
        if changed != evidence:
            yield changed


@pytest.mark.chain
def test_no_flipped_bit_of_real_evidence_goes_unnoticed(contract, policy, provider):
    contract.grant(provider)
    contract.anchor(0, 7)
    grant_id = grants.grant_id(grantor=provider.chain_address, terms_digest=TERMS)
    terms = {"grant_id": grant_id, "signer": provider.chain_address, "terms_digest": TERMS}
    slots = [*layout.for_root(1, 7), *layout.for_grant(**terms)]
    found = contract.backend.evidence(contract.address, slots=slots)
    known = chain.read(found, chain=policy).block.hash

    def check(evidence, *, block_hash):
        chain.check_root(evidence, chain=policy, shard=1, size=7, root=root(7), block_hash=block_hash)
        chain.check_grant_in_force(evidence, chain=policy, **terms, block_hash=block_hash)

    check(found, block_hash=known)
    passed, tried = [], 0
    for changed in flips(found, random.Random(16), 1000):
        tried += 1
        if not code(check, changed, block_hash=known):
            passed.append(changed)
    assert (passed, tried > 800) == ([], True)
    # The same without knowing the block: only members of the header that prove nothing here may differ.
    unknown = [one for one in flips(found, random.Random(17), 400) if not code(check, one, block_hash=None)]
    assert unknown
    assert all({**one, "header": ""} == {**found, "header": ""} for one in unknown)


@dataclass(frozen=True)
class Sealed:
    """Evidence over a chain of four validators, made here."""

    keys: Sequence[coincurve.PrivateKey]
    policy: Policy
    evidence: dict


@pytest.fixture
def sealed():
    keys = [coincurve.PrivateKey(bytes([number]) * 32) for number in range(1, 5)]
    contract, other = "0x" + "c0" * 20, "0x" + "0c" * 20
    held = {layout.root_in(1, 7): int(root(7), 16), layout.plain("size"): 7, layout.plain("shard"): 1}
    state, storages = trie_world.state({contract: held, other: {}})
    listed = [trie_world.address(key) for key in keys]
    header = trie_world.sealed_header(state.root, keys[:3], validators=listed, round_number=1, more=[7])
    slots = {**held, layout.root_in(1, 8): 0}
    evidence = trie_world.evidence(header, state, storages[contract], contract, slots)
    return Sealed(keys, Policy(contract, "0x" + typed_data.keccak256(b"code").hex(), listed), evidence)


def test_seals_of_the_policys_validators_need_no_known_block(sealed):
    asked = {"chain": sealed.policy, "shard": 1, "root": root(7)}
    block = chain.check_root(sealed.evidence, **asked, size=7)
    assert (block.number, block.is_sealed) == (7, True)
    assert code(chain.check_root, sealed.evidence, **asked, size=8) == "CHAIN_ROOT_ABSENT"
    strangers = replace(sealed.policy, validators=["0x" + "ee" * 20])
    assert code(chain.check_root, sealed.evidence, **{**asked, "chain": strangers}, size=7) == "VALIDATORS_DIFFER"
    believing = replace(sealed.policy, validators=[])
    assert not chain.check_root(sealed.evidence, **{**asked, "chain": believing}, size=7).is_sealed


def test_unsealed_evidence_does_not_pass_where_seals_are_demanded(sealed):
    state, storages = trie_world.state({sealed.policy.contract_address: {layout.root_in(1, 7): int(root(7), 16)}})
    contract = sealed.policy.contract_address
    slots = {layout.root_in(1, 7): int(root(7), 16)}
    storage = storages[contract]
    asked = {"chain": sealed.policy, "shard": 1, "size": 7, "root": root(7)}
    plain = trie_world.evidence(trie_world.header(state.root), state, storage, contract, slots)
    assert code(chain.check_root, plain, **asked) == "SEALS_MISSING"
    assert code(chain.check_root, plain, **{**asked, "chain": replace(sealed.policy, validators=())}) == ""
    two = trie_world.sealed_header(state.root, sealed.keys[:2], validators=sealed.policy.validators)
    assert code(chain.check_root, trie_world.evidence(two, state, storage, contract, slots), **asked) == "SEALS_MISSING"


def test_no_flipped_bit_of_sealed_evidence_goes_unnoticed(sealed):
    slots = chain.read(sealed.evidence, chain=sealed.policy).values

    def check(evidence):
        chain.check_root(evidence, chain=sealed.policy, shard=1, size=7, root=root(7))
        held = chain.read(evidence, chain=sealed.policy)  # the path of one absent slot may prove another absent too
        assert {slot: held.value(slot) for slot in slots} == slots

    check(sealed.evidence)
    passed, tried = [], 0
    for changed in flips(sealed.evidence, random.Random(20), 1500):
        tried += 1
        if not code(check, changed):
            passed.append(changed)
    assert (passed, tried > 1200) == ([], True)


def test_evidence_of_another_shape_is_refused_and_never_breaks_the_reader(sealed):
    good, policy = sealed.evidence, sealed.policy
    entry = good["storage"][0]

    def storage(*entries):
        return {**good, "storage": list(entries)}

    broken = [
        None,
        [],
        "evidence",
        {},
        {**good, "more": 1},
        {key: value for key, value in good.items() if key != "storage"},
        {**good, "header": None},
        {**good, "header": good["header"].upper()},
        {**good, "header": good["header"][2:]},
        {**good, "header": good["header"] + "0"},
        {**good, "account_proof": None},
        {**good, "account_proof": "0x"},
        {**good, "account_proof": [None]},
        {**good, "account_proof": []},
        {**good, "account_proof": [*good["account_proof"], "0x80"]},
        {**good, "account_proof": ["0x"] * 1000},
        {**good, "storage": {}},
        storage(None),
        storage({}),
        storage({**entry, "more": 1}),
        storage({**entry, "slot": entry["slot"].upper()}),
        storage({**entry, "slot": 4}),
        storage({**entry, "slot": "0x4"}),
        storage({**entry, "value": int(root(7), 16)}),
        storage({**entry, "value": "0x0" + entry["value"][2:]}),
        storage({**entry, "value": "0x0"}),
        storage({**entry, "value": "0x"}),
        storage({**entry, "value": entry["value"] + "0" * 64}),
        storage({**entry, "proof": []}),
        storage({**entry, "proof": None}),
        storage({**entry, "proof": [*entry["proof"], entry["proof"][-1]]}),
        storage(entry, entry),
    ]
    for evidence in broken:
        assert code(chain.read, evidence, chain=policy) in ("CHAIN_PROOF_INVALID", "HEADER_INVALID"), evidence
    assert code(chain.read, good, chain=replace(policy, contract_address="0x12")) == "CHAIN_PROOF_INVALID"
    assert code(chain.read, good, chain=policy) == ""


def test_evidence_has_a_bounded_number_of_slots():
    address = "0x" + "c0" * 20
    held = {f"0x{number:064x}": 1 for number in range(chain.MAX_SLOTS + 1)}
    state, storages = trie_world.state({address: held})
    asked = trie_world.evidence(trie_world.header(state.root), state, storages[address], address, held)
    assert code(chain.read, asked, chain=Policy(address)) == "CHAIN_PROOF_INVALID"
    asked["storage"].pop()
    assert code(chain.read, asked, chain=Policy(address)) == ""


def test_accounts_and_values_of_another_form_are_refused():
    address, key = "0x" + "c0" * 20, typed_data.keccak256(bytes.fromhex("c0" * 20))
    slot_key, account = typed_data.keccak256(bytes(32)), [1, 0, trie.EMPTY_ROOT, bytes(32)]
    for encoded in (b"\1", rlp.encode([]), rlp.encode(account[:3]), rlp.encode([*account, 1])):
        built = trie_world.Trie({key: encoded})
        header = trie_world.header(built.root)
        asked = {"address": address, "proof": built.proof(key)}
        assert code(chain.verify_account_proof, header, **asked) == "CHAIN_PROOF_INVALID"
    for encoded in (b"\0", rlp.encode(b"\0\1"), rlp.encode(bytes([1]) * 33), rlp.encode([1]), b"\x82\1"):
        storage = trie_world.Trie({slot_key: encoded})
        state = trie_world.Trie({key: rlp.encode([1, 0, storage.root, bytes(32)])})
        asked = {"address": address, "account_proof": state.proof(key), "slot": 0, "proof": storage.proof(slot_key)}
        assert code(chain.verify_storage_proof, trie_world.header(state.root), **asked) == "CHAIN_PROOF_INVALID"
    storage = trie_world.Trie({slot_key: b"\x80"})  # a written zero, as anvil keeps it
    state = trie_world.Trie({key: rlp.encode([1, 0, storage.root, bytes(32)])})
    asked = {"address": address, "account_proof": state.proof(key), "slot": 0, "proof": storage.proof(slot_key)}
    assert chain.verify_storage_proof(trie_world.header(state.root), **asked) == 0
    state = trie_world.Trie({key: rlp.encode(account)})
    asked = {"address": address, "account_proof": state.proof(key), "slot": 0, "proof": []}
    assert chain.verify_storage_proof(trie_world.header(state.root), **asked) == 0
    other = "0x" + "0c" * 20
    nothing = state.proof(typed_data.keccak256(bytes.fromhex("0c" * 20)))
    asked = {"address": other, "account_proof": nothing, "slot": 0, "proof": []}
    assert code(chain.verify_storage_proof, trie_world.header(state.root), **asked) == "CHAIN_CONTRACT_ABSENT"


@pytest.mark.parametrize("name", ["ropsten_contract", "besu_contract"])
def test_published_answers_of_eth_get_proof_hold(name):
    answer = PUBLISHED[name]
    state_root = typed_data.keccak256(bytes.fromhex(answer["accountProof"][0][2:]))
    header = trie_world.header(state_root)
    account = chain.verify_account_proof(header, address=answer["address"], proof=answer["accountProof"])
    assert (account.nonce, account.balance) == (int(answer["nonce"], 16), int(answer["balance"], 16))
    assert (account.storage_root, account.code_hash) == (answer["storageHash"], answer["codeHash"])
    for entry in answer["storageProof"]:
        asked = {"slot": int(entry["key"], 16), "proof": entry["proof"]}
        place = {"address": answer["address"], "account_proof": answer["accountProof"]}
        assert chain.verify_storage_proof(header, **place, **asked) == int(entry["value"], 16)
        wrong = {**asked, "slot": asked["slot"] ^ 1 << 255}
        assert code(chain.verify_storage_proof, header, **place, **wrong) in ("CHAIN_PROOF_INVALID", "")


def test_a_published_proof_of_an_account_that_does_not_exist_holds():
    gone, held = PUBLISHED["ropsten_absent"], PUBLISHED["ropsten_contract"]
    assert gone["accountProof"][0] == held["accountProof"][0]  # one block, one state
    header = trie_world.header(typed_data.keccak256(bytes.fromhex(gone["accountProof"][0][2:])))
    assert chain.verify_account_proof(header, address=gone["address"], proof=gone["accountProof"]) is None
    crossed = {"address": held["address"], "proof": gone["accountProof"]}
    assert code(chain.verify_account_proof, header, **crossed) == "CHAIN_PROOF_INVALID"
    shortened = {"address": held["address"], "proof": held["accountProof"][:-1]}
    assert code(chain.verify_account_proof, header, **shortened) == "CHAIN_PROOF_INVALID"


def test_a_chain_without_proofs_offers_none():
    assert MemoryBackend().evidence("0x" + "c0" * 20, slots=[]) is None

    def ask(method, parameters):
        if method == "eth_getProof":
            raise LookupError(method)
        return {"number": "0x7", "hash": "0x" + "11" * 32}

    assert collecting.collect(ask, "0x" + "c0" * 20, slots=[], block="latest") is None


@pytest.mark.chain
def test_a_chain_says_whether_it_knows_a_method_and_a_block(contract):
    with pytest.raises(LookupError):
        contract.backend._ask("eth_getNothing", [])
    with pytest.raises(ChainRefused) as refused:
        contract.backend.evidence(contract.address, slots=[], block_number=10**9)
    assert refused.value.reason == "BLOCK_UNKNOWN"
    with pytest.raises(ChainRefused) as refused:
        contract.backend.evidence(contract.address, slots=[], block_hash="0x" + "11" * 32)
    assert refused.value.reason == "BLOCK_UNKNOWN"


@pytest.mark.chain
def test_a_chain_whose_answers_do_not_fit_together_hands_out_nothing(contract):
    contract.anchor(0, 7)
    slots = layout.for_root(1, 7)

    def lying(**changes):
        def ask(method, parameters):
            answer = dict(contract.backend._ask(method, parameters))
            return {**answer, **changes} if method == "eth_getProof" else answer

        return ask

    assert collecting.collect(lying(), contract.address, slots=slots, block="latest") is not None
    real = contract.backend._ask("eth_getProof", [contract.address, slots, "latest"])
    entry = real["storageProof"][0]
    for changes in (
        {"accountProof": real["accountProof"][:-1]},
        {"accountProof": None},
        {"storageProof": []},
        {"storageProof": [{**entry, "value": "0x7"}]},
        {"storageProof": [{**entry, "proof": []}]},
        {"storageProof": [{"value": "0x0"}]},
    ):
        with pytest.raises(ChainUnreachable):
            collecting.collect(lying(**changes), contract.address, slots=slots, block="latest")


def test_one_verification_takes_milliseconds(sealed):
    started = time.perf_counter()
    for _ in range(20):
        chain.check_root(sealed.evidence, chain=sealed.policy, shard=1, size=7, root=root(7))
    assert (time.perf_counter() - started) / 20 < 0.1
