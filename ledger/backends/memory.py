"""A chain without a network, for tests; `tests/unit/ledger/test_chain_twin.py` holds it to the real one.

Transactions are JSON instead of RLP and are mined as they arrive. Nothing outlives the object.
"""

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import coincurve

from ledger.backends.base import (
    ZERO_ADDRESS,
    AnchoredRoot,
    Call,
    ChainIdentity,
    ChainRefused,
    ContractEvent,
    GrantState,
    Inclusion,
    LedgerBackend,
    SignedTransaction,
)
from ledger.backends.rules import NO_ROOT, ContractRules
from ledger.chain import artifact
from ledger.proofs import typed_data

_CODE_HASH = "0x" + typed_data.keccak256(bytes.fromhex(artifact()["bytecode_runtime"][2:])).hex()


@dataclass
class _Contract:
    rules: ContractRules
    history: list[tuple[int, int, int, str]] = field(default_factory=list)  # block, shard, size, root
    events: list[ContractEvent] = field(default_factory=list)


class MemoryBackend(LedgerBackend):
    """A chain of one process."""

    def __init__(self, *, chain_id: int = 31337, genesis: str = "memory") -> None:
        self.chain_id = chain_id
        self.genesis_hash = "0x" + hashlib.sha256(genesis.encode()).hexdigest()
        self.block = 0
        self._contracts: dict[str, _Contract] = {}
        self._nonces: dict[str, int] = {}
        self._included: dict[str, Inclusion] = {}
        self._landing = ("", "")  # block and transaction hash of what is being mined

    def identity(self) -> ChainIdentity:
        return ChainIdentity(chain_id=self.chain_id, genesis_hash=self.genesis_hash, is_development=True)

    def code_hash(self, address: str) -> str:
        return _CODE_HASH if address in self._contracts else ""

    def anchored(self, address: str, *, confirmations: int = 0) -> AnchoredRoot:
        block = max(0, self.block - confirmations)
        seen = [held for held in self._contracts[address].history if held[0] <= block]
        _, shard, size, root = seen[-1] if seen else (block, 0, 0, NO_ROOT)
        return AnchoredRoot(size=size, root=root, block_number=block, shard=shard)

    def anchored_event(self, address: str, *, size: int, shard: int | None = None) -> Inclusion | None:
        for event in reversed(self._contracts[address].events):
            wanted = {"size": str(size)} if shard is None else {"size": str(size), "shard": str(shard)}
            if event.name == "Anchored" and wanted.items() <= event.arguments.items():
                return self._included[event.transaction_hash]
        return None

    def events(self, address: str, *, from_block: int, to_block: int) -> list[ContractEvent]:
        contract = self._contracts.get(address)
        return [] if contract is None else [e for e in contract.events if from_block <= e.block_number <= to_block]

    def block_number(self) -> int:
        return self.block

    def grant(self, address: str, grant_id: str) -> GrantState | None:
        return self._contracts[address].rules.grants.get(grant_id)

    def is_voided(self, address: str, *, signer: str, digest: str) -> bool:
        return (signer, digest) in self._contracts[address].rules.voided

    def evidence(
        self, address: str, *, slots: Sequence[str], block_number: int | None = None, block_hash: str = ""
    ) -> None:
        return None  # there is no state tree here to prove anything from

    def nonce(self, account: str) -> int:
        return self._nonces.get(account, 0)

    def gas_price(self) -> int:
        return 0

    def simulate(self, call: Call, *, address: str, sender: str) -> None:
        contract = self._contracts.get(address)
        if contract is not None:  # a call to an address without code does nothing, on a real chain too
            self._execute(contract, call, sender=sender)

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
        block_hash = "0x" + hashlib.sha256(f"{self.genesis_hash}{self.block}".encode()).hexdigest()
        self._landing = (block_hash, transaction_hash)
        try:
            if body["function"] == "deploy":
                contract_address = self._deploy(sender, body)
            elif body["to"] in self._contracts:
                contract = self._contracts[body["to"]]
                call = Call(body["function"], _from_json(body["arguments"]))
                self._keep(contract, self._execute(contract, call, sender=sender))
        except ChainRefused:
            succeeded = False
        self._included[transaction_hash] = Inclusion(
            transaction_hash=transaction_hash,
            block_number=self.block,
            block_hash=block_hash,
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
        admin, anchorer, recorder, log_key_hash, predecessor = _from_json(body["arguments"])
        digest = hashlib.sha256(f"{sender}{body['nonce']}".encode()).digest()
        address = typed_data.checksum_address(digest[:20])
        rules = ContractRules(chain_id=self.chain_id, address=address, block=self.block)
        before = None if predecessor == ZERO_ADDRESS else self._contracts[predecessor].rules
        rules.deploy(admin, anchorer, recorder, log_key_hash, before)
        self._contracts[address] = _Contract(rules)
        self._keep(self._contracts[address], rules)
        return address

    def _execute(self, contract: _Contract, call: Call, *, sender: str) -> ContractRules:
        """The contract after the call; the given one stays as it is, because a refusal changes nothing."""
        rules = copy.deepcopy(contract.rules)
        rules.emitted, rules.block = [], self.block
        rules.execute(call, sender=sender)
        return rules

    def _keep(self, contract: _Contract, rules: ContractRules) -> None:
        contract.rules = rules
        contract.history.append((self.block, rules.shard, rules.size, rules.root))
        block_hash, transaction_hash = self._landing
        contract.events += [
            ContractEvent(name, arguments, self.block, block_hash, transaction_hash, index)
            for index, (name, arguments) in enumerate(rules.emitted)
        ]


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
