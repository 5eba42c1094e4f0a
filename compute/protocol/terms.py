"""Contract terms: one structured document that every party signs, nodes check, and the chain knows by digest."""

from collections.abc import Mapping, Sequence
from typing import Any

from compute.protocol import documents, operations, shapes
from compute.protocol.shapes import COLUMN, ENGINE, HEX64, SEALING_KEY, SLUG, refuse
from ledger.proofs import statements

TYPE = documents.CONTRACT
ROLES = ("provider", "buyer", "compute_party")
BASIS_POINTS = 10_000

Terms = dict[str, Any]

_ORG = shapes.urn("org")
_DAYS = shapes.integer(0, 36_500)
_NAME = shapes.text(1, 200)


def _number(prefix: str) -> shapes.Shape:
    return shapes.pattern(prefix + r"-[0-9A-Z-]{1,40}", f"a number beginning with {prefix}-")


_PARTY = shapes.members(
    {
        "organization": _ORG,
        "role": shapes.choice(*ROLES),
        "name_zh": _NAME,
        "name_en": _NAME,
        "uscc": shapes.pattern(r"[0-9A-HJ-NP-RTUWXY]{18}", "an 18-character unified social credit code"),
        "document_key": shapes.document_key,
        "chain_address": shapes.ADDRESS,
        "sealing_key": SEALING_KEY,
    }
)
_OBJECT = shapes.members(
    {
        "product": shapes.urn("product"),
        "number": _number("DP"),
        "version": shapes.integer(1, 1_000_000),
        "provider": _ORG,
        "specification_digest": HEX64,
        "certificate": _number("DPC"),
        "grade": shapes.integer(1, 5),
        "dataset": COLUMN,
        "dataset_commitment": HEX64,
        "columns": shapes.list_of(COLUMN, low=1, high=256, distinct=True),
    }
)
_SHAPE = shapes.members(
    {
        "id": shapes.urn("contract"),
        "number": _number("DTC"),
        "template_kind": SLUG,
        "exchange": shapes.members(
            {
                "name_zh": _NAME,
                "name_en": _NAME,
                "document_key": shapes.document_key,
                "log_origin": shapes.text(1, 200),
                "log_key": shapes.text(1, 400),
            }
        ),
        "parties": shapes.list_of(_PARTY, low=2, high=16),
        "objects": shapes.list_of(_OBJECT, low=1, high=16),
        "purpose": shapes.members(
            {
                "code": SLUG,
                "scenario_zh": shapes.text(0, 2000),
                "scenario_en": shapes.text(0, 4000),
                "legal_basis": shapes.text(1, 400),
                "consent_required": shapes.boolean,
                "prohibited_uses": shapes.list_of(SLUG, high=32, distinct=True),
            }
        ),
        "computation": shapes.members(
            {
                "operations": shapes.list_of(SLUG, low=1, high=8, distinct=True),
                "techniques": shapes.list_of(SLUG, low=1, high=8, distinct=True),
                "engines": shapes.map_of(ENGINE, names=SLUG, high=8),
                "task_kind": SLUG,
                "max_concurrency": shapes.integer(1, 100),
                "approval": shapes.choice("standing", "per_run"),
            }
        ),
        "output": shapes.members(
            {
                "schema": shapes.pattern(r"[a-z][a-z0-9_]{0,62}/v[0-9]{1,3}", "a schema such as grouped_statistics/v1"),
                "receiver": _ORG,
                "min_cell": shapes.integer(operations.MINIMUM_GROUP, 1_000_000),
                "max_bytes": shapes.integer(1024, documents.MAX_PART_BYTES),
                "review": shapes.choice("none", "manual"),
                "retention_days": _DAYS,
                "onward_use": SLUG,
            }
        ),
        "delivery": shapes.members({"mode": SLUG, "acceptance": SLUG, "inspection_days": _DAYS}),
        "metering": shapes.members(
            {
                "unit": shapes.choice(*operations.UNITS),
                "counting_rule": shapes.choice("released"),
                "rounding": shapes.choice("none"),
                "free_failures": shapes.boolean,
                "idempotency": shapes.choice("request_id"),
            }
        ),
        "quota": shapes.members(
            {
                "total": shapes.integer(1, 1_000_000_000),
                "per_day": shapes.integer(1, 1_000_000_000),
                "rate_per_minute": shapes.integer(1, 1_000_000),
            }
        ),
        "term": shapes.members({"effective_from": shapes.time, "effective_to": shapes.time}),
        "price": shapes.members(
            {
                "currency": shapes.choice("CNY"),
                "unit_price_fen": shapes.integer(0, 10**12),
                "tax_rate_basis_points": shapes.integer(0, BASIS_POINTS),
                "tax_included": shapes.boolean,
            }
        ),
        "money": shapes.members(
            {
                "escrow_minimum_fen": shapes.integer(0, 10**14),
                "split": shapes.list_of(
                    shapes.members({"account": shapes.text(1, 80), "basis_points": shapes.integer(0, BASIS_POINTS)}),
                    low=1,
                    high=18,
                ),
                "remainder_to": _ORG,
            }
        ),
        "security": shapes.members(
            {
                "adversary_model": shapes.text(1, 60),
                "min_grade_controls": shapes.list_of(SLUG, high=32, distinct=True),
                "key_custody": SLUG,
                "log_retention_days": _DAYS,
                "incident_notice_hours": shapes.integer(1, 8760),
            }
        ),
        "evidence": shapes.members(
            {"chain": shapes.choice("required", "none"), "authorization": shapes.choice("logged")}
        ),
        "data_end": shapes.members({"method": SLUG, "deadline_days": _DAYS, "certificate": shapes.boolean}),
        "audit": shapes.members({"by": shapes.list_of(SLUG, high=16, distinct=True), "sealed_evidence": SLUG}),
        "liability": shapes.members({"cap_multiple": shapes.integer(0, 1000)}),
        "revocation": shapes.members(
            {
                "by": shapes.list_of(shapes.choice(*ROLES), low=1, high=3, distinct=True),
                "in_flight": shapes.choice("withhold"),
                "effect": shapes.choice("not_retroactive"),
            }
        ),
        "dispute": shapes.members(
            {
                "negotiation_days": _DAYS,
                "mediation": shapes.boolean,
                "arbitration_commission_zh": shapes.text(0, 200),
                "arbitration_commission_en": shapes.text(0, 200),
                "matter": shapes.text(0, 400),
                "seat": shapes.text(0, 200),
                "law": shapes.text(0, 200),
            }
        ),
    }
)


