"""The contract's rules without a chain, for tests; `tests/unit/ledger/test_chain_twin.py` holds it to the real one.

Transactions are JSON instead of RLP and are mined as they arrive. Nothing outlives the object.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import coincurve

from ledger.backends.base import (
    ZERO_ADDRESS,
    AnchoredRoot,
    Call,
    ChainIdentity,
    ChainRefused,
    GrantState,
    Inclusion,
    LedgerBackend,
    SignedTransaction,
)
from ledger.chain import artifact
from ledger.proofs import grants, merkle, typed_data
from ledger.proofs.errors import VerificationError

_CODE_HASH = "0x" + typed_data.keccak256(bytes.fromhex(artifact()["bytecode_runtime"][2:])).hex()
_NO_ROOT = "00" * 32


@dataclass
class _Contract:
    anchorer: str
    recorder: str
    size: int = 0
    root: str = _NO_ROOT
    history: list[tuple[int, int, str]] = field(default_factory=list)  # block, size, root
    events: dict[int, str] = field(default_factory=dict)  # size -> transaction hash
    grants: dict[str, GrantState] = field(default_factory=dict)
    voided: set[tuple[str, str]] = field(default_factory=set)


class MemoryBackend(LedgerBackend):
    """A chain of one process."""

    def __init__(self, *, chain_id: int = 31337, genesis: str = "memory") -> None:
        self.chain_id = chain_id
        self.genesis_hash = "0x" + hashlib.sha256(genesis.encode()).hexdigest()
        self.block = 0
        self._contracts: dict[str, _Contract] = {}
        self._nonces: dict[str, int] = {}
        self._included: dict[str, Inclusion] = {}

    def identity(self) -> ChainIdentity:
        return ChainIdentity(chain_id=self.chain_id, genesis_hash=self.genesis_hash, is_development=True)

    def code_hash(self, address: str) -> str:
        return _CODE_HASH if address in self._contracts else ""

    def anchored(self, address: str, *, confirmations: int = 0) -> AnchoredRoot:
        block = max(0, self.block - confirmations)
        seen = [(size, root) for at, size, root in self._contracts[address].history if at <= block]
        size, root = seen[-1] if seen else (0, _NO_ROOT)
        return AnchoredRoot(size=size, root=root, block_number=block)

    def anchored_event(self, address: str, *, size: int) -> Inclusion | None:
        transaction_hash = self._contracts[address].events.get(size)
        return None if transaction_hash is None else self._included[transaction_hash]

    def grant(self, address: str, grant_id: str) -> GrantState | None:
        return self._contracts[address].grants.get(grant_id)

    def is_voided(self, address: str, *, signer: str, digest: str) -> bool:
        return (signer, digest) in self._contracts[address].voided

    def nonce(self, account: str) -> int:
        return self._nonces.get(account, 0)

    def gas_price(self) -> int:
        return 0

    def simulate(self, call: Call, *, address: str, sender: str) -> None:
        self._execute(call, address=address, sender=sender, commit=False)

    def sign(
        self, call: Call, *, address: str, chain_id: int, key: coincurve.PrivateKey, nonce: int, gas_price: int
    ) -> SignedTransaction:
        body = {"to": address, "function": call.function, "arguments": _to_json(call.arguments)}
        return self._pack(body, chain_id=chain_id, key=key, nonce=nonce, gas_price=gas_price)

    def sign_deployment(
        self, arguments: Sequence[Any], *, chain_id: int, key: coincurve.PrivateKey, nonce: int, gas_price: int
    ) -> SignedTransaction:
        body = {"to": "", "function": "deploy", "arguments": _to_json(arguments)}
        return self._pack(body, chain_id=chain_id, key=key, nonce=nonce, gas_price=gas_price)

    def gas_price_of(self, raw: str) -> int:
        return int(json.loads(raw)["gas_price"])

    def send(self, raw: str) -> None:
        body = json.loads(raw)
        sender, transaction_hash = body["from"], _hash(raw)
        if body["nonce"] != self.nonce(sender):
            return  # used already, or a gap: a real chain keeps or drops it just as silently
        self._nonces[sender] = body["nonce"] + 1
        self.block += 1
        contract_address, succeeded = "", True
        try:
            if body["function"] == "deploy":
                contract_address = self._deploy(sender, body)
            else:
                call = Call(body["function"], _from_json(body["arguments"]))
                self._execute(call, address=body["to"], sender=sender, commit=True, transaction_hash=transaction_hash)
        except ChainRefused:
            succeeded = False
        self._included[transaction_hash] = Inclusion(
            transaction_hash=transaction_hash,
            block_number=self.block,
            block_hash="0x" + hashlib.sha256(f"{self.genesis_hash}{self.block}".encode()).hexdigest(),
            succeeded=succeeded,
            contract_address=contract_address,
        )

    def inclusion(self, transaction_hash: str) -> Inclusion | None:
        return self._included.get(transaction_hash)

    def fund(self, account: str) -> None:
        return None

    def _pack(
        self, body: dict[str, Any], *, chain_id: int, key: coincurve.PrivateKey, nonce: int, gas_price: int
    ) -> SignedTransaction:
        sender = typed_data.checksum_address(typed_data.keccak256(key.public_key.format(compressed=False)[1:])[-20:])
        fields = {"from": sender, "chain_id": chain_id, "nonce": nonce, "gas_price": gas_price}
        raw = json.dumps({**body, **fields}, sort_keys=True)
        return SignedTransaction(raw=raw, transaction_hash=_hash(raw), nonce=nonce, gas_price=gas_price)

    def _deploy(self, sender: str, body: dict[str, Any]) -> str:
        _, anchorer, recorder, _, predecessor = _from_json(body["arguments"])
        digest = hashlib.sha256(f"{sender}{body['nonce']}".encode()).digest()
        address = typed_data.checksum_address(digest[:20])
        contract = _Contract(anchorer=anchorer, recorder=recorder)
        if predecessor != ZERO_ADDRESS:
            before = self._contracts[predecessor]
            contract.size, contract.root = before.size, before.root
            contract.history.append((self.block, contract.size, contract.root))
        self._contracts[address] = contract
        return address

    def _execute(self, call: Call, *, address: str, sender: str, commit: bool, transaction_hash: str = "") -> None:
        contract = self._contracts.get(address)
        if contract is None:
            return  # a call to an address without code does nothing, on a real chain too
        if call.function == "anchor":
            self._anchor(contract, sender, *call.arguments, commit=commit, transaction_hash=transaction_hash)
        elif call.function == "grant_by_signature":
            self._grant(contract, address, *call.arguments, commit=commit)
        elif call.function == "revoke_by_signature":
            self._revoke(contract, address, *call.arguments, commit=commit)
        elif call.function == "meter":
            self._meter(contract, sender, *call.arguments, commit=commit)
        else:
            raise _refused("UNKNOWN_FUNCTION")

    def _anchor(
        self,
        contract: _Contract,
        sender: str,
        old_size: int,
        new_size: int,
        root: bytes,
        proof: list[bytes],
        *,
        commit: bool,
        transaction_hash: str,
    ) -> None:
        _require(sender == contract.anchorer, "NOT_ANCHORER")
        _require(new_size > old_size, "NOT_NEWER")
        if new_size == contract.size and root.hex() == contract.root:
            return
        _require(old_size == contract.size, "SIZE_MOVED")
        if old_size == 0:
            _require(not proof, "PROOF_NOT_EMPTY")
        else:
            try:
                merkle.verify_consistency(
                    old_size=old_size,
                    new_size=new_size,
                    old_root=bytes.fromhex(contract.root),
                    new_root=root,
                    proof=proof,
                )
            except VerificationError:
                raise _refused("PROOF_WRONG") from None
        if commit:
            contract.size, contract.root = new_size, root.hex()
            contract.history.append((self.block, new_size, root.hex()))
            contract.events[new_size] = transaction_hash

    def _grant(
        self,
        contract: _Contract,
        address: str,
        grantor: str,
        terms: bytes,
        not_before: int,
        not_after: int,
        cap: int,
        signature: bytes,
        *,
        commit: bool,
    ) -> None:
        message = grants.grant_digest(
            chain_id=self.chain_id,
            contract_address=address,
            grantor=grantor,
            terms_digest=terms.hex(),
            not_before=not_before,
            not_after=not_after,
            cap=cap,
        )
        self._check_signature(grantor, message, signature)
        grant_id = grants.grant_id(grantor=grantor, terms_digest=terms.hex())
        found = contract.grants.get(grant_id)
        asked = GrantState(grantor, terms.hex(), not_before, not_after, cap, used=0, revoked_at=0)
        if found is not None:
            _require(found.revoked_at == 0, "GRANT_REVOKED")
            _require(replace(found, used=0) == asked, "GRANT_DIFFERS")
            return
        _require(not_after > not_before, "WINDOW_EMPTY")
        _require(cap > 0, "CAP_ZERO")
        _require((grantor, terms.hex()) not in contract.voided, "TERMS_VOIDED")
        if commit:
            contract.grants[grant_id] = asked

    def _revoke(self, contract: _Contract, address: str, grant: bytes, signature: bytes, *, commit: bool) -> None:
        grant_id = "0x" + grant.hex()
        found = contract.grants.get(grant_id)
        if found is None:
            raise _refused("NO_GRANT")
        message = grants.revoke_digest(chain_id=self.chain_id, contract_address=address, grant=grant_id)
        self._check_signature(found.grantor, message, signature)
        if commit and not found.revoked_at:
            contract.grants[grant_id] = replace(found, revoked_at=self.block)

    def _meter(self, contract: _Contract, sender: str, grant: bytes, used: int, *, commit: bool) -> None:
        _require(sender == contract.recorder, "NOT_RECORDER")
        found = contract.grants.get("0x" + grant.hex())
        if found is None:
            raise _refused("NO_GRANT")
        _require(used >= found.used, "TOTAL_LOWER")
        if used == found.used:
            return
        _require(found.revoked_at == 0, "GRANT_REVOKED")
        _require((found.grantor, found.terms_digest) not in contract.voided, "TERMS_VOIDED")
        _require(used <= found.cap, "CAP_EXCEEDED")
        if commit:
            contract.grants["0x" + grant.hex()] = replace(found, used=used)

    def _check_signature(self, signer: str, message: bytes, signature: bytes) -> None:
        _require(len(signature) == 65, "SIGNATURE_LENGTH")
        _require(int.from_bytes(signature[32:64], "big") <= typed_data.HALF_ORDER, "SIGNATURE_HIGH_S")
        _require(signature[64] in (27, 28), "SIGNATURE_V")
        try:
            typed_data.verify(message, signature, signer=signer)
        except VerificationError:
            raise _refused("SIGNATURE_WRONG") from None


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise _refused(reason)


def _refused(reason: str) -> ChainRefused:
    return ChainRefused(f"The contract turned the call down: {reason}.", reason=reason)


def _hash(raw: str) -> str:
    return "0x" + hashlib.sha256(raw.encode()).hexdigest()


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["bytes"])
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    return value
