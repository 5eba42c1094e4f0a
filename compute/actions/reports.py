"""Whether a node's execution report is about this task, says nothing impossible, and is its own."""

from collections.abc import Mapping
from typing import Any

from compute.errors import ReportInvalid
from compute.models import Computation, NodeTask
from compute.protocol import documents, shapes, terms
from exchange.kernel.errors import DomainError
from ledger.proofs import statements
from ledger.proofs.errors import VerificationError


def check(report: Mapping[str, Any], *, task: NodeTask, computation: Computation) -> None:
    """Check form, signature and every digest of a report.

    Raises:
        ReportInvalid: names the member that does not fit.
    """
    try:
        documents.check_execution_report(report)
    except DomainError as error:
        raise ReportInvalid(f"The report is not one this version reads: {error.message}") from error
    job = computation.authorization.job
    party = next(item for item in job["parties"] if item["rank"] == task.rank)
    expected = {
        "computation": computation.urn,
        "contract": job["contract"],
        "terms_digest": job["terms_digest"],
        "request_digest": job["request_digest"],
        "job_digest": computation.authorization.job_digest,
        "organization": task.organization.urn,
        "rank": task.rank,
    }
    wrong = [name for name, value in expected.items() if report[name] != value]
    if report["engine"]["id"] != job["engine"]:
        wrong.append("engine.id")
    if report["outcome"] == "completed":
        wrong += _wrong_of_completed(report, job=job, party=party)
        if (report["unit"], report["units"]) != (computation.contract.terms["metering"]["unit"], computation.units):
            wrong.append("units")
    if wrong:
        raise ReportInvalid(f"The report's {', '.join(wrong)} is not that of this task.")
    signer = terms.party(computation.contract.terms, task.organization.urn)
    try:
        statements.verify(report, signers=[signer["document_key"]] if signer else [])
    except VerificationError as error:
        raise ReportInvalid(f"The report is not signed by the key in the contract: {error.message}.") from error


def _wrong_of_completed(report: Mapping[str, Any], *, job: Mapping[str, Any], party: Mapping[str, Any]) -> list[str]:
    wrong = []
    datasets = [(item["dataset"], item["commitment"]) for item in report["datasets"]]
    if datasets != ([(party["dataset"], party["dataset_commitment"])] if party["dataset"] else []):
        wrong.append("datasets")
    if report["gate"]["min_group"] < job["min_group"]:
        wrong.append("gate.min_group")
    if shapes.parse_time(report["started"]) > shapes.parse_time(report["finished"]):
        wrong.append("started")
    return wrong
