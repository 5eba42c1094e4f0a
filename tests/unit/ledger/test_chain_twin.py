"""The backend in memory answers as the real chain does: same calls, same words, same state."""

import pytest

from compute.protocol import keyfiles
from ledger.backends.base import Call, record_call
from ledger.backends.evm import EVMBackend
from ledger.backends.memory import MemoryBackend
from ledger.proofs import grants
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


def test_the_same_story_on_both(chain_rpc):
    provider = keyfiles.generate("fund-a")
    told = [story(chain_world.deploy(backend), provider) for backend in (MemoryBackend(), EVMBackend(chain_rpc))]
    assert told[0] == told[1]
    assert "SIGNATURE_WRONG" in told[0]
    assert "GRANT_REVOKED" in told[0]
