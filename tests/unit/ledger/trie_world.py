"""A Merkle-Patricia trie built from a whole mapping, and headers over it, for the tests of their verifiers.

Written apart from the verifier, from the yellow paper's definition of the structure: no node of this is
shared with `ledger.proofs.trie`, so that both can only agree by agreeing with the paper.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import coincurve

from ledger.proofs import qbft, rlp
from ledger.proofs.typed_data import checksum_address, keccak256

EMPTY = b"\x80"


class Trie:
    """All nodes of a trie; empty values are not stored."""

    def __init__(self, entries: Mapping[bytes, bytes]) -> None:
        self._entries = {tuple(nibbles(key)): value for key, value in entries.items() if value}
        self._root = self._node(sorted(self._entries)) if self._entries else b""
        self.root = keccak256(rlp.encode(self._root))

    def proof(self, key: bytes) -> list[bytes]:
        """The nodes on the way to a key, or to the place where the way ends."""
        if not self._entries:
            return []
        found, node, path, inline = [], self._root, nibbles(key), False
        while True:
            if not inline:
                found.append(rlp.encode(node))
            if len(node) == 17:
                if not path or node[path[0]] == b"":
                    return found
                child, path = node[path[0]], path[1:]
            else:
                flag, part = node[0][0] >> 4, nibbles(node[0])[1 if node[0][0] & 0x10 else 2 :]
                if flag >= 2 or path[: len(part)] != part:
                    return found
                child, path = node[1], path[len(part) :]
            inline = not isinstance(child, bytes)
            node = self._by_hash[child] if isinstance(child, bytes) else child

    def _node(self, keys: list[tuple[int, ...]], depth: int = 0) -> Any:
        if len(keys) == 1:
            return [hex_prefix(keys[0][depth:], leaf=True), self._entries[keys[0]]]
        first, last = keys[0], keys[-1]
        shared = depth
        while shared < min(len(first), len(last)) and first[shared] == last[shared]:
            shared += 1
        if shared > depth:
            return [hex_prefix(first[depth:shared], leaf=False), self._reference(keys, shared)]
        branch: list[Any] = []
        for nibble in range(16):
            under = [key for key in keys if len(key) > depth and key[depth] == nibble]
            branch.append(self._reference(under, depth + 1) if under else b"")
        return [*branch, self._entries.get(first[:depth], b"") if len(first) == depth else b""]

    def _reference(self, keys: list[tuple[int, ...]], depth: int) -> Any:
        node = self._node(keys, depth)
        encoded = rlp.encode(node)
        if len(encoded) < 32:
            return node
        self._by_hash[keccak256(encoded)] = node
        return keccak256(encoded)

    @property
    def _by_hash(self) -> dict[bytes, Any]:
        return self.__dict__.setdefault("_nodes", {})


def nibbles(data: bytes) -> list[int]:
    return [int(digit, 16) for digit in data.hex()]


def hex_prefix(path: Sequence[int], *, leaf: bool) -> bytes:
    flag = 2 * leaf + len(path) % 2
    digits = [flag, *([] if len(path) % 2 else [0]), *path]
    return bytes.fromhex("".join(f"{digit:x}" for digit in digits))


def state(accounts: Mapping[str, Mapping[str, int]], *, code: bytes = b"code") -> tuple[Trie, dict[str, Trie]]:
    """A state trie and the storage tries in it; storage is slot (0x text) to value."""
    storages = {
        address: Trie({keccak256(bytes.fromhex(slot[2:])): rlp.encode(value) for slot, value in held.items() if value})
        for address, held in accounts.items()
    }
    entries = {
        keccak256(bytes.fromhex(address[2:])): rlp.encode([1, 0, storage.root, keccak256(code)])
        for address, storage in storages.items()
    }
    return Trie(entries), storages


def header(
    state_root: bytes, *, number: int = 7, mix_hash: bytes = bytes(32), extra: bytes = b"", more: Sequence[Any] = ()
) -> bytes:
    empty = keccak256(EMPTY)
    fields = [bytes(32), keccak256(b"\xc0"), bytes(20), state_root, empty, empty, bytes(256), 1, number, 30_000_000, 0]
    return rlp.encode([*fields, 1_790_000_000, extra, mix_hash, bytes(8), *more])


def sealed_header(
    state_root: bytes,
    keys: Sequence[coincurve.PrivateKey],
    *,
    validators: Sequence[str] | None = None,
    round_number: int = 0,
    ibft: bool = False,
    number: int = 7,
    more: Sequence[Any] = (),
) -> bytes:
    """A header as Besu writes it, sealed by these keys."""
    listed = [bytes.fromhex(a[2:]) for a in (validators if validators is not None else [address(k) for k in keys])]
    head: list[Any] = [
        bytes(32),
        listed,
        b"" if ibft else [],
        round_number.to_bytes(4, "big") if ibft else round_number,
    ]

    def around(*seals: Any) -> bytes:
        extra = rlp.encode([*head, *seals])
        return header(state_root, number=number, mix_hash=qbft.MIX_HASH, extra=extra, more=more)

    digest = keccak256(around() if ibft else around([]))
    return around([key.sign_recoverable(digest, hasher=None) for key in keys])


def address(key: coincurve.PrivateKey) -> str:
    return checksum_address(keccak256(key.public_key.format(compressed=False)[1:])[-20:])


def evidence(
    header_rlp: bytes, state_trie: Trie, storage: Trie, contract: str, slots: Mapping[str, int]
) -> dict[str, Any]:
    """A complete piece of evidence of these slots and values."""
    return {
        "header": "0x" + header_rlp.hex(),
        "account_proof": ["0x" + node.hex() for node in state_trie.proof(keccak256(bytes.fromhex(contract[2:])))],
        "storage": [
            {
                "slot": slot,
                "value": hex(value),
                "proof": ["0x" + node.hex() for node in storage.proof(keccak256(bytes.fromhex(slot[2:])))],
            }
            for slot, value in slots.items()
        ],
    }
