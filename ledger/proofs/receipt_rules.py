"""The questions put to a receipt bundle, one function each: silent when all is well, raising otherwise.

Every function stands alone: it takes what it compares from signed documents and from the log, never from
the answer to another question, so that one failure does not hide a second.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ledger.proofs import canonical, checkpoints, leaves, merkle, statements
from ledger.proofs.errors import VerificationError
from ledger.proofs.policies import TrustPolicy

TYPE = "hengshu/receipt-bundle/v1"
CONTRACT_TYPE = "hengshu/contract/v1"
REQUEST_TYPE = "hengshu/computation-request/v1"
JOB_TYPE = "hengshu/job/v1"
CONSENT_TYPE = "hengshu/consent/v1"
REPORT_TYPE = "hengshu/execution-report/v1"
AUTHORIZATION_TYPE = "hengshu/authorization/v1"
REQUIRED_KINDS = ("computation.authorized", "result.accepted", "result.released", "settlement.charged")

_ENTRY_MEMBERS = {"leaf", "payload", "salt", "index", "path"}
_ANCHOR_MEMBERS = {"chain_id", "contract_address", "size", "root", "block_number", "block_hash", "transaction"}
_CHARGE_MEMBERS = {"unit_price_fen", "units", "amount_fen", "currency"}


class Evidence:
    """The parts of a bundle whose outer signature holds, read with care: a missing member is a failure."""

    def __init__(self, bundle: dict[str, Any], *, policy: TrustPolicy) -> None:
        self.bundle = bundle
        self.policy = policy
        self.computation = text(bundle, "computation")

    @cached_property
    def contract(self) -> dict[str, Any]:
        return _typed(self.bundle["documents"]["contract"], CONTRACT_TYPE)

    @cached_property
    def request(self) -> dict[str, Any]:
        return _typed(self.bundle["documents"]["request"], REQUEST_TYPE)

    @cached_property
    def job(self) -> dict[str, Any]:
        return _typed(self.bundle["documents"]["job"], JOB_TYPE)

    @cached_property
    def consents(self) -> list[dict[str, Any]]:
        return [_typed(item, CONSENT_TYPE) for item in items(self.bundle["documents"], "consents")]

    @cached_property
    def reports(self) -> list[dict[str, Any]]:
        return [_typed(item, REPORT_TYPE) for item in items(self.bundle["documents"], "reports")]

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
    def job_parties(self) -> dict[str, dict[str, Any]]:
        """The parties of the job by organisation, in order of rank."""
        found = {text(party, "organization"): party for party in objects(self.job, "parties")}
        ranks = [number(party, "rank") for party in found.values()]
        if not found or len(found) != len(self.job["parties"]) or ranks != list(range(len(ranks))):
            raise VerificationError("JOB_INVALID", "the job's parties are not numbered from 0, once each")
        if not set(found) <= set(self.parties) or self.buyer["organization"] in found:
            raise VerificationError("JOB_INVALID", "the job is run by someone outside the contract, or by the buyer")
        return found

    @cached_property
    def checkpoint(self) -> checkpoints.Checkpoint:
        return checkpoints.verify(
            text(self.bundle, "checkpoint").encode(), keys=[self.policy.log_key], origin=self.policy.log_origin
        )

    @cached_property
    def entries(self) -> list[tuple[leaves.Leaf, dict[str, Any]]]:
        """Each entry's leaf and the proof around it."""
        found = []
        for proof in objects(self.bundle, "entries"):
            if set(proof) != _ENTRY_MEMBERS:
                raise VerificationError("ENTRY_INVALID", "an entry proof lacks a member or has one that is unknown")
            found.append((leaves.parse(text(proof, "leaf").encode()), proof))
        return found

    def payloads(self, kind: str) -> list[tuple[leaves.Leaf, dict[str, Any]]]:
        """Leaf and payload of the entries of one kind."""
        return [(leaf, mapping(proof, "payload")) for leaf, proof in self.entries if leaf.kind == kind]

    def check_repeats(self, document: Mapping[str, Any], *names: str) -> None:
        """Check that a document names the same computation and the same digests."""
        if text(document, "computation") != self.computation:
            raise VerificationError("DIGEST_MISMATCH", "a document speaks of another computation")
        for name in names:
            if text(document, name) != self.digests[name]:
                raise VerificationError("DIGEST_MISMATCH", f"`{name}` in a document is not that of this bundle")


