"""The Merkle tree of RFC 6962: roots, inclusion paths, consistency proofs, and their verification.

A proof is described as a list of ranges of leaves; whoever holds the hashes (a list, or tiles) turns
the ranges into hashes with `range_root`. So there is one description and any number of stores.

Source: RFC 6962 section 2.1; RFC 9162 sections 2.1.3.2 and 2.1.4.2 for verification. The answers to
odd sizes are those of transparency-dev/merkle.
"""

import hashlib
from collections.abc import Callable, Sequence

from ledger.proofs.errors import VerificationError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
MAX_SIZE = 2**53 - 1  # sizes travel as JSON integers
_MAX_STEPS = 128  # a consistency proof has at most two hashes for each of 63 levels

Range = tuple[int, int]
Node = Callable[[int, int], bytes]


def leaf_hash(data: bytes) -> bytes:
    """SHA-256 of 0x00 and the leaf's bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of 0x01 and the two hashes below."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, in one pass and logarithmic memory."""
    if not leaf_hashes:
        return EMPTY_ROOT
    stack: list[bytes] = []
    for count, value in enumerate(leaf_hashes, start=1):
        hashed = value
        while not count & 1:
            hashed = node_hash(stack.pop(), hashed)
            count >>= 1
        stack.append(hashed)
    hashed = stack.pop()
    while stack:
        hashed = node_hash(stack.pop(), hashed)
    return hashed


def inclusion_path(index: int, leaf_hashes: Sequence[bytes]) -> list[bytes]:
    """The audit path of one leaf in the tree over all of `leaf_hashes`, bottom first."""
    return [root(leaf_hashes[start:end]) for start, end in inclusion_ranges(index, len(leaf_hashes))]


def consistency_proof(old_size: int, leaf_hashes: Sequence[bytes]) -> list[bytes]:
    """The proof that the tree over the first `old_size` leaves is a prefix of the tree over all."""
    return [root(leaf_hashes[start:end]) for start, end in consistency_ranges(old_size, len(leaf_hashes))]


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The ranges of leaves whose roots make the audit path of `index` in a tree of `size` leaves."""
    if not 0 <= index < size:
        raise ValueError("the index must lie inside the tree")
    ranges: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old_size: int, new_size: int) -> list[Range]:
    """The ranges of leaves whose roots make the consistency proof; empty for equal sizes."""
    if not 0 < old_size <= new_size:
        raise ValueError("a consistency proof leads from a tree that is not empty to one not smaller")
    ranges: list[Range] = []
    start, end, whole = 0, new_size, True
    while old_size != end:
        middle = start + _split(end - start)
        if old_size <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, whole = middle, False
    if not whole:
        ranges.append((start, end))
    return ranges[::-1]


def range_root(start: int, end: int, node: Node) -> bytes:
    """The root over the leaves `start` to `end`, where `start` is aligned as in every proof range.

    Args:
        node: gives the hash of a perfect subtree by its height and its number within that height.
    """
    hashed = b""
    parts: list[bytes] = []
    while start < end:
        size = _largest_power(end - start)
        level = size.bit_length() - 1
        parts.append(node(level, start >> level))
        start += size
    while parts:
        hashed = node_hash(parts.pop(), hashed) if hashed else parts.pop()
    return hashed or EMPTY_ROOT


def verify_inclusion(*, index: int, size: int, leaf_hash: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf stands at `index` in the tree of `size` leaves with this root.

    Raises:
        VerificationError: `INCLUSION_INVALID`.
    """
    _check_form("INCLUSION_INVALID", (index, size), (leaf_hash, root), path)
    if index >= size:
        raise VerificationError("INCLUSION_INVALID", "the index lies outside the tree")
    position, last, hashed = index, size - 1, leaf_hash
    for sibling in path:
        if last == 0:
            raise VerificationError("INCLUSION_INVALID", "the path is too long")
        if position & 1 or position == last:
            hashed = node_hash(sibling, hashed)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            hashed = node_hash(hashed, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise VerificationError("INCLUSION_INVALID", "the path is too short")
    if hashed != root:
        raise VerificationError("INCLUSION_INVALID", "the path does not lead to the root")


def verify_consistency(
    *, old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the old tree is a prefix of the new one.

    From size 0 to more than 0 nothing can be proved, so it always fails; equal sizes need an empty
    proof and equal roots.

    Raises:
        VerificationError: `CONSISTENCY_INVALID`.
    """
    _check_form("CONSISTENCY_INVALID", (old_size, new_size), (), proof)
    if new_size < old_size:
        raise VerificationError("CONSISTENCY_INVALID", "the new tree is smaller than the old one")
    if old_size == new_size:
        if proof:
            raise VerificationError("CONSISTENCY_INVALID", "equal sizes need an empty proof")
        if old_root != new_root:
            raise VerificationError("CONSISTENCY_INVALID", "two roots for one size")
        if old_size == 0 and old_root != EMPTY_ROOT:
            raise VerificationError("CONSISTENCY_INVALID", "an empty tree has one root, the hash of nothing")
        return
    _check_form("CONSISTENCY_INVALID", (), (old_root, new_root), ())
    if old_size == 0 or not proof:
        raise VerificationError("CONSISTENCY_INVALID", "nothing follows from an empty tree or an empty proof")
    hashes = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old_hash = new_hash = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise VerificationError("CONSISTENCY_INVALID", "the proof is too long")
        if position & 1 or position == last:
            old_hash = node_hash(sibling, old_hash)
            new_hash = node_hash(sibling, new_hash)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new_hash = node_hash(new_hash, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise VerificationError("CONSISTENCY_INVALID", "the proof is too short")
    if old_hash != old_root or new_hash != new_root:
        raise VerificationError("CONSISTENCY_INVALID", "the proof does not join the two roots")


def _check_form(code: str, sizes: Sequence[int], hashes: Sequence[bytes], proof: Sequence[bytes]) -> None:
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 2**63:
            raise VerificationError(code, "sizes and indexes are integers from 0")
    if not isinstance(proof, list | tuple) or len(proof) > _MAX_STEPS:
        raise VerificationError(code, f"a proof is a list of at most {_MAX_STEPS} hashes")
    for value in (*hashes, *proof):
        if not isinstance(value, bytes) or len(value) != HASH_BYTES:
            raise VerificationError(code, "every hash has 32 bytes")


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1


def _largest_power(size: int) -> int:
    """The largest power of two not larger than `size`."""
    return 1 << size.bit_length() - 1
