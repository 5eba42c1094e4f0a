"""Admission: everything a node checks before it opens a file, in the order of docs/security/promises.md.

    1 size, strict JSON, versions      5 times, revocations, grants, kill switch, lease
    2 the exchange's signature         6 job id and units, in one durable transaction
    3 the parties' signatures          7 the dataset's commitment: the first file that is opened
    4 every field against the contract

Each step raises Refused with a code of the closed list. Nothing here opens a dataset: descriptions come
from the store.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from compute.node import verdicts, withdrawn_keys
from compute.node.config import Config
from compute.node.store import Store
from compute.protocol import codes, documents, operations, shapes, terms
from compute.protocol.codes import Refused
from exchange.kernel.errors import DomainError
from ledger.proofs import canonical, checkpoints, leaves, merkle, statements
from ledger.proofs.errors import VerificationError

Document = dict[str, Any]

AUTHORIZED = "computation.authorized"
MAX_BUNDLE_BYTES = 2 * 1024 * 1024
CLOCK_SKEW = timedelta(seconds=60)
_MEMBERS = {"contract", "request", "job", "consents", "authorization", "checkpoint"}


class Grants(Protocol):
    """The node's own view of the chain."""

    def check(self, *, grantor: str, terms_digest: str, now: datetime, is_counted: bool = False) -> None:
        """Raise Refused `GRANT_MISSING`, `GRANT_EXPIRED`, `CONTRACT_REVOKED` or `CHAIN_UNAVAILABLE`."""


@dataclass(slots=True)
class Case:
    """One claimed task on its way through admission; steps fill in what later steps need."""

    bundle: Mapping[str, Any]
    task: str
    fencing_token: int
    lease_until: float
    config: Config
    store: Store
    grants: Grants | None
    now: datetime
    monotonic: Callable[[], float]
    job: Document = field(default_factory=dict)
    request: Document = field(default_factory=dict)
    terms: Document = field(default_factory=dict)
    consents: list[Document] = field(default_factory=list)
    party: Document = field(default_factory=dict)
    dataset: Document | None = None
    verdict: verdicts.Verdict | None = None  # the privacy gate's, where this node supplies data
    step: str = ""

    @property
    def rank(self) -> int:
        """This node's rank in the job."""
        return int(self.party["rank"])


def admit(case: Case) -> None:
    """Run every step in order; after it the unit is reserved and the dataset may be opened.

    Raises:
        Refused: `case.step` names the step that refused.
    """
    for name, step in STEPS:
        case.step = name
        step(case)


def check_documents(case: Case) -> None:
    """Step 1: bounded size, strict JSON, known types and versions, closed shapes."""
    bundle = case.bundle
    if not isinstance(bundle, dict) or set(bundle) != _MEMBERS or not isinstance(bundle["consents"], list):
        raise Refused("DOCUMENT_INVALID")
    if len(bundle["consents"]) > 16 or not isinstance(bundle["checkpoint"], str):
        raise Refused("DOCUMENT_INVALID")
    try:
        if len(canonical.encode(dict(bundle))) > MAX_BUNDLE_BYTES:
            raise Refused("DOCUMENT_INVALID")
        documents.check_job(bundle["job"])
        operations.get(bundle["job"]["operation"])
        documents.check_request(bundle["request"])
        terms.check(bundle["contract"])
        for consent in bundle["consents"]:
            documents.check_consent(consent)
    except DomainError as error:
        raise Refused(error.code if codes.is_known(error.code) else "DOCUMENT_INVALID") from error
    except VerificationError as error:
        raise Refused("DOCUMENT_INVALID") from error
    case.job, case.request, case.consents = bundle["job"], bundle["request"], bundle["consents"]


def check_exchange(case: Case) -> None:
    """Step 2: the exchange's pinned key has signed the job, or one that followed it and counts where that is logged."""
    allowed = _exchange_keys(case)
    signed_by = {statements.signer(proof) for proof in statements.proofs(case.job)}
    signers = [key for key in allowed if key in signed_by][:1]
    _verify(case.job, signers or allowed[:1], code="EXCHANGE_SIGNATURE_INVALID")
    if withdrawn_keys.is_any(case.store, signers):
        raise Refused("KEY_REVOKED")


def check_signatures(case: Case) -> None:
    """Step 3: the contract is one the owner accepted, unchanged; every party and the buyer have signed."""
    accepted = case.store.contract(case.job["contract"])
    if accepted is None:
        raise Refused("CONTRACT_UNKNOWN")
    digest = statements.digest(accepted)
    if statements.digest(case.bundle["contract"]) != digest or case.job["terms_digest"] != digest:
        raise Refused("TERMS_CHANGED")
    # The keys are those of the accepted copy, never those of the copy that came with the job.
    _verify(case.bundle["contract"], terms.signers(accepted), code="CONTRACT_SIGNATURE_INVALID")
    _verify(case.request, [terms.buyer(accepted)["document_key"]], code="REQUEST_SIGNATURE_INVALID")
    case.terms = accepted


