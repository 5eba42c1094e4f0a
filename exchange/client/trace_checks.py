"""What the receiver of a trace can judge without believing the exchange: signatures, inclusion, what belongs together.

The keys of the parties come from the contract's terms, which every party has signed; the exchange's and the log's
come from the pinned policy. Nothing here opens a network connection.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ledger.proofs import canonical, entry_proofs, grants, leaves, merkle, policies, statements
from ledger.proofs.checkpoints import Checkpoint
from ledger.proofs.errors import VerificationError
from ledger.proofs.policies import TrustPolicy

_DIGEST = re.compile(r"[0-9a-f]{64}")
PASS, FAIL, NOT_CHECKED = "PASS", "FAIL", "NOT CHECKED"
_FROM_EXCHANGE = frozenset({"authorization", "certificate", "receipt"})
_DIGEST_IS_PAPER = frozenset({"contract", "revocation", "request", "consent", "authorization", "run", "certificate"})
_MUST_SIGN = _DIGEST_IS_PAPER | {"receipt"}
# How the kind of a step's entry begins. Steps that are not named here may rest on any entry.
_ENTRY_KINDS = {
    "source": "product.submitted", "certificate": "certificate.issued", "product": "product.listed",
    "contract": "contract.", "revocation": "contract.revoked", "request": "computation.requested",
    "consent": "consent.", "authorization": "computation.authorized", "run": "result.accepted",
    "result": "result.accepted", "charge": "settlement.charged", "release": "result.released",
    "delivery": "result.delivered",
}  # fmt: skip
_RUN = frozenset({
    "request", "review", "consent", "authorization", "run", "result", "charge", "release", "delivery", "receipt", "end",
})  # fmt: skip
_RELEASED = ("contract", "request", "authorization", "result", "charge", "release")


@dataclass(slots=True)
class Verdict:
    """How one step stands: PASS, FAIL with codes, or NOT CHECKED with what was out of reach."""

    step: Mapping[str, Any]
    codes: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        if self.codes:
            return FAIL
        return NOT_CHECKED if self.unseen or not self.passed else PASS

    def ask(self, name: str, question: Any) -> None:
        """Ask one question; a VerificationError, or an answer of another shape, fails the step."""
        try:
            question()
        except VerificationError as error:
            self.codes.append(error.code)
        except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
            self.codes.append("TRACE_MALFORMED")
        else:
            self.passed.append(name)


class Judge:
    """A trace as it came, and the policy to hold it against.

    Args:
        request: the buyer's signed request, where the asker may have it; it holds filter values, the trace does not.
        receipt: the receipt's bytes, likewise.
    """

    def __init__(
        self,
        trace: Mapping[str, Any],
        *,
        policy: TrustPolicy,
        request: Mapping[str, Any] | None = None,
        receipt: bytes | None = None,
    ) -> None:
        self.trace = trace
        self.policy = policy
        self.request = request
        self.receipt = receipt
        self._notes: dict[str, Checkpoint] = {}
        self.terms = self._paper("contract")
        self.job = self._paper("authorization")

    def verdicts(self) -> list[Verdict]:
        """Every step in the order of the chain."""
        return [self._judge(step) for step in self.trace["steps"]]

    def missing(self) -> list[str]:
        """Kinds of steps that a released computation has and this trace does not show."""
        shown = [step["kind"] for step in self.trace["steps"]]
        if self.trace["kind"] != "computation" or "release" not in shown:
            return []
        absent = [kind for kind in _RELEASED if kind not in shown]
        parties = len((self.job or {}).get("parties", []))
        return absent + [kind for kind in ("consent", "run") if shown.count(kind) < parties]

    def speaks_of(self, reference: str) -> bool:
        """Whether a digest that was asked for stands in the chain: as a step's own, or in a signed paper.

        The chain of another result, however genuine, is no answer. References of other forms are the exchange's to
        look up; what they name stands at the head of the answer.
        """
        digest = reference.lower()
        if not _DIGEST.fullmatch(digest):
            return True
        named = {step["digest"] for step in self.trace["steps"]}
        papers = json.dumps([[step["papers"], step.get("opening")] for step in self.trace["steps"]])
        return digest in named or digest in papers or digest in (self.receipt or b"").decode(errors="replace")

    # --- one step ---------------------------------------------------------------------------------------

    def _judge(self, step: Mapping[str, Any]) -> Verdict:
        verdict = Verdict(step)
        if step["defect"]:
            verdict.codes.append(step["defect"])
        papers = [*step["papers"], *self._fetched(step)]
        for paper in papers:
            verdict.ask("signature", lambda paper=paper: self._check_paper(step, paper))
            verdict.ask("keys", lambda paper=paper: self._check_keys(step, paper))
        verdict.ask("subject", lambda: self._check_subject(step))
        if step["is_open"] and step["kind"] in _MUST_SIGN and not papers:
            verdict.unseen.append("signature")
        entries = [step["entry"]["urn"]] if step["entry"] else []
        entries += [one["entry"] for one in step["signers"] if one["entry"]]
        for urn in dict.fromkeys(entries):
            if urn in self.trace["proofs"]:
                verdict.ask("inclusion", lambda urn=urn: self._check_entry(step, urn))
            else:
                verdict.unseen.append("inclusion")
        if step["opening"] and step["entry"] and step["entry"]["urn"] in self.trace["proofs"]:
            verdict.ask("opening", lambda: self._check_opening(step))
        return verdict

    def _fetched(self, step: Mapping[str, Any]) -> list[dict[str, Any]]:
        if step["kind"] == "request" and self.request is not None:
            return [{"form": "data_integrity", "document": self.request}]
        if step["kind"] == "receipt" and self.receipt is not None:
            return [{"form": "receipt", "document": self.receipt}]
        return []

    def _check_paper(self, step: Mapping[str, Any], paper: Mapping[str, Any]) -> None:
        document = paper["document"]
        if paper["form"] == "receipt":
            _same(hashlib.sha256(document).hexdigest(), step["digest"])
            bundle = canonical.parse_canonical(document)
            _same(bundle["computation"], self.trace["subject"])
            self._check_signed(bundle, policies.exchange_keys(self.policy))
        elif paper["form"] == "eip712_grant":
            party = next(item for item in self._parties() if item["chain_address"] == document["grantor"])
            grants.verify_grant(document, grantor=party["chain_address"])
            _same(str(document["terms_digest"]).removeprefix("0x").lower(), statements.digest(self.terms or {}))
        else:
            if step["kind"] in _DIGEST_IS_PAPER:
                _same(statements.digest(document), step["digest"])
            self._check_belongs(document)
            self._check_document(step["kind"], document)

    def _check_document(self, kind: str, document: Mapping[str, Any]) -> None:
        if kind in _FROM_EXCHANGE:
            self._check_signed(document, policies.exchange_keys(self.policy))
        elif kind == "contract":
            keys = [item["document_key"] for item in document["parties"]]
            if document["exchange"]["document_key"] not in policies.exchange_keys(self.policy):
                raise VerificationError("EXCHANGE_UNKNOWN", "the contract was made at an exchange you do not trust")
            statements.verify(document, signers=keys)
        else:
            buyer = next(item["organization"] for item in self._parties() if item["role"] == "buyer")
            organization = buyer if kind == "request" else document["organization"]
            party = next(item for item in self._parties() if item["organization"] == organization)
            statements.verify(document, signers=[party["document_key"]])

    def _check_subject(self, step: Mapping[str, Any]) -> None:
        """A step of the run is about this run, its entry about the step, and of the kind that the step rests on."""
        if self.trace["kind"] == "computation" and step["kind"] in _RUN:
            _same(step["subject"], self.trace["subject"])
        if step["entry"]:
            _same(step["entry"]["subject"], step["subject"])
            if not str(step["entry"]["kind"]).startswith(_ENTRY_KINDS.get(step["kind"], "")):
                raise VerificationError("LEAF_INVALID", "the step rests on an entry of another kind")

    def _check_keys(self, step: Mapping[str, Any], paper: Mapping[str, Any]) -> None:
        """Nobody's key had been withdrawn before the log held what it signed."""
        proof = self.trace["proofs"].get(step["entry"]["urn"]) if step["entry"] else None
        if proof is None or paper["form"] == "receipt":
            return
        document = paper["document"]
        is_grant = paper["form"] == "eip712_grant"
        keys = [document["grantor"]] if is_grant else map(statements.signer, statements.proofs(document))
        position = self.policy.position(self._checkpoint(proof["checkpoint"]).origin, proof["index"])
        if not all(self.policy.counts_at(key, position) for key in keys):
            raise VerificationError("KEY_REVOKED", "a key had been withdrawn before what it signed was logged")

    def _check_belongs(self, document: Mapping[str, Any]) -> None:
        """Whatever names terms, request or job names those of this chain."""
        expected = {
            "terms_digest": self.terms and statements.digest(self.terms),
            "request_digest": self.job and self.job.get("request_digest"),
            "job_digest": self.job and statements.digest(self.job),
        }
        for name, value in expected.items():
            if value and name in document:
                _same(document[name], value)

    def _check_signed(self, document: Mapping[str, Any], keys: list[str]) -> None:
        signers = {statements.signer(proof) for proof in statements.proofs(document)}
        known = [key for key in keys if key in signers]
        statements.verify(document, signers=known)

    def _check_entry(self, step: Mapping[str, Any], urn: str) -> None:
        proof = self.trace["proofs"][urn]
        data = proof["leaf"].encode()
        leaf = leaves.parse(data)
        _same(leaf.entry, urn)
        if step["entry"] and step["entry"]["urn"] == urn:
            _same([leaf.kind, leaf.subject], [step["entry"]["kind"], step["entry"]["subject"]])
        checkpoint = self._checkpoint(proof["checkpoint"])
        merkle.verify_inclusion(
            index=proof["index"],
            size=checkpoint.size,
            leaf_hash=merkle.leaf_hash(data),
            path=[bytes.fromhex(one) for one in proof["path"]],
            root=checkpoint.root,
        )

    def _check_opening(self, step: Mapping[str, Any]) -> None:
        opening = step["opening"]
        payload = canonical.encode(opening["payload"])
        leaf = leaves.parse(self.trace["proofs"][step["entry"]["urn"]]["leaf"].encode())
        leaves.verify_opening(leaf, payload=payload, salt=bytes.fromhex(opening["salt"]))
        if step["digest"] and step["digest"].encode() not in payload:
            raise VerificationError("DIGEST_MISMATCH", "the entry speaks of another document")

    def _checkpoint(self, name: str) -> Checkpoint:
        if name not in self._notes:
            self._notes[name] = entry_proofs.checkpoint_of(self.trace["checkpoints"][name], policy=self.policy)
        return self._notes[name]

    # --- what everything hangs on ---------------------------------------------------------------------------

    def _paper(self, kind: str) -> dict[str, Any] | None:
        for step in self.trace["steps"]:
            for paper in step["papers"]:
                if step["kind"] == kind and paper["form"] == "data_integrity":
                    found: dict[str, Any] = paper["document"]
                    return found
        return None

    def _parties(self) -> list[dict[str, Any]]:
        parties: list[dict[str, Any]] = (self.terms or {})["parties"]
        return parties


def parse(answer: Any) -> dict[str, Any]:
    """The answer of the exchange, checked for its outer form.

    Raises:
        VerificationError: `TYPE_UNKNOWN`.
    """
    statements.expect_type(answer, "hengshu/trace/v1")
    names = {"kind", "papers", "signers", "entry", "defect", "is_open", "opening", "digest", "standing"}
    whole = all(isinstance(answer.get(name), dict) for name in ("proofs", "checkpoints"))
    steps = answer.get("steps")
    if not whole or not isinstance(steps, list) or not all(isinstance(s, dict) and names <= set(s) for s in steps):
        raise VerificationError("TYPE_UNKNOWN", "this is no trace that this version reads")
    parsed: dict[str, Any] = answer
    return parsed


def _same(found: Any, expected: Any) -> None:
    if found != expected:
        raise VerificationError("DIGEST_MISMATCH", "two parts of the chain do not belong together")
