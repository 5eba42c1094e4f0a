"""An Ethereum-compatible chain over JSON-RPC, by web3. Only this module and its transport import it.

Legacy transactions with an explicit gas price: they mean the same on anvil, Besu and FISCO-BCOS
(which knows no eth_feeHistory). Retries are off and time-outs short, so that a frozen chain node
holds a worker for seconds, not minutes.
"""

import os
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import coincurve
import rlp
from eth_account import Account
from web3 import Web3
from web3.exceptions import ContractLogicError, TransactionNotFound, Web3RPCError

from exchange.kernel.errors import DomainError
from ledger.backends import evidence
from ledger.backends.base import (
    AnchoredRoot,
    Call,
    ChainIdentity,
    ChainRefused,
    ChainUnreachable,
    ContractEvent,
    GrantState,
    Inclusion,
    LedgerBackend,
    SignedTransaction,
)
from ledger.backends.transport import BoundedProvider
from ledger.chain import artifact

TIMEOUT_SECONDS = 3.0
_GWEI = 10**9
_DEVELOPMENT_BALANCE = hex(10**24)
# Upper bounds per function; measured use is about a third (docs/subsystems/chain.md has the figures).
_GAS = {"anchor": 400_000, "grant": 400_000, "grant_by_signature": 400_000, "open_shard": 400_000}
_OTHER_GAS = 200_000
_GAS_PER_TOTAL = 60_000
_DEPLOYMENT_GAS = 6_000_000
_ROLES = {bytes(Web3.keccak(text=role)): role for role in ("anchorer", "recorder")}  # an indexed text is its hash
_HARMLESS = ("already known", "nonce too low", "already imported", "known transaction", "alreadyknown")

_REASON = re.compile(r"[A-Z][A-Z0-9_]{0,39}", re.ASCII)

T = TypeVar("T")
_backends: dict[tuple[int, str], "EVMBackend"] = {}


def evm_backend(url: str) -> "EVMBackend":
    """The backend of this process for an endpoint; a forked worker gets one of its own."""
    place = (os.getpid(), url)
    if place not in _backends:
        _backends[place] = EVMBackend(url)
    return _backends[place]


