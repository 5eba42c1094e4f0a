"""The contract on a real EVM: it is a witness, and it takes nobody's word."""

import hashlib

import pytest

from compute.protocol import keyfiles
from ledger.backends.base import Call, ChainRefused, record_call
from ledger.backends.evm import EVMBackend
from ledger.chain import artifact
from ledger.proofs import grants, merkle, typed_data
from tests.unit.ledger import chain_world
from tests.unit.ledger.chain_world import TERMS, Contract, proof, root

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def backend(chain_rpc):
    return EVMBackend(chain_rpc)


@pytest.fixture
def contract(backend) -> Contract:
    return chain_world.deploy(backend)


@pytest.fixture
def provider():
    return keyfiles.generate("fund-a")


def test_the_anchored_root_moves_on_with_proofs(contract):
    for old, new in [(0, 1), (1, 2), (2, 7), (7, 8), (8, 100), (100, 129)]:
        contract.anchor(old, new)
        anchored = contract.backend.anchored(contract.address)
        assert (anchored.size, anchored.root) == (new, root(new))


def test_every_pair_of_small_sizes_agrees_with_the_pure_verifier(contract):
    # The anchored state is set by hand, so that each pair starts from its own old tree.
    checked = 0
    for new in range(2, 18):
        for old in range(1, new):
            _set_anchored(contract, old)
            assert contract.refusal(_anchor(old, new), by=contract.log) == ""
            checked += 1
    assert checked == 136


def test_the_first_anchor_takes_no_proof(contract):
    assert contract.refusal(_anchor(0, 3, hashes=[b"\x01" * 32]), by=contract.log) == "PROOF_NOT_EMPTY"
    assert contract.refusal(_anchor(0, 3, hashes=[]), by=contract.log) == ""


@pytest.mark.parametrize(
    ("hashes", "reason"),
    [
        ([], "PROOF_SHORT"),
        (proof(3, 7)[:-1], "PROOF_SHORT"),
        ([*proof(3, 7), b"\x00" * 32], "PROOF_LONG"),
        ([proof(3, 7)[1], proof(3, 7)[0], *proof(3, 7)[2:]], "OLD_ROOT_DIFFERS"),
        ([bytes(32), *proof(3, 7)[1:]], "OLD_ROOT_DIFFERS"),
        ([*proof(3, 7)[:-1], bytes(32)], "NEW_ROOT_DIFFERS"),
        (proof(3, 7, history="theirs"), "OLD_ROOT_DIFFERS"),
    ],
)
def test_a_forged_proof_is_refused_and_nothing_moves(contract, hashes, reason):
    contract.anchor(0, 3)

    assert contract.refusal(_anchor(3, 7, hashes=hashes), by=contract.log) == reason
    landed = contract.force(_anchor(3, 7, hashes=hashes), by=contract.log)

    assert landed.succeeded is False
    assert contract.backend.anchored(contract.address).size == 3


def test_a_rewritten_history_is_refused(contract):
    contract.anchor(0, 4)

    with pytest.raises(ChainRefused) as refused:
        contract.anchor(4, 9, history="rewritten")

    assert refused.value.reason == "NEW_ROOT_DIFFERS"


def test_sending_an_anchor_again_changes_nothing(contract):
    first = contract.anchor(0, 5)

    again = contract.anchor(0, 5)

    assert again.succeeded
    assert contract.backend.anchored_event(contract.address, size=5).transaction_hash == first.transaction_hash


def test_an_anchor_from_another_size_than_the_anchored_one_is_refused(contract):
    contract.anchor(0, 5)
    assert contract.refusal(_anchor(4, 9), by=contract.log) == "SIZE_MOVED"
    assert contract.refusal(_anchor(5, 5), by=contract.log) == "NOT_NEWER"
    assert contract.refusal(_anchor(5, 4), by=contract.log) == "NOT_NEWER"


def test_only_an_anchorer_anchors_and_only_a_recorder_meters(contract, provider):
    grant_id = contract.grant(provider)
    assert contract.refusal(_anchor(0, 1), by=contract.exchange) == "NOT_ANCHORER"
    meter = record_call("meter", {"grant_id": grant_id, "used": 1})
    assert contract.refusal(meter, by=contract.log) == "NOT_RECORDER"


def test_a_grant_by_signature_stands_under_its_id(contract, provider):
    grant_id = contract.grant(provider)

    held = contract.backend.grant(contract.address, grant_id)

    assert (held.grantor, held.terms_digest, held.cap, held.used, held.revoked_at) == (
        provider.chain_address,
        TERMS,
        20,
        0,
        0,
    )
    assert contract.backend.grant(contract.address, "0x" + "00" * 32) is None


