"""Every document that travels between members, nodes and the exchange: constructors and closed validators.

`documents.request(…)` makes an unsigned request, `documents.check_request(document)` refuses anything that
is not exactly one (signed or not). Signatures are `ledger.proofs.statements`' work.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from compute.protocol import operations, shapes
from compute.protocol.layouts import (
    AUTHORIZATION,
    CONSENT,
    CONTRACT,
    ENTRY_PROOF,
    EXECUTION_REPORT,
    JOB,
    KEY_CARD,
    LINK_OFFER,
    MAX_BUNDLE_BYTES,
    MAX_DOCUMENT_BYTES,
    MAX_PART_BYTES,
    NODE_MESSAGE,
    OPTIONAL,
    OUTCOMES,
    RECEIPT_BUNDLE,
    REQUEST,
    REVOCATION,
    SHAPES,
    TRANSPORT,
    VERBS,
)
from compute.protocol.shapes import DocumentInvalid, refuse
from ledger.proofs import canonical, statements
from ledger.proofs.errors import VerificationError

__all__ = [  # the type names and limits are used by this module's name
    "AUTHORIZATION",
    "CONSENT",
    "CONTRACT",
    "EXECUTION_REPORT",
    "JOB",
    "KEY_CARD",
    "LINK_OFFER",
    "MAX_BUNDLE_BYTES",
    "MAX_DOCUMENT_BYTES",
    "MAX_PART_BYTES",
    "NODE_MESSAGE",
    "OUTCOMES",
    "RECEIPT_BUNDLE",
    "REQUEST",
    "REVOCATION",
    "TRANSPORT",
    "VERBS",
    "Document",
    "DocumentInvalid",
    "authorization",
    "check_authorization",
    "check_consent",
    "check_entry_proof",
    "check_execution_report",
    "check_job",
    "check_key_card",
    "check_link_offer",
    "check_node_message",
    "check_object",
    "check_receipt_bundle",
    "check_request",
    "check_revocation",
    "consent",
    "execution_report",
    "job",
    "job_core",
    "link_offer",
    "node_message",
    "parse",
    "receipt_bundle",
    "request",
    "revocation",
]

Document = dict[str, Any]

# --- constructors: unsigned documents, each checked before it is returned ----------------------------------


def request(
    *,
    computation: str,
    terms: Mapping[str, Any],
    operation: str,
    parameters: Mapping[str, Any],
    created: datetime,
    expires: datetime,
) -> Document:
    """A buyer's computation request under a contract; its id is the computation and its idempotency key."""
    document = {
        "type": REQUEST,
        "id": computation,
        "contract": terms["id"],
        "terms_digest": statements.digest(terms),
        "operation": operation,
        "parameters": dict(parameters),
        "purpose": terms["purpose"]["code"],
        "created": shapes.write_time(created),
        "expires": shapes.write_time(expires),
    }
    check_request(document)
    return document


def consent(
    *,
    consent_id: str,
    request: Mapping[str, Any],
    organization: str,
    basis: str,
    decision: str,
    issued: datetime,
    expires: datetime,
    reason: str = "",
    seconds: int | None = None,
) -> Document:
    """A provider's or compute party's decision on one request.

    Args:
        seconds: how long the run will take by the party's own estimate, on a machine with nothing else to do; None
            where it has no table, or says nothing of its size.
    """
    document: Document = {
        "type": CONSENT,
        "id": consent_id,
        "computation": request["id"],
        "request_digest": statements.digest(request),
        "contract": request["contract"],
        "terms_digest": request["terms_digest"],
        "organization": organization,
        "basis": basis,
        "decision": decision,
        "reason": reason,
        "issued": shapes.write_time(issued),
        "expires": shapes.write_time(expires),
    }
    if seconds is not None:
        document["seconds"] = seconds
    check_consent(document)
    return document


def job(
    *,
    request: Mapping[str, Any],
    terms: Mapping[str, Any],
    not_before: datetime,
    expires: datetime,
    deadline_seconds: int,
) -> Document:
    """The exchange's job: everything in it follows from terms and request, but the times."""
    document = {
        "type": JOB,
        **job_core(request=request, terms=terms),
        "not_before": shapes.write_time(not_before),
        "expires": shapes.write_time(expires),
        "deadline_seconds": deadline_seconds,
    }
    check_job(document)
    return document


def job_core(*, request: Mapping[str, Any], terms: Mapping[str, Any]) -> Document:
    """The members of a job that terms and request fix; a node compares them one by one."""
    receiver = next(party for party in terms["parties"] if party["organization"] == terms["output"]["receiver"])
    return {
        "id": request["id"],
        "request_digest": statements.digest(request),
        "contract": terms["id"],
        "terms_digest": statements.digest(terms),
        "operation": request["operation"],
        "engine": terms["computation"]["engines"][request["operation"]],
        "parties": operations.parties(terms, operation=request["operation"], parameters=request["parameters"]),
        "result": {"organization": receiver["organization"], "sealing_key": receiver["sealing_key"]},
        "min_group": operations.effective_min_group(terms, request["parameters"]),
    }