def check_fields(case: Case) -> None:
    """Step 4: every member of the job follows from contract and request; consents and log agree."""
    check_request(case.request, accepted=case.terms)
    _check_job(case)
    _check_own_place(case)
    _check_consents(case)
    _check_authorization(case)


def check_request(request: Mapping[str, Any], *, accepted: Mapping[str, Any]) -> None:
    """The request stays inside the contract; also asked before a consent is given."""
    if request["contract"] != accepted["id"] or request["terms_digest"] != statements.digest(accepted):
        raise Refused("REQUEST_MISMATCH")
    if request["operation"] not in accepted["computation"]["operations"]:
        raise Refused("OPERATION_UNKNOWN")
    if request["purpose"] != accepted["purpose"]["code"]:
        raise Refused("PURPOSE_NOT_ALLOWED")
    try:
        operations.check_parameters(request["operation"], request["parameters"], terms=accepted)
    except DomainError as error:
        raise Refused("PARAMETERS_OUT_OF_TERMS") from error


def check_time(case: Case) -> None:
    """Step 5: times, revocations, the grant on chain, the kill switch and the lease."""
    now = case.now
    if now + CLOCK_SKEW < shapes.parse_time(case.job["not_before"]):
        raise Refused("JOB_OUT_OF_TIME")
    if any(now >= shapes.parse_time(item["expires"]) for item in (case.job, case.request, *case.consents)):
        raise Refused("JOB_OUT_OF_TIME")
    check_contract_open(case.terms, store=case.store, now=now)
    check_grants(case.terms, job=case.job, grants=case.grants, now=now)
    if case.store.is_paused():
        raise Refused("NODE_PAUSED")
    if case.monotonic() >= case.lease_until:
        raise Refused("LEASE_LOST")


def check_contract_open(accepted: Mapping[str, Any], *, store: Store, now: datetime) -> None:
    """The contract is in its term and nobody has revoked it."""
    term = accepted["term"]
    if not shapes.parse_time(term["effective_from"]) <= now < shapes.parse_time(term["effective_to"]):
        raise Refused("CONTRACT_NOT_IN_TERM")
    if store.is_revoked(accepted["id"]):
        raise Refused("CONTRACT_REVOKED")
    check_keys(accepted, store=store)


def check_keys(accepted: Mapping[str, Any], *, store: Store) -> None:
    """None of the keys by which the contract names its parties was withdrawn."""
    if withdrawn_keys.is_any(store, terms.keys(accepted)):
        raise Refused("KEY_REVOKED")


def check_grants(accepted: Mapping[str, Any], *, job: Mapping[str, Any], grants: Grants | None, now: datetime) -> None:
    """Every data party of the job has a grant on chain that is open now, where the contract asks for it."""
    if accepted["evidence"]["chain"] != "required":
        return
    if grants is None:
        raise Refused("CHAIN_UNAVAILABLE")
    # Where the contract allows costly operations, the total includes runs that are under way, such as this one.
    is_counted = any(operations.get(name).is_costly for name in accepted["computation"]["operations"])
    for party in job["parties"]:
        if party["role"] == "data":
            address = _party(accepted, party["organization"])["chain_address"]
            grants.check(grantor=address, terms_digest=statements.digest(accepted), now=now, is_counted=is_counted)


def reserve(case: Case) -> None:
    """Step 6: the job id for ever, its units, the partition of its columns, its epsilon: one durable transaction."""
    case.store.reserve(
        job=case.job,
        task=case.task,
        fencing_token=case.fencing_token,
        units=operations.quantity(case.request, terms=case.terms),
        uses=case.verdict.uses if case.verdict else (),
        spending=case.verdict.spending if case.verdict else None,
    )


STEPS: Sequence[tuple[str, Callable[[Case], None]]] = (
    ("documents", check_documents),
    ("exchange_signature", check_exchange),
    ("party_signatures", check_signatures),
    ("fields", check_fields),
    ("time_and_revocation", check_time),
    ("reservation", reserve),
)


def _exchange_keys(case: Case) -> list[str]:
    """The exchange's keys that count where the authorization says it is logged; step 4 proves that it is there."""
    trust = case.config.trust
    try:
        origin = checkpoints.parse(case.bundle["checkpoint"]).origin
        position = trust.position(origin, int(case.bundle["authorization"]["index"]))
    except (VerificationError, KeyError, TypeError, ValueError):
        return [trust.exchange_document_key]
    return trust.exchange_keys_at(position) or [trust.exchange_document_key]