def build(**members: Any) -> Terms:
    """Terms from their members (all of them, by name), checked; `type` is added here."""
    document = {"type": TYPE, **members}
    check(document)
    return document


def check(document: Any) -> None:
    """Check terms, signed or not: the closed shape, and that the members fit together.

    Raises:
        DocumentInvalid: with the path of the member that is wrong.
    """
    documents.check_object(document, TYPE, _SHAPE)
    _check_parties(document)
    _check_objects(document)
    _check_computation(document)
    _check_money(document)
    _check_unit(document)
    term = document["term"]
    if shapes.parse_time(term["effective_from"]) >= shapes.parse_time(term["effective_to"]):
        raise refuse("term.effective_to", "must be later than effective_from")


def digest(document: Mapping[str, Any]) -> str:
    """The terms digest: SHA-256 of the canonical unsigned bytes, and the bytes32 of the grant on chain."""
    return statements.digest(document)


def party(document: Mapping[str, Any], organization: str) -> dict[str, Any] | None:
    """The party entry of an organisation, or None."""
    return next((item for item in document["parties"] if item["organization"] == organization), None)


def parties(document: Mapping[str, Any], role: str) -> list[dict[str, Any]]:
    """The parties with a role, in the order of the terms."""
    return [item for item in document["parties"] if item["role"] == role]


