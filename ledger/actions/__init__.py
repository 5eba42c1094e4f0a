"""The ledger's verbs, in one place: `from ledger import actions as ledger`, then `ledger.record(...)`."""

from ledger.actions.entries import erase, payload_of, record
from ledger.actions.log import seal
from ledger.actions.proofs import (
    anchor_document,
    entry_proof,
    evidence,
    inclusion_proof,
    is_sealed,
    latest_checkpoint,
    trust_policy,
)

__all__ = [
    "anchor_document",
    "entry_proof",
    "erase",
    "evidence",
    "inclusion_proof",
    "is_sealed",
    "latest_checkpoint",
    "payload_of",
    "record",
    "seal",
    "trust_policy",
]
