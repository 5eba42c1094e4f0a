"""The parts of a receipt bundle, read with care: a missing member, an unknown one or a wrong type is a failure.

What a bundle may lack without being wrong, such as an anchor, raises `Open` where it is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from ledger.proofs import chain, checkpoints, leaves, merkle, notes, policies, statements
from ledger.proofs.checkpoints import Checkpoint
from ledger.proofs.checks import Open
from ledger.proofs.errors import VerificationError
from ledger.proofs.leaves import Leaf
from ledger.proofs.policies import TrustPolicy
from ledger.proofs.signature_types import VerifierKey
from ledger.proofs.tlog_policy import LogPolicy

TYPE = "hengshu/receipt-bundle/v1"
CONTRACT_TYPE = "hengshu/contract/v1"
REQUEST_TYPE = "hengshu/computation-request/v1"
JOB_TYPE = "hengshu/job/v1"
CONSENT_TYPE = "hengshu/consent/v1"
REPORT_TYPE = "hengshu/execution-report/v1"

_ENTRY_MEMBERS = {"leaf", "payload", "salt", "index", "path"}
_ANCHOR_MEMBERS = {"chain_id", "contract_address", "size", "root", "block_number", "block_hash", "transaction"}
_CHARGE_MEMBERS = {"unit_price_fen", "units", "amount_fen", "currency"}


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry of the bundle: its leaf, the proof around it, and the checkpoint that the proof leads to."""

    leaf: Leaf
    proof: dict[str, Any]
    note: str

    @property
    def index(self) -> int:
        return number(self.proof, "index")

    @property
    def payload(self) -> dict[str, Any]:
        return mapping(self.proof, "payload")


