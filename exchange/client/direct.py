"""The member's own way to the chain: one transaction, signed here, sent to an endpoint of the member's choosing.

The exchange is not asked and need not be up. Plain JSON-RPC over the standard library; legacy transactions
(EIP-155), which mean the same on every chain the contract runs on.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exchange.client.errors import EXIT_UNREACHABLE, ClientError
from ledger.proofs import rlp, typed_data
from ledger.proofs.policies import Chain

if TYPE_CHECKING:
    import coincurve

TIMEOUT_SECONDS = 10.0
WAIT_SECONDS = 60.0
_PAUSE_SECONDS = 0.5
_MAX_ANSWER_BYTES = 1_000_000
_GWEI = 10**9

# An endpoint may lie about both; no single transaction may empty an account. Ours need less than 300,000 gas.
MAX_GAS_PRICE_WEI = 500 * _GWEI
MAX_GAS = 1_000_000


@dataclass(frozen=True, slots=True)
class Landed:
    """Where the transaction stands."""

    transaction: str
    block_number: int


class Endpoint:
    """One JSON-RPC endpoint and the pinned contract behind it.

    Raises:
        ClientError: `RPC_URL_INVALID`.
    """

    def __init__(self, url: str, *, chain: Chain, sleep: Callable[[float], None] = time.sleep) -> None:
        if not url.startswith(("http://", "https://")):
            raise ClientError(
                "RPC_URL_INVALID",
                "The chain's endpoint is an http or https address; give it with --rpc.",
                zh="链节点须为 http 或 https 地址；请用 --rpc 指定。",
            )
        self._url = url
        self._chain = chain
        self._sleep = sleep
        # No proxy from the environment stands between the member and the chain it has chosen.
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def check(self) -> None:
        """Raise `CHAIN_WRONG` unless this is the pinned chain, with code at the pinned address."""
        code = self._ask("eth_getCode", [self._chain.contract_address, "latest"])
        if self._number("eth_chainId", []) != self._chain.chain_id or not isinstance(code, str) or len(code) <= 2:
            raise ClientError(
                "CHAIN_WRONG",
                "This is not the chain in your pinned trust policy, or no contract stands there; nothing was sent.",
                zh="该节点不是信任策略固定的链，或该地址没有合约；未发送任何交易。",
            )

    def grant_stands(self, grant_id: str) -> bool:
        """Whether a grant of this id was made and not revoked."""
        words = self._read("grants(bytes32)", bytes.fromhex(grant_id[2:]), words=7)
        return any(words[0]) and not any(words[6])

    def send(self, signature: str, arguments: bytes, *, key: "coincurve.PrivateKey", sender: str) -> Landed:
        """Sign a call of the contract with the member's own key, send it, and wait until it stands.

        Args:
            signature: the function as Solidity writes it, such as `revoke(bytes32)`.
            arguments: ABI words.
        Raises:
            ClientError: `CHAIN_REFUSED` with the contract's word; `CHAIN_UNREACHABLE`; `CHAIN_PENDING` when it
                was sent and did not land within a minute.
        """
        data = typed_data.keccak256(signature.encode())[:4] + arguments
        call = {"from": sender, "to": self._chain.contract_address, "data": _hex(data)}
        gas = min(self._number("eth_estimateGas", [call]) * 5 // 4, MAX_GAS)
        nonce = self._number("eth_getTransactionCount", [sender, "latest"])
        price = min(self._gas_price(), MAX_GAS_PRICE_WEI)
        fields: list[int | bytes] = [nonce, price, gas, bytes.fromhex(self._chain.contract_address[2:]), 0, data]
        raw = sign(fields, chain_id=self._chain.chain_id, key=key)
        name = _hex(typed_data.keccak256(raw))
        self._ask("eth_sendRawTransaction", [_hex(raw)])
        return self._wait(name)

    def _wait(self, name: str) -> Landed:
        for _ in range(int(WAIT_SECONDS / _PAUSE_SECONDS)):
            receipt = self._ask("eth_getTransactionReceipt", [name])
            if isinstance(receipt, dict) and receipt.get("blockNumber"):
                if receipt.get("status") != "0x1":
                    raise _refused("the transaction was mined and reverted")
                return Landed(name, _integer(receipt["blockNumber"]))
            self._sleep(_PAUSE_SECONDS)
        raise ClientError(
            "CHAIN_PENDING",
            f"Sent as {name}, not in a block after a minute; look again later, or repeat the command.",
            zh=f"已发送，交易 {name} 一分钟内未入块；请稍后查看，或重复此命令。",
        )

    def _gas_price(self) -> int:
        block = self._ask("eth_getBlockByNumber", ["latest", False])
        base_fee = block.get("baseFeePerGas") if isinstance(block, dict) else None
        if base_fee and _integer(base_fee):
            return _integer(base_fee) * 2 + _GWEI
        return self._number("eth_gasPrice", [])

    def _read(self, signature: str, arguments: bytes, *, words: int) -> list[bytes]:
        data = _hex(typed_data.keccak256(signature.encode())[:4] + arguments)
        answer = self._ask("eth_call", [{"to": self._chain.contract_address, "data": data}, "latest"])
        try:
            raw = bytes.fromhex(answer[2:])
        except (TypeError, ValueError):
            raw = b""
        if len(raw) != 32 * words:
            raise _unreachable()
        return [raw[start : start + 32] for start in range(0, len(raw), 32)]

    def _number(self, method: str, parameters: list[Any]) -> int:
        return _integer(self._ask(method, parameters))

    def _ask(self, method: str, parameters: list[Any]) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked when the endpoint was made
            self._url, data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with self._open(request, timeout=TIMEOUT_SECONDS) as response:
                answer = json.loads(response.read(_MAX_ANSWER_BYTES))
        except (OSError, ValueError, RecursionError, urllib.error.URLError) as error:
            raise _unreachable() from error
        if not isinstance(answer, dict):
            raise _unreachable()
        if isinstance(answer.get("error"), dict):
            raise _refused(str(answer["error"].get("message", ""))[:200])
        if "result" not in answer:
            raise _unreachable()
        return answer["result"]


def sign(fields: list[int | bytes], *, chain_id: int, key: "coincurve.PrivateKey") -> bytes:
    """The signed bytes of a legacy transaction.

    Source: EIP-155. The digest covers (nonce, gas price, gas, to, value, data, chain id, 0, 0).
    """
    digest = typed_data.keccak256(rlp.encode([*fields, chain_id, 0, 0]))
    made = key.sign_recoverable(digest, hasher=None)
    r, s = int.from_bytes(made[:32], "big"), int.from_bytes(made[32:64], "big")
    return rlp.encode([*fields, made[64] + 35 + 2 * chain_id, r, s])


def words(*values: str | int) -> bytes:
    """ABI words of digests (64 hex digits, with or without 0x) and numbers."""
    return b"".join(
        value.to_bytes(32, "big") if isinstance(value, int) else bytes.fromhex(value.removeprefix("0x"))
        for value in values
    )


def _integer(text: Any) -> int:
    try:
        return int(text, 16)
    except (TypeError, ValueError):
        raise _unreachable() from None


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _unreachable() -> ClientError:
    return ClientError(
        "CHAIN_UNREACHABLE",
        "The chain endpoint gives no usable answer; try another with --rpc.",
        zh="链节点没有可用的应答；请用 --rpc 换一个。",
        exit_code=EXIT_UNREACHABLE,
    )


def _refused(why: str) -> ClientError:
    return ClientError(
        "CHAIN_REFUSED",
        f"The chain turned the transaction down: {why}. Nothing has changed there.",
        zh=f"链拒绝了该交易：{why}。链上没有变化。",
    )
