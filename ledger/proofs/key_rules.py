"""The question about keys: whether each signed while it was believed, and before it was withdrawn in the log.

A document counts as signed where the log first holds its digest: contract, request, job and consents where
the run was authorized, reports where the result was accepted. A checkpoint is signed at its last leaf. The
bundle's own signature is in no log; it counts as made at the bundle's checkpoint or later.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ledger.proofs import chain_rules, statements
from ledger.proofs.errors import VerificationError
from ledger.proofs.receipt_parts import Evidence, text


def check_keys(evidence: Evidence) -> None:
    """No key had been withdrawn before what it signed was logged; the exchange's and the log's were in force."""
    policy = evidence.policy
    authorized, accepted = _position(evidence, "computation.authorized"), _position(evidence, "result.accepted")
    agreed = [evidence.contract, evidence.request, evidence.job, *evidence.consents]
    _check_counts(evidence, [*_signers(agreed), text(evidence.buyer, "sealing_key")], at=authorized)
    if chain_rules.demands_grants(evidence):
        addresses = [text(one, "chain_address") for one in evidence.providers]
        _check_counts(evidence, addresses, at=authorized)
    _check_counts(evidence, _signers(evidence.reports), at=accepted)
    check_log_keys(evidence)
    if not set(_signers([evidence.job])) & set(policy.exchange_keys_at(authorized)):
        raise VerificationError("KEY_NOT_IN_FORCE", "the exchange's key was not in force when the job was logged")
    made = policy.position(evidence.checkpoint.origin, evidence.checkpoint.size - 1)
    _check_counts(evidence, _signers([evidence.bundle]), at=made)
    ended = {window.key for window in policy.exchange_keys if window.until is not None and window.until <= made}
    if set(_signers([evidence.bundle])) & ended:
        raise VerificationError("KEY_NOT_IN_FORCE", "the exchange's key was no longer in force at the checkpoint")


def check_log_keys(evidence: Evidence) -> None:
    """Each checkpoint is signed by a key of its log that was in force at its size and not withdrawn before.

    The end of a frozen log stands in the policy: a log whose key was stolen ends under that key, and its
    proofs hold all the same.
    """
    for note in evidence.notes:
        _check_log_key(evidence, note)


def _check_log_key(evidence: Evidence, note: str) -> None:
    policy, checkpoint = evidence.policy, evidence.checkpoint_of(note)
    last = policy.position(checkpoint.origin, checkpoint.size - 1)
    in_force = set(policy.log_keys_at(checkpoint.origin, checkpoint.size)) & evidence.log_signers(note)
    if not in_force:
        raise VerificationError("KEY_NOT_IN_FORCE", "the log's key was not in force at the checkpoint's size")
    if policy.is_end(checkpoint.origin, checkpoint.size, checkpoint.root):
        return
    if not any(policy.counts_at(key, last) for key in in_force):
        raise VerificationError("KEY_REVOKED", "the log's key had been withdrawn before this checkpoint")


def _check_counts(evidence: Evidence, keys: Iterable[str], *, at: int) -> None:
    if not all(evidence.policy.counts_at(key, at) for key in keys):
        raise VerificationError("KEY_REVOKED", "a key had been withdrawn before what it signed was logged")


def _position(evidence: Evidence, kind: str) -> int:
    found = evidence.of_kind(kind)
    if not found:
        raise VerificationError("ENTRY_MISSING", f"no entry of kind {kind} says when the keys signed")
    return evidence.policy.position(evidence.checkpoint_of(found[0].note).origin, found[0].index)


def _signers(documents: Iterable[Mapping[str, Any]]) -> list[str]:
    return [statements.signer(proof) for document in documents for proof in statements.proofs(document)]