class Evidence:
    """The parts of a bundle whose outer signature holds."""

    def __init__(self, bundle: dict[str, Any], *, policy: TrustPolicy) -> None:
        self.bundle = bundle
        self.policy = policy
        self.computation = text(bundle, "computation")
        self._checkpoints: dict[str, tuple[Checkpoint, set[str]]] = {}

    # --- documents ---------------------------------------------------------------------------------------

    @cached_property
    def contract(self) -> dict[str, Any]:
        return typed(self.bundle["documents"]["contract"], CONTRACT_TYPE)

    @cached_property
    def request(self) -> dict[str, Any]:
        return typed(self.bundle["documents"]["request"], REQUEST_TYPE)

    @cached_property
    def job(self) -> dict[str, Any]:
        return typed(self.bundle["documents"]["job"], JOB_TYPE)

    @cached_property
    def consents(self) -> list[dict[str, Any]]:
        return [typed(item, CONSENT_TYPE) for item in items(self.bundle["documents"], "consents")]

    @cached_property
    def reports(self) -> list[dict[str, Any]]:
        return [typed(item, REPORT_TYPE) for item in items(self.bundle["documents"], "reports")]

    @cached_property
    def digests(self) -> dict[str, str]:
        """The four references that every later document must repeat."""
        return {
            "contract": text(self.contract, "id"),
            "terms_digest": statements.digest(self.contract),
            "request_digest": statements.digest(self.request),
            "job_digest": statements.digest(self.job),
        }

    @cached_property
    def consent_digests(self) -> list[str]:
        return sorted(statements.digest(consent) for consent in self.consents)

    @cached_property
    def report_digests(self) -> list[str]:
        return sorted(statements.digest(report) for report in self.reports)

    @cached_property
    def charge(self) -> dict[str, Any]:
        charge = mapping(self.bundle, "charge")
        if set(charge) != _CHARGE_MEMBERS:
            raise VerificationError("CHARGE_INVALID", "the charge lacks a member or has one that is unknown")
        return charge

    # --- who -----------------------------------------------------------------------------------------------

    @cached_property
    def parties(self) -> dict[str, dict[str, Any]]:
        """The parties of the contract by organisation."""
        found = {text(party, "organization"): party for party in objects(self.contract, "parties")}
        if len(found) != len(self.contract["parties"]):
            raise VerificationError("CONTRACT_INVALID", "the contract names an organisation twice")
        return found

    @cached_property
    def buyer(self) -> dict[str, Any]:
        buyers = [party for party in self.parties.values() if text(party, "role") == "buyer"]
        if len(buyers) != 1:
            raise VerificationError("CONTRACT_INVALID", "the contract does not have exactly one buyer")
        return buyers[0]

    @cached_property
    def providers(self) -> list[dict[str, Any]]:
        return [party for party in self.parties.values() if text(party, "role") == "provider"]

    @cached_property
    def job_parties(self) -> dict[str, dict[str, Any]]:
        """The parties of the job by organisation, in order of rank."""
        found = {text(party, "organization"): party for party in objects(self.job, "parties")}
        ranks = [number(party, "rank") for party in found.values()]
        if not found or len(found) != len(self.job["parties"]) or ranks != list(range(len(ranks))):
            raise VerificationError("JOB_INVALID", "the job's parties are not numbered from 0, once each")
        own = found.get(text(self.buyer, "organization"))
        if not set(found) <= set(self.parties) or (own is not None and text(own, "role") != "requester"):
            raise VerificationError("JOB_INVALID", "the job is run by someone outside the contract, or by the buyer")
        return found

    def party_key(self, document: Mapping[str, Any]) -> str:
        """The key that the contract names for the organisation that a document names."""
        party = self.parties.get(text(document, "organization"))
        if party is None:
            raise VerificationError("SIGNER_UNKNOWN", "a document comes from an organisation outside the contract")
        return text(party, "document_key")

    def check_repeats(self, document: Mapping[str, Any], *names: str) -> None:
        """Check that a document names the same computation and the same digests."""
        if text(document, "computation") != self.computation:
            raise VerificationError("DIGEST_MISMATCH", "a document speaks of another computation")
        for name in names:
            if text(document, name) != self.digests[name]:
                raise VerificationError("DIGEST_MISMATCH", f"`{name}` in a document is not that of this bundle")

    # --- the log ---------------------------------------------------------------------------------------------

    @cached_property
    def note(self) -> str:
        """The bundle's checkpoint, unverified."""
        return text(self.bundle, "checkpoint")

    @property
    def checkpoint(self) -> Checkpoint:
        """The bundle's checkpoint, once a key of the policy's log has signed it."""
        return self.checkpoint_of(self.note)

    @cached_property
    def notes(self) -> list[str]:
        """Every checkpoint in the bundle, once each, the bundle's own first."""
        return list(dict.fromkeys([self.note, *(placed.note for placed in self.entries)]))

    def checkpoint_of(self, note: str) -> Checkpoint:
        """A checkpoint in the bundle, once a key that the policy lists for its log has signed it."""
        return self._signed(note)[0]

    def log_signers(self, note: str) -> set[str]:
        """vkeys of the log's listed keys that have signed a checkpoint in the bundle."""
        return self._signed(note)[1]

    def _signed(self, note: str) -> tuple[Checkpoint, set[str]]:
        if note not in self._checkpoints:
            parsed = notes.parse(note)
            checkpoint = checkpoints.parse(parsed.text)
            keys = {(key.name, key.key_id): vkey for vkey, key in self._log_keys(checkpoint.origin)}
            found = {keys[key.name, key.key_id] for key, _ in notes.known_signatures(parsed, keys=list(keys.values()))}
            if not keys:
                raise VerificationError(
                    "ORIGIN_UNKNOWN", "the checkpoint speaks of a log that the policy does not list"
                )
            if not found:
                raise VerificationError("SIGNATURE_MISSING", "none of the trusted keys has signed the note")
            self._checkpoints[note] = (checkpoint, found)
        return self._checkpoints[note]

    def _log_keys(self, origin: str) -> list[tuple[str, VerifierKey]]:
        return [(vkey, notes.parse_vkey(vkey)) for vkey in policies.log_keys(self.policy, origin)]

    @cached_property
    def log_policy(self) -> LogPolicy:
        return policies.tlog_policy(self.policy)

    @cached_property
    def entries(self) -> list[Placed]:
        """The entries; one that stands in another shard of the log carries that shard's checkpoint."""
        found = []
        for proof in objects(self.bundle, "entries"):
            if set(proof) - {"checkpoint"} != _ENTRY_MEMBERS:
                raise VerificationError("ENTRY_INVALID", "an entry proof lacks a member or has one that is unknown")
            note = text(proof, "checkpoint") if "checkpoint" in proof else self.note
            found.append(Placed(leaves.parse(text(proof, "leaf").encode()), proof, note))
        return found

    def of_kind(self, kind: str) -> list[Placed]:
        """The entries of one kind."""
        return [placed for placed in self.entries if placed.leaf.kind == kind]

    # --- the chain -------------------------------------------------------------------------------------------

    @cached_property
    def anchor(self) -> dict[str, Any]:
        """The anchor; `Open` where there is none."""
        if self.bundle["anchor"] is None:
            raise Open(
                "NO_ANCHOR",
                "This bundle carries no anchor. The log's own signatures are the only evidence of its order.",
                "本凭证包未附锚定信息，日志顺序仅由日志及见证方的签名证明。",
            )
        anchor = mapping(self.bundle, "anchor")
        if set(anchor) - {"evidence"} != _ANCHOR_MEMBERS:
            raise VerificationError("ANCHOR_INVALID", "the anchor lacks a member or has one that is unknown")
        return anchor

    @property
    def trusted_chain(self) -> policies.Chain:
        """The policy's chain; `Open` where it names none, or the bundle no anchor to look up there."""
        if self.anchor and self.policy.chain is None:
            raise Open(
                "CHAIN_NOT_IN_POLICY",
                "The policy names no chain, so there is nothing to hold the proof against. Take a policy that does.",
                "信任策略未列明区块链，无从核对；请使用列明区块链的策略。",
            )
        return cast(policies.Chain, self.policy.chain)

    @property
    def chain_evidence(self) -> dict[str, Any]:
        """What proves the chain's state; `Open` where there is none."""
        if self.trusted_chain and "evidence" not in self.anchor:
            raise Open(
                "NO_CHAIN_PROOF",
                "The bundle carries no proof of the chain's state. Ask a chain node that you trust for this root.",
                "凭证包未附链上状态证明；请向您信任的链节点查询该根。",
            )
        return mapping(self.anchor, "evidence")

    @cached_property
    def held(self) -> chain.Held:
        """What the contract holds in the block of the evidence; who vouches for that block is another question."""
        trusted = self.trusted_chain
        held = chain.read(self.chain_evidence, chain=_Contract(trusted.contract_address, trusted.code_hash))
        anchored_in = number(self.anchor, "block_number")
        is_same = held.block.hash == text(self.anchor, "block_hash").lower()
        if held.block.number < anchored_in or (held.block.number == anchored_in and not is_same):
            raise VerificationError("BLOCK_DIFFERS", "the proof is of an earlier or another block than the anchor's")
        return held