def check_contract(evidence: Evidence) -> None:
    """Every party named in the contract has signed it, and it names this exchange and this log."""
    contract, policy = evidence.contract, evidence.policy
    keys = [text(party, "document_key") for party in evidence.parties.values()]
    if len(set(keys)) != len(keys):
        raise VerificationError("CONTRACT_INVALID", "two parties of the contract share a key")
    if not any(text(party, "role") == "provider" for party in evidence.parties.values()):
        raise VerificationError("CONTRACT_INVALID", "the contract has no provider")
    if text(evidence.buyer, "organization") != text(mapping(contract, "output"), "receiver"):
        raise VerificationError("CONTRACT_INVALID", "the receiver of the output is not the buyer")
    exchange = mapping(contract, "exchange")
    if (
        text(exchange, "document_key") != policy.exchange_document_key
        or text(exchange, "log_origin") != policy.log_origin
        or text(exchange, "log_key") != policy.log_key
    ):
        raise VerificationError("EXCHANGE_UNKNOWN", "the contract was made at an exchange or log you do not trust")
    statements.verify(contract, signers=keys)


def check_request(evidence: Evidence) -> None:
    """The buyer asked for this computation, with the key the contract names, under these terms."""
    request = evidence.request
    if text(request, "id") != evidence.computation:
        raise VerificationError("DIGEST_MISMATCH", "the request speaks of another computation")
    for name in ("contract", "terms_digest"):
        if text(request, name) != evidence.digests[name]:
            raise VerificationError("DIGEST_MISMATCH", f"`{name}` in the request is not that of this contract")
    if text(request, "operation") not in items(mapping(evidence.contract, "computation"), "operations"):
        raise VerificationError("REQUEST_INVALID", "the contract does not allow this operation")
    statements.verify(request, signers=[text(evidence.buyer, "document_key")])


def check_job(evidence: Evidence) -> None:
    """The exchange dispatched this request, to parties of the contract, for the buyer's key alone."""
    job, contract = evidence.job, evidence.contract
    if text(job, "id") != evidence.computation:
        raise VerificationError("DIGEST_MISMATCH", "the job speaks of another computation")
    for name in ("contract", "terms_digest", "request_digest"):
        if text(job, name) != evidence.digests[name]:
            raise VerificationError("DIGEST_MISMATCH", f"`{name}` in the job is not that of this bundle")
    operation = text(job, "operation")
    if operation != text(evidence.request, "operation"):
        raise VerificationError("JOB_INVALID", "the job runs another operation than the one asked for")
    if text(job, "engine") != mapping(mapping(contract, "computation"), "engines").get(operation):
        raise VerificationError("JOB_INVALID", "the job uses an engine the contract does not name")
    result, buyer = mapping(job, "result"), evidence.buyer
    if text(result, "organization") != buyer["organization"] or text(result, "sealing_key") != text(
        buyer, "sealing_key"
    ):
        raise VerificationError("RESULT_KEY_MISMATCH", "the result is sealed to another key than the buyer's")
    products = {(text(item, "provider"), text(item, "dataset")): item for item in objects(contract, "objects")}
    for organization, party in evidence.job_parties.items():
        if text(party, "role") == "data":
            product = products.get((organization, text(party, "dataset")))
            if product is None or text(product, "dataset_commitment") != text(party, "dataset_commitment"):
                raise VerificationError("DATASET_MISMATCH", "the job reads a data set the contract does not name")
    statements.verify(job, signers=[evidence.policy.exchange_document_key])