def authorization(
    *,
    job: Mapping[str, Any],
    consents: Sequence[Mapping[str, Any]],
    policy_rule: str,
    policy_version: int,
    reviewed_by: Sequence[str] = (),
) -> Document:
    """The payload of the ledger entry `computation.authorized`."""
    document = {
        "type": AUTHORIZATION,
        "computation": job["id"],
        "contract": job["contract"],
        "terms_digest": job["terms_digest"],
        "request_digest": job["request_digest"],
        "job_digest": statements.digest(job),
        "consents": sorted(statements.digest(item) for item in consents),
        "policy_rule": policy_rule,
        "policy_version": policy_version,
        "reviewed_by": list(reviewed_by),
    }
    check_authorization(document)
    return document


def link_offer(
    *,
    job: Mapping[str, Any],
    organization: str,
    rank: int,
    addresses: Sequence[str],
    certificate: str,
    expires: datetime,
    relay: str | None = None,
) -> Document:
    """Where one party listens for one job, and the certificate its peers pin; `relay`: where it may be met as well."""
    document: Document = {
        "type": LINK_OFFER,
        "computation": job["id"],
        "job_digest": statements.digest(job),
        "organization": organization,
        "rank": rank,
        "addresses": list(addresses),
        "certificate": certificate,
        "expires": shapes.write_time(expires),
        **({} if relay is None else {"relay": relay}),
    }
    check_link_offer(document)
    return document


def execution_report(
    *,
    job: Mapping[str, Any],
    organization: str,
    rank: int,
    sequence: int,
    previous: str | None,
    outcome: str,
    code: str | None,
    stage: str,
    engine: Mapping[str, Any],
    gate: Mapping[str, Any],
    datasets: Sequence[Mapping[str, str]],
    part: Mapping[str, Any] | None,
    learned: Sequence[Mapping[str, str]],
    started: datetime,
    finished: datetime,
    program: str | None = None,
    unit: str = operations.PER_CALL,
    quantity: int = 1,
    notices: Mapping[str, Any] | None = None,
) -> Document:
    """A node's account of one run.

    Args:
        unit, quantity: of the contract's meter, by `operations.quantity`; a run that did not complete used none.
        program: SHA-256 of what the engine computed (`Engine.program`); left out by older nodes.
        notices: the batch of notices to data subjects (`notices.Batch.reported`), of an operation that makes them.
    """
    document: Document = {
        "type": EXECUTION_REPORT,
        "sequence": sequence,
        "previous": previous,
        "computation": job["id"],
        "contract": job["contract"],
        "terms_digest": job["terms_digest"],
        "request_digest": job["request_digest"],
        "job_digest": statements.digest(job),
        "organization": organization,
        "rank": rank,
        "outcome": outcome,
        "code": code,
        "stage": stage,
        "unit": unit,
        "units": quantity if outcome == "completed" else 0,
        "engine": dict(engine),
        "gate": dict(gate),
        "datasets": [dict(item) for item in datasets],
        "part": None if part is None else dict(part),
        "learned": [dict(item) for item in learned],
        "started": shapes.write_time(started),
        "finished": shapes.write_time(finished),
        **({} if program is None else {"program": program}),
        **({} if notices is None else {"notices": dict(notices)}),
    }
    check_execution_report(document)
    return document


def revocation(
    *, contract: str, terms_digest: str, organization: str, sequence: int, issued: datetime, reason: str = ""
) -> Document:
    """A provider's end of a contract; sequence numbers only grow, so an older one never wins."""
    document = {
        "type": REVOCATION,
        "contract": contract,
        "terms_digest": terms_digest,
        "organization": organization,
        "sequence": sequence,
        "issued": shapes.write_time(issued),
        "reason": reason,
    }
    check_revocation(document)
    return document


def node_message(
    *, organization: str, verb: str, audience: str, created: datetime, nonce: str, body: Mapping[str, Any]
) -> Document:
    """The envelope of every request from a node to the exchange."""
    document = {
        "type": NODE_MESSAGE,
        "organization": organization,
        "verb": verb,
        "audience": audience,
        "created": shapes.write_time(created),
        "nonce": nonce,
        "body": dict(body),
    }
    check_node_message(document)
    return document


def receipt_bundle(
    *,
    number: str,
    computation: str,
    contract: Mapping[str, Any],
    request: Mapping[str, Any],
    job: Mapping[str, Any],
    consents: Sequence[Mapping[str, Any]],
    reports: Sequence[Mapping[str, Any]],
    entries: Sequence[Mapping[str, Any]],
    checkpoint: str,
    anchor: Mapping[str, Any] | None,
    charge: Mapping[str, Any],
) -> Document:
    """What a buyer keeps: all signed documents of one run and their proofs against one checkpoint."""
    document = {
        "type": RECEIPT_BUNDLE,
        "number": number,
        "computation": computation,
        "documents": {
            "contract": dict(contract),
            "request": dict(request),
            "job": dict(job),
            "consents": [dict(item) for item in consents],
            "reports": [dict(item) for item in reports],
        },
        "entries": [dict(item) for item in entries],
        "checkpoint": checkpoint,
        "anchor": None if anchor is None else dict(anchor),
        "charge": dict(charge),
    }
    check_receipt_bundle(document)
    return document


