"""The backend in memory answers as the real chain does: same calls, same words, same state."""

import pytest

from compute.protocol import keyfiles
from ledger.backends.base import (
    Call,
    anchor_call,
    log_key_call,
    open_shard_call,
    own_call,
    record_call,
)
from ledger.backends.evm import EVMBackend
from ledger.backends.memory import MemoryBackend
from ledger.proofs import grants, typed_data
from tests.unit.ledger import chain_world
from tests.unit.ledger.chain_world import TERMS, proof, root

pytestmark = pytest.mark.chain


def story(contract, provider) -> list[object]:
    """One contract's life; every answer is noted."""
    notes: list[object] = []

    def anchor(old, new, hashes):
        call = Call("anchor", (old, new, bytes.fromhex(root(new)), hashes))
        reason = contract.refusal(call, by=contract.log)
        # The contract says what is wrong with a proof, the memory only that it is.
        notes.append("PROOF_WRONG" if reason.startswith(("PROOF_S", "PROOF_L", "OLD_", "NEW_")) else reason)
        contract.force(call, by=contract.log)
        state = contract.backend.anchored(contract.address)
        notes.append((state.size, state.root))

    def say(kind, payload, *, by=contract.exchange):
        call = record_call(kind, payload)
        notes.append(contract.refusal(call, by=by))
        contract.force(call, by=by)
        held = contract.backend.grant(contract.address, grant_id)
        notes.append(held and (held.cap, held.used, held.revoked_at > 0))

    grant_id = grants.grant_id(grantor=provider.chain_address, terms_digest=TERMS)
    anchor(0, 3, [bytes(32)])
    anchor(0, 3, [])
    anchor(0, 3, [])
    anchor(2, 5, proof(2, 5))
    anchor(3, 7, proof(3, 7)[:-1])
    anchor(3, 7, [*proof(3, 7), bytes(32)])
    anchor(3, 7, proof(3, 7))
    anchor(7, 7, [])
    grant = contract.signed_grant(provider.chain)
    say("meter", {"grant_id": grant_id, "used": 1})
    say("revoke", contract.revocation(grant_id, by=provider))
    say("grant", {**grant, "cap": 21})
    say("grant", contract.signed_grant(provider.chain, cap=0))
    say("grant", contract.signed_grant(provider.chain, not_after=1))
    say("grant", grant)
    say("grant", grant)
    say("grant", contract.signed_grant(provider.chain, cap=21))
    say("meter", {"grant_id": grant_id, "used": 1}, by=contract.log)
    for used in (5, 5, 4, 21, 20):
        say("meter", {"grant_id": grant_id, "used": used})
    say("revoke", contract.revocation(grant_id, by=contract.log))
    say("revoke", contract.revocation(grant_id, by=provider))
    say("revoke", contract.revocation(grant_id, by=provider))
    say("grant", grant)
    return notes


def later_story(contract, provider) -> list[object]:
    """What the exchange and a provider's own account may do besides."""
    notes: list[object] = []
    second, third = keyfiles.generate("second"), "0a" * 32
    for keys in (provider, second):
        contract.backend.fund(keys.chain_address)

    def say(call, *, by=contract.exchange):
        notes.append((call.function, contract.refusal(call, by=by)))
        contract.force(call, by=by)
        state = contract.backend.anchored(contract.address)
        notes.append((state.shard, state.size, state.root))

    def voiding(signer, digest):
        message = grants.void_digest(
            chain_id=contract.chain_id,
            contract_address=contract.address,
            signer=provider.chain_address,
            statement_digest=digest,
        )
        signature = typed_data.sign(message, key=signer.chain)
        return record_call("void", {"signer": provider.chain_address, "digest": digest, "signature": signature})

    terms = {"not_before": 1_700_000_000, "not_after": 1_900_000_000, "cap": 20}
    ids = []
    for number in (1, 2, 3):
        digest = f"{number:064x}"
        say(own_call("grant", {**terms, "terms_digest": digest}), by=provider)
        ids.append(grants.grant_id(grantor=provider.chain_address, terms_digest=digest))
    say(own_call("grant", {**terms, "terms_digest": digest, "cap": 2**64 - 1}), by=provider)
    for totals in ([3, 4, 5], [3, 4, 99], [2, 4, 5], [3, 4, 6]):
        say(record_call("meter_batch", {"totals": list(zip(ids, totals, strict=True))}))
        notes.append([contract.backend.grant(contract.address, grant_id).used for grant_id in ids])
    say(record_call("meter_batch", {"totals": []}), by=provider)
    say(own_call("revoke", {"grant_id": ids[0]}), by=second)
    say(own_call("revoke", {"grant_id": ids[0]}), by=provider)
    say(own_call("revoke", {"grant_id": "0x" + "00" * 32}), by=provider)
    say(own_call("void", {"digest": f"{2:064x}"}), by=provider)
    say(record_call("meter", {"grant_id": ids[1], "used": 5}))
    for signer in (second, provider, provider):
        say(voiding(signer, f"{9:064x}"))
    say(own_call("grant", {**terms, "terms_digest": f"{9:064x}"}), by=provider)
    voided = [contract.backend.is_voided(contract.address, signer=provider.chain_address, digest=f"{n:064x}")
              for n in (2, 3, 9)]  # fmt: skip
    notes.append(voided)

    say(anchor_call(old_size=0, new_size=3, root=root(3), proof=[]), by=contract.log)
    say(open_shard_call(number=3, log_key_hash=third))
    say(open_shard_call(number=2, log_key_hash=third), by=contract.log)
    say(open_shard_call(number=2, log_key_hash=third))
    say(open_shard_call(number=2, log_key_hash=third))
    say(Call("anchor", (0, 3, bytes.fromhex(root(3)), [])), by=contract.log)
    for shard in (3, 2, 2):
        say(anchor_call(old_size=0, new_size=4, root=root(4), proof=[], shard=shard), by=contract.log)
    say(anchor_call(old_size=4, new_size=9, root=root(9), proof=proof(4, 9), shard=2), by=contract.log)
    for shard in (None, 1, 2, 3):
        notes.append(contract.backend.anchored_event(contract.address, size=4, shard=shard) is not None)

    for call, by in [
        (log_key_call(log_key_hash=third), contract.exchange),
        (log_key_call(log_key_hash="0b" * 32), contract.log),
        (log_key_call(log_key_hash="0b" * 32), contract.exchange),
        (Call("set_recorder", (second.chain_address, True)), second),
        (Call("set_recorder", (second.chain_address, True)), contract.exchange),
        (Call("set_anchorer", (contract.log.chain_address, False)), contract.exchange),
        (anchor_call(old_size=9, new_size=11, root=root(11), proof=proof(9, 11)), contract.log),
        (record_call("meter", {"grant_id": ids[2], "used": 9}), second),
        (Call("offer_admin", (second.chain_address,)), second),
        (Call("offer_admin", (second.chain_address,)), contract.exchange),
        (Call("accept_admin", ()), contract.exchange),
        (Call("accept_admin", ()), second),
        (log_key_call(log_key_hash="0c" * 32), contract.exchange),
    ]:
        say(call, by=by)
    return [_without(contract, note, second) for note in [*notes, *told(contract)]]


