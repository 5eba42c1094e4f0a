"""The ledger's verbs, in one place: `from ledger import actions as ledger`, then `ledger.record(...)`."""

from ledger.actions.anchoring import anchor_for, anchor_pass, anchored_size, is_anchored
from ledger.actions.chain_events import read_chain_events
from ledger.actions.chain_records import chain_record, send_chain_records, send_revocations, submit_chain_record
from ledger.actions.entries import erase, payload_of, record
from ledger.actions.evidence import evidence
from ledger.actions.key_life import record_registration, record_revocation, record_rotation, submit_void
from ledger.actions.log import seal
from ledger.actions.proofs import (
    anchor_document,
    checkpoint_of,
    cosigned_note,
    entry_proof,
    inclusion_proof,
    is_sealed,
    latest_checkpoint,
    trust_policy,
)
from ledger.actions.witnessing import admit_witness, ask_witnesses, withdraw_witness

__all__ = [
    "admit_witness",
    "anchor_document",
    "anchor_for",
    "anchor_pass",
    "anchored_size",
    "ask_witnesses",
    "chain_record",
    "checkpoint_of",
    "cosigned_note",
    "entry_proof",
    "erase",
    "evidence",
    "inclusion_proof",
    "is_anchored",
    "is_sealed",
    "latest_checkpoint",
    "payload_of",
    "read_chain_events",
    "record",
    "record_registration",
    "record_revocation",
    "record_rotation",
    "seal",
    "send_chain_records",
    "send_revocations",
    "submit_chain_record",
    "submit_void",
    "trust_policy",
    "withdraw_witness",
]