def test_contract_and_python_name_grant_and_domain_alike(contract, provider):
    functions = contract.backend._contract(contract.address).functions
    on_chain = functions.grant_id(provider.chain_address, bytes.fromhex(TERMS)).call()
    assert "0x" + on_chain.hex() == grants.grant_id(grantor=provider.chain_address, terms_digest=TERMS)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chain_id": 1}, "SIGNATURE_WRONG"),
        ({"contract_address": "0x" + "11" * 20}, "SIGNATURE_WRONG"),
        ({"cap": 0}, "CAP_ZERO"),
        ({"not_after": 1_700_000_000}, "WINDOW_EMPTY"),
    ],
)
def test_a_grant_for_elsewhere_or_for_nothing_is_refused(contract, provider, changes, reason):
    signed = contract.signed_grant(provider.chain, **changes)
    assert contract.refusal(record_call("grant", signed), by=contract.exchange) == reason


def test_a_changed_grant_or_another_signer_is_refused(contract, provider):
    signed = contract.signed_grant(provider.chain)
    assert contract.refusal(record_call("grant", {**signed, "cap": 21}), by=contract.exchange) == "SIGNATURE_WRONG"
    other = keyfiles.generate("other").chain_address
    assert (
        contract.refusal(record_call("grant", {**signed, "grantor": other}), by=contract.exchange) == "SIGNATURE_WRONG"
    )


