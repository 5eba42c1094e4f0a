"""The questions about documents and entries, one function each: silent when all is well, raising otherwise.

Every function stands alone: it takes what it compares from signed documents and from the log, never from
the answer to another question, so that one failure does not hide a second.
"""

from collections.abc import Mapping
from typing import Any

from ledger.proofs import canonical, leaves, merkle, policies, statements
from ledger.proofs.errors import VerificationError
from ledger.proofs.receipt_parts import Evidence, digest32, hexadecimal, items, mapping, number, objects, text

AUTHORIZATION_TYPE = "hengshu/authorization/v1"
REQUESTERS_TABLE = (("dataset", "dataset"), ("dataset_commitment", "commitment"))  # in the job, and in the request
REQUIRED_KINDS = ("computation.authorized", "result.accepted", "result.released", "settlement.charged")


def check_contract(evidence: Evidence) -> None:
    """Every party named in the contract has signed it, and it names this exchange and this log."""
    contract, policy = evidence.contract, evidence.policy
    keys = [text(party, "document_key") for party in evidence.parties.values()]
    if len(set(keys)) != len(keys):
        raise VerificationError("CONTRACT_INVALID", "two parties of the contract share a key")
    if not evidence.providers:
        raise VerificationError("CONTRACT_INVALID", "the contract has no provider")
    if text(evidence.buyer, "organization") != text(mapping(contract, "output"), "receiver"):
        raise VerificationError("CONTRACT_INVALID", "the receiver of the output is not the buyer")
    exchange = mapping(contract, "exchange")
    if text(exchange, "document_key") not in policies.exchange_keys(policy) or text(
        exchange, "log_key"
    ) not in policies.log_keys(policy, text(exchange, "log_origin")):
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
        if text(party, "role") == "requester":
            _check_requester(party, evidence)
        if text(party, "role") == "data":
            product = products.get((organization, text(party, "dataset")))
            if product is None or text(product, "dataset_commitment") != text(party, "dataset_commitment"):
                raise VerificationError("DATASET_MISMATCH", "the job reads a data set the contract does not name")
    check_exchange_signed(job, evidence)


def _check_requester(party: Mapping[str, Any], evidence: Evidence) -> None:
    """The requester is the buyer, with the very table that its signed request names."""
    own = mapping(mapping(evidence.request, "parameters"), "input")
    if text(party, "organization") != evidence.buyer["organization"]:
        raise VerificationError("JOB_INVALID", "the requester is not the buyer")
    if any(text(party, name) != text(own, member) for name, member in REQUESTERS_TABLE):
        raise VerificationError("DATASET_MISMATCH", "the requester's table is not the one its request names")


def check_consents(evidence: Evidence) -> None:
    """Every party of the job granted this very request, with the key the contract names."""
    given = set()
    for consent in evidence.consents:
        evidence.check_repeats(consent, "contract", "terms_digest", "request_digest")
        if text(consent, "decision") != "granted":
            raise VerificationError("CONSENT_REFUSED", "a party has refused")
        statements.verify(consent, signers=[evidence.party_key(consent)])
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
        statements.verify(report, signers=[evidence.party_key(report)])
        party = evidence.job_parties.get(organization)
        if party is None or number(report, "rank") != party["rank"]:
            raise VerificationError("REPORT_INVALID", "a report comes from outside the job")
        if text(report, "outcome") != "completed":
            raise VerificationError("REPORT_INVALID", "a party did not complete the run")
        if text(report, "unit") != unit or number(report, "units") != number(evidence.charge, "units"):
            raise VerificationError("UNITS_DIFFER", "the reports and the charge count different usage")
        datasets = [(text(d, "dataset"), text(d, "commitment")) for d in objects(report, "datasets")]
        expected = [(party.get("dataset"), party.get("dataset_commitment"))] if party.get("dataset") else []
        if datasets != expected:
            raise VerificationError("DATASET_MISMATCH", "a party read another data set than the job names")
        reporting.add(organization)
    if len(reporting) != len(evidence.reports) or reporting != set(evidence.job_parties):
        raise VerificationError("REPORT_MISSING", "the reports are not those of the job's parties, once each")
    for placed in evidence.of_kind("result.accepted"):
        if sorted(items(placed.payload, "reports"), key=str) != evidence.report_digests:
            raise VerificationError("REPORT_MISMATCH", "the exchange logged the acceptance of other reports")