class EVMBackend(LedgerBackend):
    """Speaks to one JSON-RPC endpoint."""

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._web3 = Web3(BoundedProvider(url, timeout_seconds=timeout_seconds))
        self._contracts: dict[str, Any] = {}
        self._contract_type = self._web3.eth.contract(abi=artifact()["abi"], bytecode=artifact()["bytecode"])

    def identity(self) -> ChainIdentity:
        def read() -> ChainIdentity:
            genesis = self._web3.eth.get_block(0)
            version = str(self._web3.client_version).lower()
            return ChainIdentity(
                chain_id=_number(self._web3.eth.chain_id),
                genesis_hash=_hash32(genesis["hash"]),
                is_development=version.startswith(("anvil", "hardhat", "ganache")),
            )

        return _guarded(read)

    def code_hash(self, address: str) -> str:
        code = _guarded(lambda: bytes(self._web3.eth.get_code(Web3.to_checksum_address(address))))
        return _hex(Web3.keccak(code)) if code else ""

    def anchored(self, address: str, *, confirmations: int = 0) -> AnchoredRoot:
        def read() -> AnchoredRoot:
            block = max(0, _number(self._web3.eth.block_number) - confirmations)
            if confirmations and not self._web3.eth.get_code(Web3.to_checksum_address(address), block):
                return AnchoredRoot(size=0, root="00" * 32, block_number=block, shard=0)  # deployed after that block
            functions = self._contract(address).functions
            return AnchoredRoot(
                size=functions.size().call(block_identifier=block),
                root=bytes(functions.root().call(block_identifier=block)).hex(),
                block_number=block,
                shard=functions.shard().call(block_identifier=block),
            )

        return _guarded(read)

    def anchored_event(self, address: str, *, size: int, shard: int | None = None) -> Inclusion | None:
        def read() -> Inclusion | None:
            event = self._contract(address).events.Anchored
            wanted = {"size": size} if shard is None else {"size": size, "shard": shard}
            found = event.get_logs(from_block=0, argument_filters=wanted)
            if not found:
                return None
            newest = found[-1]
            return Inclusion(
                transaction_hash=_hash32(newest["transactionHash"]),
                block_number=_number(newest["blockNumber"]),
                block_hash=_hash32(newest["blockHash"]),
                succeeded=True,
            )

        return _guarded(read)

    def events(self, address: str, *, from_block: int, to_block: int) -> list[ContractEvent]:
        def read() -> list[ContractEvent]:
            place: Any = {
                "address": Web3.to_checksum_address(address),
                "fromBlock": from_block,
                "toBlock": to_block,
            }
            logs = sorted(self._web3.eth.get_logs(place), key=lambda log: (log["blockNumber"], log["logIndex"]))
            kinds = {bytes.fromhex(event().topic[2:]): event() for event in self._contract(address).events}
            return [_event(kinds[bytes(log["topics"][0])].process_log(log)) for log in logs]

        return _guarded(read)

    def block_number(self) -> int:
        return _guarded(lambda: _number(self._web3.eth.block_number))

    def grant(self, address: str, grant_id: str) -> GrantState | None:
        found = _guarded(lambda: self._contract(address).functions.grants(bytes.fromhex(grant_id[2:])).call())
        if int(found[0], 16) == 0:
            return None
        return GrantState(found[0], bytes(found[1]).hex(), *found[2:])

    def is_voided(self, address: str, *, signer: str, digest: str) -> bool:
        call = self._contract(address).functions.voided(Web3.to_checksum_address(signer), bytes.fromhex(digest))
        return bool(_guarded(call.call))

    def evidence(
        self, address: str, *, slots: Sequence[str], block_number: int | None = None, block_hash: str = ""
    ) -> dict[str, Any] | None:
        block = block_hash or ("latest" if block_number is None else hex(block_number))
        return _guarded(lambda: evidence.collect(self._ask, address, slots=slots, block=block))

    def _ask(self, method: str, parameters: list[Any]) -> Any:
        answer: Any = self._web3.provider.make_request(method, parameters)  # type: ignore[arg-type]
        if not isinstance(answer, dict):
            raise TypeError("not a JSON-RPC answer")
        error = answer.get("error")
        if error is None:
            return answer.get("result")
        if error.get("code") in evidence.METHOD_MISSING:
            raise LookupError(method)
        raise ChainRefused(f"The chain turned the call down: {_shown(error.get('message'))}", reason="RPC_ERROR")

    def nonce(self, account: str) -> int:
        place = Web3.to_checksum_address(account)
        return _guarded(lambda: _number(self._web3.eth.get_transaction_count(place, "latest")))

    def gas_price(self) -> int:
        def read() -> int:
            base_fee = self._web3.eth.get_block("latest").get("baseFeePerGas")
            if base_fee:
                return _number(base_fee) * 2 + _GWEI
            return _number(self._web3.eth.gas_price)

        return _guarded(read)

    def simulate(self, call: Call, *, address: str, sender: str) -> None:
        transaction: Any = {"from": Web3.to_checksum_address(sender), "gas": _gas(call)}
        _guarded(lambda: self._contract(address).functions[call.function](*call.arguments).call(transaction))

    def sign(
        self, call: Call, *, address: str, chain_id: int, key: coincurve.PrivateKey, nonce: int, gas_price: int
    ) -> SignedTransaction:
        data = self._contract(address).encode_abi(call.function, args=list(call.arguments))
        transaction = {
            "to": Web3.to_checksum_address(address),
            "data": data,
            "value": 0,
            "gas": _gas(call),
            "gasPrice": gas_price,
            "nonce": nonce,
            "chainId": chain_id,
        }
        return _sign(transaction, key)

    def sign_deployment(
        self, arguments: Sequence[Any], *, chain_id: int, key: coincurve.PrivateKey, nonce: int, gas_price: int
    ) -> SignedTransaction:
        data = self._contract_type.constructor(*arguments).data_in_transaction
        transaction = {
            "data": data,
            "value": 0,
            "gas": _DEPLOYMENT_GAS,
            "gasPrice": gas_price,
            "nonce": nonce,
            "chainId": chain_id,
        }
        return _sign(transaction, key)

    def gas_price_of(self, raw: str) -> int:
        return int.from_bytes(rlp.decode(bytes.fromhex(raw[2:]))[1], "big")

    def send(self, raw: str) -> None:
        try:
            _guarded(lambda: self._web3.eth.send_raw_transaction(bytes.fromhex(raw[2:])))
        except ChainRefused as error:
            if not any(word in error.message.lower() for word in _HARMLESS):
                raise

    def inclusion(self, transaction_hash: str) -> Inclusion | None:
        def read() -> Inclusion | None:
            try:
                receipt = self._web3.eth.get_transaction_receipt(transaction_hash)  # type: ignore[arg-type]
            except TransactionNotFound:
                return None
            if receipt.get("blockHash") is None:
                return None
            return Inclusion(
                transaction_hash=transaction_hash,
                block_number=_number(receipt["blockNumber"]),
                block_hash=_hash32(receipt["blockHash"]),
                succeeded=receipt["status"] == 1,
                contract_address=str(receipt.get("contractAddress") or ""),
            )

        return _guarded(read)

    def fund(self, account: str) -> None:
        if not self.identity().is_development:
            return
        arguments = [Web3.to_checksum_address(account), _DEVELOPMENT_BALANCE]
        _guarded(lambda: self._web3.provider.make_request("anvil_setBalance", arguments))  # type: ignore[arg-type]

    def _contract(self, address: str) -> Any:
        if address not in self._contracts:  # web3 takes a twentieth of a second to read the ABI
            place = Web3.to_checksum_address(address)
            self._contracts[address] = self._web3.eth.contract(address=place, abi=artifact()["abi"])
        return self._contracts[address]


