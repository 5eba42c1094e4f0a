"""The deployed program and its Solidity twin on one chain, asked the same things."""

import hashlib
import json
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from eth_abi import encode
from web3 import Web3

from exchange.runner.embedded import PROJECT
from ledger.proofs.typed_data import keccak256

TWIN = Path(__file__).parent / "ExchangeLedgerTwin.sol"
_ERROR = keccak256(b"Error(string)")[:4]


def compiled(*sources: Path) -> dict[str, Any]:
    """What the Solidity compiler of `package.json` makes of these files; its warnings are errors."""
    script = Path(__file__).parent / "compile.cjs"
    done = subprocess.run(
        ["node", str(script), *map(str, sources)], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to: its output or the bytes it reverted with."""

    succeeded: bool
    data: str

    @property
    def reason(self) -> str:
        """The contract's word; "-" for a revert without one, "" for success."""
        if self.succeeded:
            return ""
        raw = bytes.fromhex(self.data[2:])
        if raw[:4] != _ERROR:
            return "-" if not raw else "0x" + raw.hex()
        return raw[68 : 68 + int.from_bytes(raw[36:68], "big")].decode()


class Node:
    """JSON-RPC to a development chain, many questions in one request."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def ask(self, method: str, *parameters: Any) -> Any:
        return self.ask_all([(method, list(parameters))])[0]["result"]

    def ask_all(self, questions: Iterable[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
        body = [{"jsonrpc": "2.0", "id": at, "method": m, "params": p} for at, (m, p) in enumerate(questions)]
        answers = self._session.post(self._url, json=body, timeout=30).json()
        return sorted(answers, key=lambda answer: int(answer["id"]))

    def call_all(self, calls: Iterable[dict[str, Any]], *overrides: Any) -> list[Answer]:
        answers = self.ask_all(("eth_call", [call, "latest", *overrides]) for call in calls)
        return [_answer(answer) for answer in answers]


def _answer(answer: dict[str, Any]) -> Answer:
    if "error" not in answer:
        return Answer(True, answer["result"])
    assert "revert" in answer["error"]["message"].lower(), answer
    return Answer(False, answer["error"].get("data") or "0x")


@dataclass
class Pair:
    """Both contracts. `send` gives each its own call data, in two transactions of one block."""

    node: Node
    addresses: tuple[str, str]
    abi: list[dict[str, Any]]
    events: int = 0  # seen of each
    statuses: tuple[bool, bool] = (True, True)  # of the transactions sent last
    _types: dict[str, tuple[list[str], bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry in self.abi:
            if entry["type"] == "function":
                types = [item["type"] for item in entry["inputs"]]
                selector = keccak256(f"{entry['name']}({','.join(types)})".encode())[:4]
                self._types[entry["name"]] = (types, selector)

    def data(self, function: str, arguments: Iterable[Any]) -> str:
        types, selector = self._types[function]
        return "0x" + (selector + encode(types, list(arguments))).hex()

    def spoilt(self, function: str, data: str, damage: str) -> str:
        """Call data that no contract may take.

        cut: half an argument. dirty: bits above a small type. selector: no such function. nothing: no data.
        (A cut further back is none: Vyper reads the rest of a list as zeros where Solidity refuses.)
        """
        small = [at for at, kind in enumerate(self._types[function][0]) if kind in ("uint64", "address", "bool")]
        if damage == "dirty" and small:
            at = 10 + 64 * small[0]
            return data[:at] + "01" + data[at + 2 :]
        return {"cut": data[:40], "nothing": "0x"}.get(damage, "0xffffffff" + data[10:])

    def ask(self, data: tuple[str, str], *, sender: str) -> tuple[Answer, Answer]:
        """Run the call on both without sending it."""
        calls = [{"from": sender, "to": to, "data": d} for to, d in zip(self.addresses, data, strict=True)]
        first, second = self.node.call_all(calls)
        return first, second

    def send(self, data: tuple[str, str], *, sender: str) -> tuple[list[Any], list[Any]]:
        """Send the call to both; the raw events of each, as (topics, data)."""
        sent = [
            ("eth_sendTransaction", [{"from": sender, "to": to, "data": d, "gas": hex(3_000_000)}])
            for to, d in zip(self.addresses, data, strict=True)
        ]
        hashes = [answer["result"] for answer in self.node.ask_all([*sent, ("evm_mine", [])])[:2]]
        receipts = [a["result"] for a in self.node.ask_all(("eth_getTransactionReceipt", [h]) for h in hashes)]
        assert receipts[0]["blockHash"] == receipts[1]["blockHash"], "both in one block"
        self.statuses = (receipts[0]["status"] == "0x1", receipts[1]["status"] == "0x1")
        first, second = ([(log["topics"], log["data"]) for log in receipt["logs"]] for receipt in receipts)
        self.events += len(first)
        return first, second

    def state(self, views: Iterable[tuple[str, tuple[Any, ...]]]) -> tuple[list[Answer], list[Answer]]:
        """What each contract's getters say."""
        asked = [self.data(name, arguments) for name, arguments in views]
        calls = [{"to": to, "data": data} for to in self.addresses for data in asked]
        answers = self.node.call_all(calls)
        return answers[: len(asked)], answers[len(asked) :]


def deploy(node: Node, *, bytecode: str, arguments: tuple[Any, ...] | None, sender: str) -> str:
    """Deploy one contract; its address. `arguments` are those of the ledger's constructor, if it is one."""
    types = ["address", "address", "address", "bytes32", "address"]
    constructor = "" if arguments is None else encode(types, list(arguments)).hex()
    transaction = {"from": sender, "data": bytecode + constructor, "gas": hex(8_000_000)}
    landed = node.ask("eth_sendTransaction", transaction)
    for _ in range(200):
        receipt = node.ask("eth_getTransactionReceipt", landed)
        if receipt is not None:
            assert int(receipt["status"], 16) == 1
            return Web3.to_checksum_address(receipt["contractAddress"])
        time.sleep(0.01)
    raise AssertionError("not mined within two seconds")


def big_tree(old_size: int, new_size: int) -> tuple[bytes, bytes, list[bytes]]:
    """Both roots and the consistency proof of two trees of any size, without their leaves.

    Whatever the proof does not look into is one subtree whose hash is made up from its place.
    """
    proof: list[bytes] = []

    def made_up(low: int, high: int) -> bytes:
        return hashlib.sha256(f"{low} {high}".encode()).digest()

    def walk(low: int, high: int) -> tuple[bytes, bytes]:
        """The subtree's hash in the new and in the old tree, which ends inside it. RFC 9162, section 2.1.4.1."""
        split = low + (1 << (high - low - 1).bit_length() - 1)
        if old_size > split:
            new, old = walk(split, high)
            proof.append(made_up(low, split))
            return node_hash(proof[-1], new), node_hash(proof[-1], old)
        if old_size == split:
            new = old = made_up(low, split)
            if low:
                proof.append(new)
        else:
            new, old = walk(low, split)
        proof.append(made_up(split, high))
        return node_hash(new, proof[-1]), old

    new_root, old_root = walk(0, new_size)
    return old_root, new_root, proof


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