def test_the_mirror_image_of_a_signature_is_refused(contract, provider):
    signed = contract.signed_grant(provider.chain)
    raw = bytes.fromhex(signed["signature"][2:])
    order = typed_data.HALF_ORDER * 2 + 1
    high = (order - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big")
    mirrored = "0x" + (raw[:32] + high + bytes([55 - raw[64]])).hex()

    reason = contract.refusal(record_call("grant", {**signed, "signature": mirrored}), by=contract.exchange)

    assert reason == "SIGNATURE_HIGH_S"


def test_granting_again_is_harmless_but_never_after_a_revocation(contract, provider):
    grant_id = contract.grant(provider)
    assert contract.grant(provider) == grant_id
    contract.run(record_call("revoke", contract.revocation(grant_id, by=provider)), by=contract.exchange)

    replay = record_call("grant", contract.signed_grant(provider.chain))

    assert contract.refusal(replay, by=contract.exchange) == "GRANT_REVOKED"
    assert contract.backend.grant(contract.address, grant_id).revoked_at > 0


def test_a_second_grant_for_the_same_terms_cannot_widen_the_first(contract, provider):
    contract.grant(provider)
    wider = record_call("grant", contract.signed_grant(provider.chain, cap=1000))
    assert contract.refusal(wider, by=contract.exchange) == "GRANT_DIFFERS"


def test_only_the_grantor_revokes_himself_or_by_signature(contract, provider):
    grant_id = contract.grant(provider)
    stranger = keyfiles.generate("stranger")
    forged = record_call("revoke", contract.revocation(grant_id, by=stranger))
    direct = Call("revoke", (bytes.fromhex(grant_id[2:]),))
    assert contract.refusal(forged, by=contract.exchange) == "SIGNATURE_WRONG"
    assert _direct_refusal(contract, direct, sender=contract.exchange.chain_address) == "NOT_GRANTOR"
    assert _direct_refusal(contract, direct, sender=provider.chain_address) == ""


def test_usage_totals_only_rise_and_stop_at_the_cap_and_at_the_revocation(contract, provider):
    grant_id = contract.grant(provider)

    def meter(used):
        return record_call("meter", {"grant_id": grant_id, "used": used})

    contract.run(meter(3), by=contract.exchange)
    contract.run(meter(3), by=contract.exchange)  # said again, nothing happens
    assert contract.refusal(meter(2), by=contract.exchange) == "TOTAL_LOWER"
    assert contract.refusal(meter(21), by=contract.exchange) == "CAP_EXCEEDED"
    contract.run(meter(20), by=contract.exchange)
    assert contract.backend.grant(contract.address, grant_id).used == 20

    contract.run(record_call("revoke", contract.revocation(grant_id, by=provider)), by=contract.exchange)
    assert contract.refusal(meter(20), by=contract.exchange) == ""


def test_a_revoked_grant_takes_no_more_use(contract, provider):
    grant_id = contract.grant(provider)
    contract.run(record_call("revoke", contract.revocation(grant_id, by=provider)), by=contract.exchange)
    meter = record_call("meter", {"grant_id": grant_id, "used": 1})
    assert contract.refusal(meter, by=contract.exchange) == "GRANT_REVOKED"


def test_a_batch_of_totals_is_all_or_nothing(contract, provider):
    ids = [bytes.fromhex(contract.grant(provider, terms_digest=f"{n:064x}")[2:]) for n in (1, 2, 3)]

    reason = _direct_refusal(contract, Call("meter_batch", (ids, [1, 2, 99])), sender=contract.exchange.chain_address)
    assert reason == "CAP_EXCEEDED"
    batch = Call("meter_batch", (ids, [1, 2, 3]))
    assert _direct_refusal(contract, batch, sender=contract.exchange.chain_address) == ""


def test_a_voided_statement_stops_grant_and_meter(contract, provider):
    functions = contract.backend._contract(contract.address).functions
    digest = grants.void_digest(
        chain_id=contract.chain_id,
        contract_address=contract.address,
        signer=provider.chain_address,
        statement_digest=TERMS,
    )
    signature = bytes.fromhex(typed_data.sign(digest, key=provider.chain)[2:])
    web3 = contract.backend._web3
    sender = {"from": web3.eth.accounts[0]}
    sent = functions.void_by_signature(provider.chain_address, bytes.fromhex(TERMS), signature).transact(sender)
    web3.eth.wait_for_transaction_receipt(sent)

    assert contract.backend.is_voided(contract.address, signer=provider.chain_address, digest=TERMS)
    signed = record_call("grant", contract.signed_grant(provider.chain))
    assert contract.refusal(signed, by=contract.exchange) == "TERMS_VOIDED"


def test_a_new_contract_continues_from_its_predecessor(contract, backend):
    contract.anchor(0, 6)

    successor = chain_world.deploy(backend, predecessor=contract.address)

    assert backend.anchored(successor.address).root == root(6)
    successor.anchor(6, 11)
    assert backend.anchored(successor.address).size == 11


def test_admin_moves_in_two_steps(contract):
    successor = keyfiles.generate("successor").chain_address
    offer = Call("offer_admin", (successor,))
    assert _direct_refusal(contract, offer, sender=contract.log.chain_address) == "NOT_ADMIN"
    assert _direct_refusal(contract, Call("accept_admin", ()), sender=successor) == "NOT_OFFERED"


def test_the_storage_slots_of_the_artifact_hold_what_it_says(contract):
    contract.anchor(0, 5)
    web3 = contract.backend._web3
    size = int.from_bytes(web3.eth.get_storage_at(contract.address, _slot("size")), "big")
    # A Vyper map's element lies at keccak256(slot . key); Solidity turns the two round.
    shard = typed_data.keccak256(_slot("root_in").to_bytes(32, "big") + (1).to_bytes(32, "big"))
    slot = typed_data.keccak256(shard + (5).to_bytes(32, "big"))
    held = web3.eth.get_storage_at(contract.address, int.from_bytes(slot, "big"))
    assert (size, bytes(held).hex()) == (5, root(5))


def test_a_silent_endpoint_is_unreachable_and_not_waited_for():
    from ledger.backends.base import ChainUnreachable

    with pytest.raises(ChainUnreachable):
        EVMBackend("http://127.0.0.1:9", timeout_seconds=0.2).identity()


def _anchor(old: int, new: int, *, hashes: list[bytes] | None = None) -> Call:
    steps = hashes if hashes is not None else (proof(old, new) if 0 < old <= new else [])
    return Call("anchor", (old, new, bytes.fromhex(root(new)), steps))


def _set_anchored(contract: Contract, size: int) -> None:
    rpc = contract.backend._web3.provider.make_request
    rpc("anvil_setStorageAt", [contract.address, hex(_slot("size")), f"0x{size:064x}"])
    rpc("anvil_setStorageAt", [contract.address, hex(_slot("root")), "0x" + root(size)])


def _slot(name: str) -> int:
    return int(artifact()["storage_layout"][name]["slot"])


def _direct_refusal(contract: Contract, call: Call, *, sender: str) -> str:
    """For functions the exchange itself never calls."""
    from web3.exceptions import ContractLogicError

    function = contract.backend._contract(contract.address).functions[call.function](*call.arguments)
    try:
        function.call({"from": sender})
    except ContractLogicError as error:
        return str(error.message).removeprefix("execution reverted: ")
    return ""


def test_helpers_hash_as_the_standard_does():
    assert chain_world.leaf(0) == hashlib.sha256(b"\x00ours 0").digest()
    assert merkle.root(chain_world.leaves(2)) == merkle.node_hash(*chain_world.leaves(2))