def buyer(document: Mapping[str, Any]) -> dict[str, Any]:
    """The one buyer."""
    return parties(document, "buyer")[0]


def signers(document: Mapping[str, Any]) -> list[str]:
    """The document keys that must all have signed."""
    return [item["document_key"] for item in document["parties"]]


def keys(document: Mapping[str, Any]) -> list[str]:
    """Every key that the parties are known by under these terms: they sign, grant, and receive sealed results."""
    names = ("document_key", "chain_address", "sealing_key")
    return [item[name] for item in document["parties"] for name in names if item[name]]


def consenting(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parties whose consent each computation needs: providers and compute parties."""
    return [item for item in document["parties"] if item["role"] != "buyer"]


def objects_of(document: Mapping[str, Any], organization: str) -> list[dict[str, Any]]:
    """The contract's objects that a provider supplies."""
    return [item for item in document["objects"] if item["provider"] == organization]


def verify_signatures(document: Mapping[str, Any], *, keys: Sequence[str] | None = None) -> None:
    """Check that every party (or every key given) has signed; VerificationError otherwise."""
    statements.verify(document, signers=list(keys) if keys is not None else signers(document))


def _check_parties(document: Mapping[str, Any]) -> None:
    listed = document["parties"]
    for member in ("organization", "document_key", "chain_address", "sealing_key"):
        if len({item[member] for item in listed}) != len(listed):
            raise refuse("parties", f"must have distinct values of {member}")
    if len(parties(document, "buyer")) != 1:
        raise refuse("parties", "must name exactly one buyer")
    if not parties(document, "provider"):
        raise refuse("parties", "must name at least one provider")
    if document["output"]["receiver"] != buyer(document)["organization"]:
        raise refuse("output.receiver", "must be the buyer")


def _check_objects(document: Mapping[str, Any]) -> None:
    providers = {item["organization"] for item in parties(document, "provider")}
    supplying = [item["provider"] for item in document["objects"]]
    for index, provider in enumerate(supplying):
        if provider not in providers:
            raise refuse(f"objects[{index}].provider", "must be a party with the role provider")
    if set(supplying) != providers or len(supplying) != len(providers):
        raise refuse("objects", "must hold exactly one object of each provider")


def _check_computation(document: Mapping[str, Any]) -> None:
    chosen = document["computation"]
    for index, code in enumerate(chosen["operations"]):
        if code not in operations.OPERATIONS:
            raise refuse(f"computation.operations[{index}]", "is an operation that this version does not know")
        if chosen["engines"].get(code) != operations.get(code).engine:
            raise refuse(f"computation.engines.{code}", f"must be {operations.get(code).engine}")
        helpers = len(parties(document, "compute_party"))
        if operations.get(code).has_compute_party and helpers != 1:
            raise refuse("parties", f"must name exactly one compute party for {code}")
    if set(chosen["engines"]) != set(chosen["operations"]):
        raise refuse("computation.engines", "must name one engine for each operation and no other")


def _check_unit(document: Mapping[str, Any]) -> None:
    unit = document["metering"]["unit"]
    if any(unit not in operations.get(name).units for name in document["computation"]["operations"]):
        raise refuse("metering.unit", "must be one that every operation of the contract can be counted in")


def _check_money(document: Mapping[str, Any]) -> None:
    lines = document["money"]["split"]
    accounts = [line["account"] for line in lines]
    known = {"exchange", *(item["organization"] for item in document["parties"] if item["role"] != "buyer")}
    for index, account in enumerate(accounts):
        if account not in known or account in accounts[:index]:
            raise refuse(f"money.split[{index}].account", "must be the exchange or a party other than the buyer, once")
    if sum(line["basis_points"] for line in lines) != BASIS_POINTS:
        raise refuse("money.split", f"must add up to {BASIS_POINTS} basis points")
    if document["money"]["remainder_to"] not in accounts:
        raise refuse("money.remainder_to", "must be one of the split's accounts")