@dataclass(frozen=True, slots=True)
class _Contract:
    """The policy's contract for reading proofs alone: the seals are the next question."""

    contract_address: str
    code_hash: str | None
    validators: tuple[str, ...] = ()


def text(document: Mapping[str, Any], name: str) -> str:
    """A member that must be a text."""
    value = document.get(name)
    if not isinstance(value, str):
        raise VerificationError("MEMBER_INVALID", f"`{name}` is missing or not a text")
    return value


def number(document: Mapping[str, Any], name: str) -> int:
    """A member that must be an integer from 0."""
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise VerificationError("MEMBER_INVALID", f"`{name}` is missing or not an integer from 0")
    return value


def mapping(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A member that must be an object."""
    value = document.get(name)
    if not isinstance(value, dict):
        raise VerificationError("MEMBER_INVALID", f"`{name}` is missing or not an object")
    return value


def items(document: Mapping[str, Any], name: str) -> list[Any]:
    """A member that must be a list."""
    value = document.get(name)
    if not isinstance(value, list):
        raise VerificationError("MEMBER_INVALID", f"`{name}` is missing or not a list")
    return value


def objects(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """A member that must be a list of objects."""
    found = items(document, name)
    if not all(isinstance(item, dict) for item in found):
        raise VerificationError("MEMBER_INVALID", f"`{name}` is not a list of objects")
    return found


def typed(document: Any, kind: str) -> dict[str, Any]:
    """A document of this type and version."""
    statements.expect_type(document, kind)
    checked: dict[str, Any] = document
    return checked


def hexadecimal(value: Any, code: str) -> bytes:
    """Bytes in lower-case hex."""
    try:
        raw = bytes.fromhex(value)
    except (TypeError, ValueError):
        raise VerificationError(code, "not lower-case hex") from None
    if raw.hex() != value:
        raise VerificationError(code, "not lower-case hex")
    return raw


def digest32(value: Any, code: str = "INCLUSION_INVALID") -> bytes:
    """A hash of 32 bytes in lower-case hex."""
    raw = hexadecimal(value, code)
    if len(raw) != merkle.HASH_BYTES:
        raise VerificationError(code, "every hash has 32 bytes")
    return raw
