"""Block headers: their hash, their state root, and the seals of those who made the block.

A header is a list whose members are known by their place. New ones were only ever added at the end
(base fee, withdrawals, blobs, requests), so unknown later members are kept and hashed, not refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.proofs import qbft, rlp
from ledger.proofs.errors import VerificationError
from ledger.proofs.typed_data import keccak256

MAX_HEADER_BYTES = 1 << 17
MIN_MEMBERS = 15
MAX_MEMBERS = 32
_EXTRA_DATA = 12
# Length in bytes of the members that have one; the others are integers, except extra data.
_LENGTHS = {0: 32, 1: 32, 2: 20, 3: 32, 4: 32, 5: 32, 6: 256, 13: 32, 14: 8, 16: 32, 19: 32, 20: 32}
_INTEGERS = (7, 8, 9, 10, 11, 15, 17, 18)


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says; hashes as 0x text.

    Args:
        hash: the block's hash under the rules of its consensus.
        timestamp: in the chain's own unit: seconds on Ethereum's clients, milliseconds on some others.
        extra: the seals, for a block of QBFT or IBFT 2.0; None for every other chain.
        seal_digest: what those seals sign; empty otherwise.
    """

    hash: str
    parent_hash: str
    state_root: str
    number: int
    timestamp: int
    extra: qbft.Extra | None = None
    seal_digest: bytes = b""


def header(header_rlp: bytes) -> Header:
    """Read an encoded header.

    Raises:
        VerificationError: `HEADER_INVALID`.
    """
    try:
        return _header(header_rlp)
    except VerificationError as error:
        raise VerificationError("HEADER_INVALID", f"the block header cannot be read: {error.message}") from error


def check_seals(header_rlp: bytes, *, validators: Sequence[str]) -> Header:
    """The header, once two thirds of the validators have sealed it.

    Raises:
        VerificationError: `HEADER_INVALID`, `SEALS_MISSING`, `SEALS_INVALID`, `VALIDATORS_DIFFER`.
    """
    read = header(header_rlp)
    if read.extra is None:
        raise VerificationError(
            "SEALS_MISSING", "the header carries no seals of validators, but the policy demands them"
        )
    qbft.check_seals(read.extra, read.seal_digest, validators=validators)
    return read


def _header(header_rlp: bytes) -> Header:
    items = rlp.decode_list(header_rlp, max_bytes=MAX_HEADER_BYTES)
    if not MIN_MEMBERS <= len(items) <= MAX_MEMBERS:
        raise VerificationError("RLP_INVALID", f"a header has {MIN_MEMBERS} members or a few more")
    for place, length in _LENGTHS.items():
        if place < len(items):
            rlp.fixed(items[place], length)
    for place in _INTEGERS:
        if place < len(items):
            rlp.integer(items[place])
    extra_data, number = items[_EXTRA_DATA], rlp.integer(items[8], bits=64)
    if not isinstance(extra_data, bytes):
        raise VerificationError("RLP_INVALID", "the extra data is not a string")
    extra, digest, hashed = None, b"", header_rlp
    if items[13] == qbft.MIX_HASH and number > 0:  # the first block is hashed as it stands
        extra = qbft.parse(extra_data)
        digest = keccak256(_with_extra(items, extra.for_seals))
        hashed = _with_extra(items, extra.for_hash)
    return Header(
        hash=_text(keccak256(hashed)),
        parent_hash=_text(items[0]),
        state_root=_text(items[3]),
        number=number,
        timestamp=rlp.integer(items[11], bits=64),
        extra=extra,
        seal_digest=digest,
    )


def _with_extra(items: list[rlp.Item], extra_data: bytes) -> bytes:
    return rlp.encode([*items[:_EXTRA_DATA], extra_data, *items[_EXTRA_DATA + 1 :]])


def _text(item: rlp.Item) -> str:
    return "0x" + rlp.fixed(item, 32).hex()