def told(contract) -> list[object]:
    """Every event since the contract was made, and that a part of the blocks has a part of them."""
    head = contract.backend.block_number()
    events = contract.backend.events(contract.address, from_block=0, to_block=head)
    blocks = sorted({event.block_number for event in events})
    middle = blocks[len(blocks) // 2]
    lower = contract.backend.events(contract.address, from_block=0, to_block=middle)
    upper = contract.backend.events(contract.address, from_block=middle + 1, to_block=head)
    assert lower + upper == events
    assert lower
    assert upper
    for event in events:
        landed = contract.backend.inclusion(event.transaction_hash)
        assert (landed.block_number, landed.block_hash) == (event.block_number, event.block_hash)
    assert contract.backend.events("0x" + "11" * 20, from_block=0, to_block=head) == []
    return [(event.name, event.arguments, event.log_index) for event in events]


def _without(contract, note: object, second) -> object:
    """Each telling has keys of its own."""
    names = {contract.log: "log", contract.exchange: "exchange", second: "second"}
    text = repr(note)
    for keys, name in names.items():
        text = text.replace(keys.chain_address, name)
    return text


def test_the_same_story_on_both(chain_rpc):
    provider = keyfiles.generate("fund-a")
    told = [story(chain_world.deploy(backend), provider) for backend in (MemoryBackend(), EVMBackend(chain_rpc))]
    assert told[0] == told[1]
    assert "SIGNATURE_WRONG" in told[0]
    assert "GRANT_REVOKED" in told[0]


def test_the_later_story_on_both(chain_rpc):
    provider = keyfiles.generate("fund-a")
    memory, real = (
        later_story(chain_world.deploy(backend), provider) for backend in (MemoryBackend(), EVMBackend(chain_rpc))
    )
    assert memory == real
    text = " ".join(map(str, memory))
    for name in ("Anchored", "ShardOpened", "Granted", "Revoked", "Voided", "Metered", "LogKeyChanged", "RoleChanged"):
        assert f"('{name}'" in text
    for word in ("SHARD_UNNAMED", "SHARD_MOVED", "TERMS_VOIDED", "NOT_OFFERED", "NOT_GRANTOR", "CAP_EXCEEDED"):
        assert word in text
    assert "'allowed': True" in text
    assert "'role': 'recorder'" in text


def test_a_refusal_of_a_batch_changes_nothing_in_memory():
    """The rules stop half-way; the chain keeps the state from before."""
    contract, provider = chain_world.deploy(MemoryBackend()), keyfiles.generate("fund-a")
    ids = [contract.grant(provider, terms_digest=f"{number:064x}") for number in (1, 2)]
    call = record_call("meter_batch", {"totals": [(ids[0], 3), (ids[1], 99)]})

    assert contract.force(call, by=contract.exchange).succeeded is False

    assert contract.backend.grant(contract.address, ids[0]).used == 0
    assert [e.name for e in contract.backend.events(contract.address, from_block=0, to_block=99)].count("Metered") == 0
