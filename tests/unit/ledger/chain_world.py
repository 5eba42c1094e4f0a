"""A chain, two key files and a log of one's own, for the tests of anchoring and of direct records."""

import time
from dataclasses import dataclass
from typing import Any

import coincurve
from web3 import Web3

from compute.protocol import keyfiles
from compute.protocol.keyfiles import KeyFile
from ledger.backends.base import ZERO_ADDRESS, Call, ChainRefused, Inclusion, LedgerBackend, record_call
from ledger.proofs import grants, merkle, typed_data

TERMS = "ab" * 32
LOG_KEY_HASH = b"\x07" * 32


def leaf(number: int, *, history: str = "ours") -> bytes:
    return merkle.leaf_hash(f"{history} {number}".encode())


def leaves(count: int, *, history: str = "ours") -> list[bytes]:
    return [leaf(number, history=history) for number in range(count)]


def root(count: int, *, history: str = "ours") -> str:
    return merkle.root(leaves(count, history=history)).hex()


def proof(old: int, new: int, *, history: str = "ours") -> list[bytes]:
    return merkle.consistency_proof(old, leaves(new, history=history))


@dataclass
class Contract:
    """One deployed ledger contract and the keys that may speak to it."""

    backend: LedgerBackend
    address: str
    chain_id: int
    log: KeyFile
    exchange: KeyFile

    def run(self, call: Call, *, by: KeyFile) -> Inclusion:
        """Ask first, then send: ChainRefused carries the contract's word."""
        self.backend.simulate(call, address=self.address, sender=by.chain_address)
        return self.force(call, by=by)

    def force(self, call: Call, *, by: KeyFile) -> Inclusion:
        signed = self.backend.sign(
            call,
            address=self.address,
            chain_id=self.chain_id,
            key=by.chain,
            nonce=self.backend.nonce(by.chain_address),
            gas_price=self.backend.gas_price(),
        )
        self.backend.send(signed.raw)
        return wait_for(self.backend, signed.transaction_hash)

    def anchor(self, old: int, new: int, *, history: str = "ours", hashes: list[bytes] | None = None) -> Inclusion:
        steps = hashes if hashes is not None else (proof(old, new, history=history) if 0 < old <= new else [])
        call = Call("anchor", (old, new, bytes.fromhex(root(new, history=history)), steps))
        return self.run(call, by=self.log)

    def refusal(self, call: Call, *, by: KeyFile) -> str:
        """The contract's word for a refused call; empty when it would be taken."""
        try:
            self.backend.simulate(call, address=self.address, sender=by.chain_address)
        except ChainRefused as error:
            return error.reason
        return ""

    def signed_grant(self, key: coincurve.PrivateKey, **changes: Any) -> dict[str, Any]:
        fields = {
            "chain_id": self.chain_id,
            "contract_address": self.address,
            "terms_digest": TERMS,
            "not_before": 1_700_000_000,
            "not_after": 1_900_000_000,
            "cap": 20,
        }
        return grants.sign_grant(key=key, **{**fields, **changes})

    def grant(self, provider: KeyFile, **changes: Any) -> str:
        signed = self.signed_grant(provider.chain, **changes)
        self.run(record_call("grant", signed), by=self.exchange)
        return grants.grant_id(grantor=signed["grantor"], terms_digest=signed["terms_digest"])

    def revocation(self, grant_id: str, *, by: KeyFile) -> dict[str, Any]:
        digest = grants.revoke_digest(chain_id=self.chain_id, contract_address=self.address, grant=grant_id)
        return {"grant_id": grant_id, "signature": typed_data.sign(digest, key=by.chain)}


def wait_for(backend: LedgerBackend, transaction_hash: str) -> Inclusion:
    """anvil mines a moment after it has taken a transaction."""
    for _ in range(200):
        landed = backend.inclusion(transaction_hash)
        if landed is not None:
            return landed
        time.sleep(0.01)
    raise AssertionError("not mined within two seconds")


def deploy(backend: LedgerBackend, *, predecessor: str = ZERO_ADDRESS) -> Contract:
    log, exchange = keyfiles.generate("log"), keyfiles.generate("exchange")
    for keys in (log, exchange):
        backend.fund(keys.chain_address)
    identity = backend.identity()
    signed = backend.sign_deployment(
        [exchange.chain_address, log.chain_address, exchange.chain_address, LOG_KEY_HASH, predecessor],
        chain_id=identity.chain_id,
        key=exchange.chain,
        nonce=0,
        gas_price=backend.gas_price(),
    )
    backend.send(signed.raw)
    landed = wait_for(backend, signed.transaction_hash)
    assert landed.succeeded
    return Contract(backend, Web3.to_checksum_address(landed.contract_address), identity.chain_id, log, exchange)