def check_consents(evidence: Evidence) -> None:
    """Every party of the job granted this very request, with the key the contract names."""
    given = set()
    for consent in evidence.consents:
        evidence.check_repeats(consent, "contract", "terms_digest", "request_digest")
        if text(consent, "decision") != "granted":
            raise VerificationError("CONSENT_REFUSED", "a party has refused")
        statements.verify(consent, signers=[_party_key(evidence, consent)])
        given.add(text(consent, "organization"))
    if len(given) != len(evidence.consents) or not given >= set(evidence.job_parties):
        raise VerificationError("CONSENT_MISSING", "a party of the job has not consented, or one has twice")


def check_reports(evidence: Evidence) -> None:
    """Every party of the job reports, with its own key, the same completed run and the same usage."""
    unit = text(mapping(evidence.contract, "metering"), "unit")
    reporting = set()
    for report in evidence.reports:
        organization = text(report, "organization")
        evidence.check_repeats(report, "contract", "terms_digest", "request_digest", "job_digest")
        statements.verify(report, signers=[_party_key(evidence, report)])
        party = evidence.job_parties.get(organization)
        if party is None or number(report, "rank") != party["rank"]:
            raise VerificationError("REPORT_INVALID", "a report comes from outside the job")
        if text(report, "outcome") != "completed":
            raise VerificationError("REPORT_INVALID", "a party did not complete the run")
        if text(report, "unit") != unit or number(report, "units") != number(_charge(evidence), "units"):
            raise VerificationError("UNITS_DIFFER", "the reports and the charge count different usage")
        datasets = [(text(d, "dataset"), text(d, "commitment")) for d in objects(report, "datasets")]
        expected = [(party.get("dataset"), party.get("dataset_commitment"))] if party.get("dataset") else []
        if datasets != expected:
            raise VerificationError("DATASET_MISMATCH", "a party read another data set than the job names")
        reporting.add(organization)
    if len(reporting) != len(evidence.reports) or reporting != set(evidence.job_parties):
        raise VerificationError("REPORT_MISSING", "the reports are not those of the job's parties, once each")
    digests = sorted(statements.digest(report) for report in evidence.reports)
    for _, payload in evidence.payloads("result.accepted"):
        if sorted(items(payload, "reports"), key=str) != digests:
            raise VerificationError("REPORT_MISMATCH", "the exchange logged the acceptance of other reports")


def check_checkpoint(evidence: Evidence) -> None:
    """The log's key has signed the checkpoint, and it speaks of this log."""
    if evidence.checkpoint.size == 0:
        raise VerificationError("CHECKPOINT_INVALID", "the checkpoint covers nothing")


def check_inclusion(evidence: Evidence) -> None:
    """Every entry stands in the log at its index."""
    for leaf, proof in evidence.entries:
        merkle.verify_inclusion(
            index=number(proof, "index"),
            size=evidence.checkpoint.size,
            leaf_hash=merkle.leaf_hash(leaf.data),
            path=[_hash(value) for value in items(proof, "path")],
            root=evidence.checkpoint.root,
        )


def check_commitments(evidence: Evidence) -> None:
    """Every entry's commitment opens to the payload shown."""
    for leaf, proof in evidence.entries:
        leaves.verify_opening(
            leaf,
            payload=canonical.encode(mapping(proof, "payload")),
            salt=_bytes(text(proof, "salt"), "COMMITMENT_INVALID"),
        )


def check_entry_kinds(evidence: Evidence) -> None:
    """The four facts a purchase rests on are logged, about this computation."""
    for kind in REQUIRED_KINDS:
        if not evidence.payloads(kind):
            raise VerificationError("ENTRY_MISSING", f"no entry of kind {kind}")
        for leaf, payload in evidence.payloads(kind):
            if evidence.computation not in (leaf.subject, payload.get("computation")):
                raise VerificationError("ENTRY_INVALID", f"the entry of kind {kind} is about something else")
    for kind in ("result.accepted", "result.released"):
        for _, payload in evidence.payloads(kind):
            if payload.get("job_digest") != evidence.digests["job_digest"]:
                raise VerificationError("ENTRY_INVALID", f"the entry of kind {kind} is about another job")
    if len({leaf.entry for leaf, _ in evidence.entries}) != len(evidence.entries):
        raise VerificationError("ENTRY_INVALID", "an entry is shown twice")