# --- validators: raise DocumentInvalid (or an error of operations) and return None ------------------------


def check_key_card(document: Any) -> None:
    """Check the shape of a key card."""
    _check(document, KEY_CARD)


def check_request(document: Any) -> None:
    """Check a computation request: shape, known operation, its parameters, times in order."""
    _check(document, REQUEST)
    operations.check_parameters(document["operation"], document["parameters"])
    _check_order(document, "created", "expires")


def check_consent(document: Any) -> None:
    """Check the shape and the times of a consent."""
    _check(document, CONSENT)
    _check_order(document, "issued", "expires")


def check_job(document: Any) -> None:
    """Check a job: shape, ranks 0, 1, 2 … with distinct parties, data parties with data, times in order."""
    _check(document, JOB)
    parties = document["parties"]
    if [party["rank"] for party in parties] != list(range(len(parties))):
        raise refuse("parties", "must be listed by rank from 0")
    if len({party["organization"] for party in parties}) != len(parties):
        raise refuse("parties", "must be distinct organisations")
    for index, party in enumerate(parties):
        has_data = party["role"] != "compute"
        if (party["dataset"] is not None) != has_data or (party["dataset_commitment"] is not None) != has_data:
            raise refuse(f"parties[{index}]", "a compute party names no dataset; every other names its own")
    _check_order(document, "not_before", "expires")


def check_authorization(document: Any) -> None:
    """Check the payload of a `computation.authorized` entry."""
    _check(document, AUTHORIZATION)
    if document["consents"] != sorted(document["consents"]):
        raise refuse("consents", "must be sorted")


def check_link_offer(document: Any) -> None:
    """Check the shape of a link offer."""
    _check(document, LINK_OFFER)


def check_execution_report(document: Any) -> None:
    """Check a report: shape, and that outcome, code, units and part fit together."""
    _check(document, EXECUTION_REPORT)
    completed = document["outcome"] == "completed"
    if completed != (document["code"] is None):
        raise refuse("code", "is null for a completed run and a code otherwise")
    if completed != (document["units"] > 0):
        raise refuse("units", "is what a completed run used, and 0 otherwise")
    if document["unit"] == operations.PER_CALL and document["units"] > 1:
        raise refuse("units", "is 1 for a completed call")
    if completed != (document["part"] is not None):
        raise refuse("part", "is present for a completed run only")
    if (document["sequence"] == 1) != (document["previous"] is None):
        raise refuse("previous", "is null for the first report of a node only")


def check_revocation(document: Any) -> None:
    """Check the shape of a revocation."""
    _check(document, REVOCATION)


def check_node_message(document: Any) -> None:
    """Check the envelope of a node's request; the body is checked by its verb."""
    _check(document, NODE_MESSAGE, max_bytes=8 * 1024 * 1024)


def check_receipt_bundle(document: Any) -> None:
    """Check the shape of a bundle; its proofs are `ledger.proofs.receipts`' work."""
    _check(document, RECEIPT_BUNDLE, max_bytes=MAX_BUNDLE_BYTES)


def check_entry_proof(proof: Any) -> None:
    """Check the shape of one entry's proof of inclusion."""
    ENTRY_PROOF(proof, "entry")
    if not isinstance(proof["payload"], dict):
        raise refuse("entry.payload", "must be an object")


def parse(data: bytes, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> Document:
    """Read one document from outside: strict JSON, an object, bounded size.

    Raises:
        DocumentInvalid: not strict JSON, not an object, or too large.
    """
    try:
        value = canonical.parse(data, max_bytes=max_bytes)
    except VerificationError as error:
        raise refuse("document", error.message) from error
    if not isinstance(value, dict):
        raise refuse("document", "must be an object")
    return value


def check_object(document: Any, kind: str, shape: shapes.Shape, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> None:
    """Check type, proof form, size and the closed members of a document of one kind."""
    if not isinstance(document, dict):
        raise refuse("document", "must be an object")
    if document.get("type") != kind:
        raise refuse("type", f"must be {kind}")
    try:
        if len(canonical.encode(document)) > max_bytes:
            raise refuse("document", f"is larger than {max_bytes} bytes")
        for proof in statements.proofs(document):
            statements.signer(proof)
    except VerificationError as error:
        raise refuse("proof" if error.code == "PROOF_INVALID" else "document", error.message) from error
    shape({name: value for name, value in document.items() if name not in ("type", "proof")}, "")


def _check(document: Any, kind: str, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> None:
    check_object(document, kind, shapes.members(SHAPES[kind], optional=OPTIONAL.get(kind)), max_bytes=max_bytes)


def _check_order(document: Mapping[str, Any], first: str, second: str) -> None:
    if shapes.parse_time(document[first]) >= shapes.parse_time(document[second]):
        raise refuse(second, f"must be later than {first}")