def check_checkpoint(evidence: Evidence) -> None:
    """A key of the log has signed each checkpoint; it speaks of a listed log, and within its end if that is frozen."""
    ends = {log.origin: log.frozen for log in evidence.policy.logs}
    for note in evidence.notes:
        checkpoint = evidence.checkpoint_of(note)
        if checkpoint.size == 0:
            raise VerificationError("CHECKPOINT_INVALID", "the checkpoint covers nothing")
        end = ends[checkpoint.origin]
        if end is not None and (
            checkpoint.size > end.size or (checkpoint.size == end.size and checkpoint.root.hex() != end.root)
        ):
            raise VerificationError("LOG_FROZEN", "the log was frozen with another size or root than the checkpoint's")


def check_inclusion(evidence: Evidence) -> None:
    """Every entry stands in the log at its index."""
    for placed in evidence.entries:
        checkpoint = evidence.checkpoint_of(placed.note)
        merkle.verify_inclusion(
            index=placed.index,
            size=checkpoint.size,
            leaf_hash=merkle.leaf_hash(text(placed.proof, "leaf").encode()),
            path=[digest32(value) for value in items(placed.proof, "path")],
            root=checkpoint.root,
        )


def check_commitments(evidence: Evidence) -> None:
    """Every entry's commitment opens to the payload shown."""
    for placed in evidence.entries:
        leaves.verify_opening(
            placed.leaf,
            payload=canonical.encode(placed.payload),
            salt=hexadecimal(text(placed.proof, "salt"), "COMMITMENT_INVALID"),
        )


def check_entry_kinds(evidence: Evidence) -> None:
    """The four facts a purchase rests on are logged, about this computation."""
    for kind in REQUIRED_KINDS:
        if not evidence.of_kind(kind):
            raise VerificationError("ENTRY_MISSING", f"no entry of kind {kind}")
        for placed in evidence.of_kind(kind):
            if evidence.computation not in (placed.leaf.subject, placed.payload.get("computation")):
                raise VerificationError("ENTRY_INVALID", f"the entry of kind {kind} is about something else")
    for kind in ("result.accepted", "result.released"):
        for placed in evidence.of_kind(kind):
            if placed.payload.get("job_digest") != evidence.digests["job_digest"]:
                raise VerificationError("ENTRY_INVALID", f"the entry of kind {kind} is about another job")
    if len({placed.leaf.entry for placed in evidence.entries}) != len(evidence.entries):
        raise VerificationError("ENTRY_INVALID", "an entry is shown twice")


def check_authorization(evidence: Evidence) -> None:
    """What was authorized is this contract, request, job and these consents, and nothing else."""
    found = evidence.of_kind("computation.authorized")
    if len(found) != 1:
        raise VerificationError("AUTHORIZATION_INVALID", "there is not exactly one authorization")
    leaf, payload = found[0].leaf, found[0].payload
    if payload.get("type") != AUTHORIZATION_TYPE or leaf.subject != evidence.computation:
        raise VerificationError("AUTHORIZATION_INVALID", "the authorization is not one of this computation")
    evidence.check_repeats(payload, "contract", "terms_digest", "request_digest", "job_digest")
    if items(payload, "consents") != evidence.consent_digests:
        raise VerificationError("AUTHORIZATION_INVALID", "the authorization rests on other consents")


def check_charge(evidence: Evidence) -> None:
    """The amount is the contract's price times the units, and it is the amount that was logged."""
    charge, price = evidence.charge, mapping(evidence.contract, "price")
    if charge["unit_price_fen"] != number(price, "unit_price_fen") or charge["currency"] != text(price, "currency"):
        raise VerificationError("CHARGE_INVALID", "the price is not the contract's")
    if number(charge, "amount_fen") != number(charge, "unit_price_fen") * number(charge, "units"):
        raise VerificationError("CHARGE_INVALID", "the amount is not unit price times units")
    logged = evidence.of_kind("settlement.charged")
    if len(logged) != 1 or logged[0].payload.get("amount_fen") != charge["amount_fen"]:
        raise VerificationError("CHARGE_INVALID", "the amount is not the one that was logged, once")
    if logged[0].payload.get("units") != charge["units"]:
        raise VerificationError("CHARGE_INVALID", "the units are not those that were logged")
    if logged[0].payload.get("reports") != evidence.report_digests:
        raise VerificationError("CHARGE_INVALID", "the charge was logged for other reports")


def check_exchange_signed(document: Mapping[str, Any], evidence: Evidence) -> None:
    """Check that a key of the policy's exchange has signed, whichever of them.

    Raises:
        VerificationError: as `statements.verify`.
    """
    known = set(policies.exchange_keys(evidence.policy))
    signers = [did for did in map(statements.signer, statements.proofs(document)) if did in known]
    statements.verify(document, signers=signers[:1] or known)