def check_authorization(evidence: Evidence) -> None:
    """What was authorized is this contract, request, job and these consents, and nothing else."""
    found = evidence.payloads("computation.authorized")
    if len(found) != 1:
        raise VerificationError("AUTHORIZATION_INVALID", "there is not exactly one authorization")
    leaf, payload = found[0]
    if payload.get("type") != AUTHORIZATION_TYPE or leaf.subject != evidence.computation:
        raise VerificationError("AUTHORIZATION_INVALID", "the authorization is not one of this computation")
    evidence.check_repeats(payload, "contract", "terms_digest", "request_digest", "job_digest")
    if items(payload, "consents") != sorted(statements.digest(consent) for consent in evidence.consents):
        raise VerificationError("AUTHORIZATION_INVALID", "the authorization rests on other consents")


def check_charge(evidence: Evidence) -> None:
    """The amount is the contract's price times the units, and it is the amount that was logged."""
    charge, price = _charge(evidence), mapping(evidence.contract, "price")
    if charge["unit_price_fen"] != number(price, "unit_price_fen") or charge["currency"] != text(price, "currency"):
        raise VerificationError("CHARGE_INVALID", "the price is not the contract's")
    if number(charge, "amount_fen") != number(charge, "unit_price_fen") * number(charge, "units"):
        raise VerificationError("CHARGE_INVALID", "the amount is not unit price times units")
    logged = evidence.payloads("settlement.charged")
    if len(logged) != 1 or logged[0][1].get("amount_fen") != charge["amount_fen"]:
        raise VerificationError("CHARGE_INVALID", "the amount is not the one that was logged, once")
    if logged[0][1].get("units") != charge["units"]:
        raise VerificationError("CHARGE_INVALID", "the units are not those that were logged")
    if logged[0][1].get("reports") != sorted(statements.digest(report) for report in evidence.reports):
        raise VerificationError("CHARGE_INVALID", "the charge was logged for other reports")


def check_anchor(evidence: Evidence) -> bool:
    """Whether the anchor is for the checkpoint's own size; raises when the two contradict each other."""
    anchor = mapping(evidence.bundle, "anchor")
    if set(anchor) != _ANCHOR_MEMBERS:
        raise VerificationError("ANCHOR_INVALID", "the anchor lacks a member or has one that is unknown")
    chain = evidence.policy.chain
    if chain and (
        number(anchor, "chain_id") != chain.chain_id
        or text(anchor, "contract_address").lower() != chain.contract_address.lower()
    ):
        raise VerificationError("ANCHOR_INVALID", "the anchor is on a chain or contract you do not trust")
    if number(anchor, "size") != evidence.checkpoint.size:
        return False
    if _hash(text(anchor, "root").removeprefix("0x")) != evidence.checkpoint.root:
        raise VerificationError("ANCHOR_INVALID", "the anchored root is not the checkpoint's")
    return True


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


def _typed(document: Any, kind: str) -> dict[str, Any]:
    statements.expect_type(document, kind)
    checked: dict[str, Any] = document
    return checked


def _charge(evidence: Evidence) -> dict[str, Any]:
    charge = mapping(evidence.bundle, "charge")
    if set(charge) != _CHARGE_MEMBERS:
        raise VerificationError("CHARGE_INVALID", "the charge lacks a member or has one that is unknown")
    return charge


def _party_key(evidence: Evidence, document: Mapping[str, Any]) -> str:
    party = evidence.parties.get(text(document, "organization"))
    if party is None:
        raise VerificationError("SIGNER_UNKNOWN", "a document comes from an organisation outside the contract")
    return text(party, "document_key")


def _hash(value: Any) -> bytes:
    raw = _bytes(value, "INCLUSION_INVALID")
    if len(raw) != merkle.HASH_BYTES:
        raise VerificationError("INCLUSION_INVALID", "every hash has 32 bytes")
    return raw


def _bytes(value: Any, code: str) -> bytes:
    try:
        raw = bytes.fromhex(value)
    except (TypeError, ValueError):
        raise VerificationError(code, "not lower-case hex") from None
    if raw.hex() != value:
        raise VerificationError(code, "not lower-case hex")
    return raw