def _gas(call: Call) -> int:
    if call.function == "meter_batch":
        return _OTHER_GAS + _GAS_PER_TOTAL * len(call.arguments[0])
    return _GAS.get(call.function, _OTHER_GAS)


def _event(log: Any) -> ContractEvent:
    return ContractEvent(
        name=str(log["event"]),
        arguments={name: _plain(value) for name, value in log["args"].items()},
        block_number=_number(log["blockNumber"]),
        block_hash=_hash32(log["blockHash"]),
        transaction_hash=_hash32(log["transactionHash"]),
        log_index=_number(log["logIndex"]),
    )


def _plain(value: Any) -> str | bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return _ROLES.get(bytes(value), _hex(value))
    return str(value)


def _sign(transaction: dict[str, Any], key: coincurve.PrivateKey) -> SignedTransaction:
    signed = Account.sign_transaction(transaction, key.secret)
    return SignedTransaction(
        raw=_hex(signed.raw_transaction),
        transaction_hash=_hex(signed.hash),
        nonce=transaction["nonce"],
        gas_price=transaction["gasPrice"],
    )


def _guarded(read: Callable[[], T]) -> T:
    """Turn what web3 and its transport raise into the two errors of a backend."""
    try:
        return read()
    except DomainError:
        raise
    except ContractLogicError as error:
        reason = str(error.message or "").removeprefix("execution reverted: ").strip()
        if not _REASON.fullmatch(reason):
            reason = "REVERTED"  # no word of our contract's
        raise ChainRefused(f"The contract turned the call down: {reason}.", reason=reason) from error
    except Web3RPCError as error:
        raise ChainRefused(f"The chain turned the call down: {_shown(error.message)}", reason="RPC_ERROR") from error
    except Exception as error:  # what web3's formatters raise over a wrong answer is theirs to change
        raise ChainUnreachable(
            "The chain endpoint does not answer as a chain; check CHAIN_RPC_URL. It is asked again on the next pass."
        ) from error


def _hex(data: bytes) -> str:
    return "0x" + bytes(data).hex()


def _shown(message: Any) -> str:
    """A stranger's words, fit for a log line and a table."""
    return "".join(letter for letter in str(message)[:300] if letter.isprintable())


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise ValueError("not a number of the chain's")
    return value


def _hash32(value: Any) -> str:
    if not isinstance(value, bytes) or len(value) != 32:
        raise ValueError("not a hash")
    return _hex(value)
