"""Commit seals of Besu's QBFT and IBFT 2.0: how a block's header carries its validators' signatures.

The field `extraData` is an RLP list: 32 bytes of vanity, validators, vote, round, seals. QBFT writes the
round as an integer and no vote as an empty list; IBFT 2.0 writes the round as four bytes and no vote as
an empty string. A seal signs the header with the round, but without seals. The block's own hash takes
the round out too, because the same block may be sealed in a later round.

Sources: EEA QBFT blockchain consensus protocol specification; the encoders and `BftBlockHashing` of Besu.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import coincurve

from ledger.proofs import rlp
from ledger.proofs.errors import VerificationError
from ledger.proofs.typed_data import checksum_address, keccak256

# "practical byzantine fault tolerance" without its first four letters: marks these headers.
MIX_HASH = bytes.fromhex("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365")
MAX_VALIDATORS = 1000


@dataclass(frozen=True, slots=True)
class Extra:
    """A header's `extraData`, taken apart.

    Args:
        validators: checksummed addresses; empty where the chain keeps them in a contract.
        seals: 65 bytes each: r, s, and 0 or 1.
        for_hash: what stands in its place when the block's hash is computed.
        for_seals: what stands in its place when a seal is computed.
    """

    validators: tuple[str, ...]
    seals: tuple[bytes, ...]
    for_hash: bytes
    for_seals: bytes


def parse(extra_data: bytes) -> Extra:
    """Take `extraData` apart.

    Raises:
        VerificationError: `RLP_INVALID`, not in the form of QBFT or IBFT 2.0.
    """
    items = rlp.decode_list(extra_data)
    if len(items) != 5:
        raise VerificationError("RLP_INVALID", "the extra data is not a list of five")
    vanity, listed, vote, round_number, sealed = items
    rlp.fixed(vanity, 32)
    if isinstance(listed, bytes) or isinstance(sealed, bytes) or max(len(listed), len(sealed)) > MAX_VALIDATORS:
        raise VerificationError("RLP_INVALID", "validators and seals are lists of at most 1000")
    is_ibft = isinstance(round_number, bytes) and len(round_number) == 4
    _check_vote(vote, none=b"" if is_ibft else [])
    if not is_ibft:
        rlp.integer(round_number, bits=31)
    head = [vanity, listed, vote]
    return Extra(
        validators=tuple(checksum_address(rlp.fixed(item, 20)) for item in listed),
        seals=tuple(rlp.fixed(item, 65) for item in sealed),
        for_hash=rlp.encode(head if is_ibft else [*head, 0, []]),
        for_seals=rlp.encode([*head, round_number] if is_ibft else [*head, round_number, []]),
    )


def quorum(validators: int) -> int:
    """How many of so many validators must seal: two thirds, rounded up."""
    return -(-2 * validators // 3)


def check_seals(extra: Extra, digest: bytes, *, validators: Sequence[str]) -> None:
    """Check that enough of these validators sealed, each once, and nobody else.

    Args:
        digest: Keccak-256 of the header with `extra.for_seals` in place.
        validators: addresses, in any case; those whom the verifier believes.
    Raises:
        VerificationError: `SEALS_INVALID`, a seal of nobody on the list or two of one;
            `VALIDATORS_DIFFER`, the header names others; `SEALS_MISSING`, too few.
    """
    believed = {address.lower() for address in validators}
    if not believed:
        raise VerificationError("SEALS_MISSING", "the policy names no validators; take a policy that does")
    if extra.validators and {address.lower() for address in extra.validators} != believed:
        raise VerificationError(
            "VALIDATORS_DIFFER", "the header names other validators than the policy; ask for the present policy"
        )
    sealers: set[str] = set()
    for seal in extra.seals:
        sealer = _sealer(digest, seal)
        if sealer not in believed or sealer in sealers:
            raise VerificationError("SEALS_INVALID", "a seal is by no validator of the policy, or stands twice")
        sealers.add(sealer)
    if len(sealers) < quorum(len(believed)):
        raise VerificationError(
            "SEALS_MISSING", f"{len(sealers)} seals, {quorum(len(believed))} are needed; take a later, sealed block"
        )


def _check_vote(vote: rlp.Item, *, none: rlp.Item) -> None:
    if vote == none:
        return
    if isinstance(vote, bytes) or len(vote) != 2 or vote[1] not in (b"", b"\0", b"\xff"):
        raise VerificationError("RLP_INVALID", "the vote is not an address and one of two values")
    rlp.fixed(vote[0], 20)


def _sealer(digest: bytes, seal: bytes) -> str:
    if seal[64] > 1:
        raise VerificationError("SEALS_INVALID", "a seal does not end in 0 or 1")
    try:
        public = coincurve.PublicKey.from_signature_and_message(seal, digest, hasher=None)
    except Exception as error:  # coincurve raises bare exceptions; none of them is a pass
        raise VerificationError("SEALS_INVALID", "a seal belongs to no key") from error
    return checksum_address(keccak256(public.format(compressed=False)[1:])[-20:]).lower()
