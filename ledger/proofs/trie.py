"""Merkle-Patricia proofs: what a trie with a known root holds under a key, or that it holds nothing there.

A proof is the list of nodes from the root towards the key, each named by its hash in the one before.
Nodes shorter than 32 bytes stand inside their parent and are not listed. Everything is checked as the
one form a trie can have: hex-prefix flags, no node more than needed, no node that should be elsewhere.

Source: Ethereum yellow paper, appendix D; EIP-1186 for the list.
"""

from collections.abc import Sequence
from functools import lru_cache

from ledger.proofs import rlp
from ledger.proofs.errors import VerificationError
from ledger.proofs.typed_data import keccak256

EMPTY_ROOT = keccak256(b"\x80")
MAX_NODES = 130
MAX_NODE_BYTES = 1 << 16
_CODE = "CHAIN_PROOF_INVALID"


def verify(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The value under `key`, or None where the proof shows that there is none.

    Args:
        root: 32 bytes, the trie's root hash.
        key: the path itself; Ethereum's state tries use the Keccak-256 of what they are asked for.
        proof: encoded nodes, the root first. Empty only for the empty trie.
    Raises:
        VerificationError: `CHAIN_PROOF_INVALID`.
    """
    if len(proof) > MAX_NODES:
        raise VerificationError(_CODE, f"more than {MAX_NODES} nodes in a trie proof")
    if root == EMPTY_ROOT and not proof:
        return None
    walk = _Walk(root, proof)
    value = walk.to(_nibbles(key))
    if walk.remaining:
        raise VerificationError(_CODE, "the trie proof has nodes that do not lie on the way to the key")
    return value


class _Walk:
    """One descent: `node` is where it stands, `remaining` how many listed nodes are unused."""

    def __init__(self, root: bytes, proof: Sequence[bytes]) -> None:
        self._proof = proof
        self._used = 0
        self._node = self._listed(root, is_root=True)

    @property
    def remaining(self) -> int:
        return len(self._proof) - self._used

    def to(self, path: list[int]) -> bytes | None:
        branch_only = False
        while True:
            node = self._node
            if node == b"" and self._used == 1 and self._proof[0] == b"\x80":
                return None
            if not isinstance(node, list) or len(node) not in (2, 17) or (branch_only and len(node) != 17):
                raise VerificationError(_CODE, "a trie node is neither branch nor leaf nor extension where it stands")
            if len(node) == 17:
                _check_branch(node)
                if not path:
                    return _value(node[16]) or None
                child, path = node[path[0]], path[1:]
                if child == b"":
                    return None
                branch_only = False
            else:
                is_leaf, part = _hex_prefix(node[0])
                if is_leaf:
                    value = _value(node[1])
                    if not value:
                        raise VerificationError(_CODE, "a leaf of the trie is empty")
                    return value if part == path else None
                if not part:
                    raise VerificationError(_CODE, "an extension of the trie extends nothing")
                _check_child(node[1])
                if path[: len(part)] != part:
                    return None
                child, path = node[1], path[len(part) :]
                branch_only = True
            self._node = self._listed(child) if isinstance(child, bytes) else child

    def _listed(self, name: bytes, *, is_root: bool = False) -> rlp.Item:
        if not self.remaining:
            raise VerificationError(_CODE, "the trie proof ends before the key")
        encoded = self._proof[self._used]
        self._used += 1
        if _hashed(encoded) != name:
            raise VerificationError(_CODE, "a node of the trie proof is not the one named by its parent")
        if len(encoded) < 32 and not is_root:
            raise VerificationError(_CODE, "a node that belongs inside its parent is named by hash")
        try:
            return _decoded(encoded)
        except VerificationError as error:
            raise VerificationError(_CODE, f"a trie node is not RLP: {error.message}") from error


# Proofs of several keys begin with the same nodes; nobody changes what is decoded.
@lru_cache(maxsize=256)
def _hashed(encoded: bytes) -> bytes:
    return keccak256(encoded)


@lru_cache(maxsize=256)
def _decoded(encoded: bytes) -> rlp.Item:
    return rlp.decode(encoded, max_bytes=MAX_NODE_BYTES)


def _check_branch(node: list[rlp.Item]) -> None:
    children = [child for child in node[:16] if child != b""]
    for child in children:
        _check_child(child)
    if len(children) + bool(_value(node[16])) < 2:
        raise VerificationError(_CODE, "a branch of the trie has fewer than two ways")


def _check_child(child: rlp.Item) -> None:
    """A child is a hash, or a whole node of fewer than 32 bytes."""
    if len(child) != 32 if isinstance(child, bytes) else len(child) not in (2, 17) or len(rlp.encode(child)) >= 32:
        raise VerificationError(_CODE, "a child in the trie is neither a hash nor a short node")


def _value(item: rlp.Item) -> bytes:
    if not isinstance(item, bytes):
        raise VerificationError(_CODE, "a value in the trie is not a string")
    return item


def _hex_prefix(item: rlp.Item) -> tuple[bool, list[int]]:
    """Whether it is a leaf, and the nibbles of the path. Yellow paper, appendix C."""
    if not isinstance(item, bytes) or not item or item[0] >= 0x40 or (not item[0] & 0x10 and item[0] & 0x0F):
        raise VerificationError(_CODE, "a path in the trie has a wrong hex prefix")
    nibbles = _nibbles(item)
    return bool(item[0] & 0x20), nibbles[1 if item[0] & 0x10 else 2 :]


def _nibbles(data: bytes) -> list[int]:
    return [nibble for byte in data for nibble in (byte >> 4, byte & 0x0F)]