def _check_job(case: Case) -> None:
    expected = documents.job_core(request=case.request, terms=case.terms)
    for member, code in (
        ("result", "RESULT_KEY_SWAPPED"),
        ("engine", "ENGINE_NOT_ALLOWED"),
        ("operation", "OPERATION_UNKNOWN"),
    ):
        if case.job[member] != expected[member]:
            raise Refused(code)
    for found, wanted in zip(case.job["parties"], expected["parties"], strict=False):
        if {**found, "dataset_commitment": ""} == {**wanted, "dataset_commitment": ""} and found != wanted:
            raise Refused("COMMITMENT_MISMATCH")
    if any(case.job[member] != value for member, value in expected.items()):
        raise Refused("REQUEST_MISMATCH")


def _check_own_place(case: Case) -> None:
    own = [party for party in case.job["parties"] if party["organization"] == case.config.organization]
    if len(own) != 1:
        raise Refused("AUDIENCE_WRONG")
    case.party = own[0]
    if case.party["role"] == "compute":
        return
    name, commitment = case.party["dataset"], case.party["dataset_commitment"]
    case.dataset = case.store.dataset(name, commitment)
    if case.dataset is None:
        known = any(item["name"] == name for item in case.store.datasets())
        raise Refused("COMMITMENT_MISMATCH" if known else "DATASET_UNKNOWN")
    case.verdict = verdicts.judge(
        case.request,
        case.dataset,
        parties=case.job["parties"],
        recipient=case.job["result"]["organization"],
        config=case.config,
        min_group=int(case.job["min_group"]),
    )
    verdicts.check_reviewed(case.request, config=case.config, store=case.store)


def _check_consents(case: Case) -> None:
    """Every party of the job has consented to this very request; our own yes is in our own store."""
    digest = statements.digest(case.request)
    given = {consent["organization"]: consent for consent in case.consents}
    for party in case.job["parties"]:
        consent = given.get(party["organization"])
        if consent is None:
            raise Refused("CONSENT_MISSING")
        if consent["decision"] != "granted":
            raise Refused("CONSENT_REFUSED")
        if (
            consent["computation"] != case.job["id"]
            or consent["request_digest"] != digest
            or consent["contract"] != case.terms["id"]
            or consent["terms_digest"] != case.job["terms_digest"]
        ):
            raise Refused("CONSENT_MISSING")
        _verify(consent, [_party(case.terms, party["organization"])["document_key"]], code="CONSENT_MISSING")
    own = case.store.consent(case.job["id"])
    if own is None or statements.digest(own) != statements.digest(given[case.config.organization]):
        raise Refused("CONSENT_MISSING")


def _check_authorization(case: Case) -> None:
    """The authorization of exactly this job lies in the log, under a checkpoint of the pinned log key."""
    try:
        note = case.bundle["checkpoint"].encode()
        found = checkpoints.parse(note)
        keys = case.config.trust.log_keys_at(found.origin, found.size)
        checkpoint = checkpoints.verify(note, keys=keys, origin=found.origin)
    except VerificationError as error:
        raise Refused("LOG_KEY_WRONG") from error
    payload = _logged_payload(case.bundle["authorization"], checkpoint, subject=case.job["id"])
    try:
        documents.check_authorization(payload)
    except DomainError as error:
        raise Refused("AUTHORIZATION_MISMATCH") from error
    expected = {
        "computation": case.job["id"],
        "contract": case.job["contract"],
        "terms_digest": case.job["terms_digest"],
        "request_digest": case.job["request_digest"],
        "job_digest": statements.digest(case.job),
        "consents": sorted(statements.digest(consent) for consent in case.consents),
    }
    if any(payload[member] != value for member, value in expected.items()):
        raise Refused("AUTHORIZATION_MISMATCH")


def _logged_payload(proof: Any, checkpoint: checkpoints.Checkpoint, *, subject: str) -> Document:
    """The payload of an entry proof, once leaf, opening and inclusion hold."""
    try:
        documents.check_entry_proof(proof)
        data = proof["leaf"].encode()
        leaf = leaves.parse(data)
        payload = canonical.encode(proof["payload"])
        leaves.verify_opening(leaf, payload=payload, salt=bytes.fromhex(proof["salt"]))
        merkle.verify_inclusion(
            index=proof["index"],
            size=checkpoint.size,
            leaf_hash=merkle.leaf_hash(data),
            path=[bytes.fromhex(item) for item in proof["path"]],
            root=checkpoint.root,
        )
    except (DomainError, VerificationError) as error:
        raise Refused("AUTHORIZATION_NOT_LOGGED") from error
    if leaf.kind != AUTHORIZED or leaf.subject != subject:
        raise Refused("AUTHORIZATION_MISMATCH")
    found: Document = proof["payload"]
    return found


def _party(accepted: Mapping[str, Any], organization: str) -> Document:
    found = terms.party(accepted, organization)
    if found is None:
        raise Refused("REQUEST_MISMATCH")
    return found


def _verify(document: Mapping[str, Any], signers: Sequence[str], *, code: str) -> None:
    try:
        statements.verify(document, signers=signers)
    except VerificationError as error:
        raise Refused(code) from error
