"""From products and choices to the terms document that everybody signs. Pure: times and names come in.

The shape and its checks are `compute.protocol.terms`; here are the exchange's defaults (every clause
group of a data-provision contract) and what a buyer may choose. `contracts/clauses.py` renders terms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from compute.protocol import operations, shapes
from compute.protocol import terms as documents
from contracts import postings, pricing
from contracts.money import BASIS_POINTS
from exchange.kernel.errors import InvalidInput

Terms = dict[str, Any]

COMPUTE_PARTY_BASIS_POINTS = 500  # what a compute party without data earns of a run, as delivery does in venue practice
MAX_TERM_DAYS = 366


class ProposalInvalid(InvalidInput):
    """These products and choices do not make a contract."""

    code = "PROPOSAL_INVALID"


@dataclass(frozen=True, slots=True)
class Party:
    """An organisation as the terms name it, with its registered public keys."""

    organization: str
    name_zh: str
    name_en: str
    uscc: str
    document_key: str
    chain_address: str
    sealing_key: str

    def clause(self, role: str) -> dict[str, str]:
        return {**asdict(self), "role": role}


@dataclass(frozen=True, slots=True)
class Offering:
    """A listed product version as it enters a contract, frozen by its digests."""

    provider: Party
    product: str
    number: str
    version: int
    specification_digest: str
    certificate: str
    grade: int
    dataset: str
    dataset_commitment: str
    columns: tuple[str, ...]

    def clause(self, columns: Sequence[str]) -> dict[str, Any]:
        return {
            "product": self.product,
            "number": self.number,
            "version": self.version,
            "provider": self.provider.organization,
            "specification_digest": self.specification_digest,
            "certificate": self.certificate,
            "grade": self.grade,
            "dataset": self.dataset,
            "dataset_commitment": self.dataset_commitment,
            "columns": list(columns),
        }


@dataclass(frozen=True, slots=True)
class Choices:
    """What the buyer chooses; everything else follows from products and practice.

    `unit_price_fen` includes tax. `columns` narrows a product's columns, by product number.
    """

    operation: str
    purpose: str
    effective_from: datetime
    effective_to: datetime
    unit_price_fen: int
    quota_total: int = 20
    quota_per_day: int = 20
    rate_per_minute: int = 10
    unit: str = ""  # the operation's usual one, if not chosen
    tax_rate_basis_points: int = 600
    escrow_minimum_fen: int | None = None  # two runs, if not chosen
    min_cell: int = operations.MINIMUM_GROUP
    approval: str = "standing"
    max_concurrency: int = 1
    scenario_zh: str = ""
    scenario_en: str = ""
    legal_basis: str = "contract"
    consent_required: bool = False
    retention_days: int = 365
    review: str = "none"
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)


def build(
    *,
    contract: str,
    number: str,
    exchange: Mapping[str, str],
    offerings: Sequence[Offering],
    buyer: Party,
    compute_party: Party | None,
    choices: Choices,
    fee_basis_points: int,
    chain: bool,
) -> Terms:
    """Terms of a usage-metered contract over one product of each provider, unsigned and checked.

    Args:
        exchange: the `exchange` clause: names, document key, log origin and log key.
        chain: whether the evidence of grants must stand on a chain.
    Raises:
        ProposalInvalid, PriceUnsupported, DocumentInvalid: with the field that is wrong.
    """
    operation = operations.get(choices.operation)
    _check(offerings, buyer, compute_party, choices, operation)
    parties = [offering.provider.clause("provider") for offering in offerings]
    parties.append(buyer.clause("buyer"))
    if compute_party is not None:
        parties.append(compute_party.clause("compute_party"))
    minimum = choices.escrow_minimum_fen
    terms = documents.build(
        id=contract,
        number=number,
        template_kind="data_provision",
        exchange=dict(exchange),
        parties=parties,
        objects=[_object(offering, choices, operation=operation) for offering in offerings],
        purpose=_purpose(choices),
        computation={
            "operations": [operation.code],
            "techniques": list(operation.techniques),
            "engines": {operation.code: operation.engine},
            "task_kind": operation.task_kind,
            "max_concurrency": choices.max_concurrency,
            "approval": choices.approval,
        },
        output={
            "schema": operation.result,
            "receiver": buyer.organization,
            "min_cell": choices.min_cell,
            "max_bytes": 1_048_576,
            "review": choices.review,
            "retention_days": choices.retention_days,
            "onward_use": "none",
        },
        delivery={"mode": "sealed_result", "acceptance": "opens_and_verifies", "inspection_days": 3},
        metering={
            "unit": choices.unit or next(iter(operation.units)),
            "counting_rule": "released",
            "rounding": "none",
            "free_failures": True,
            "idempotency": "request_id",
        },
        quota={
            "total": choices.quota_total,
            "per_day": choices.quota_per_day,
            "rate_per_minute": choices.rate_per_minute,
        },
        term={
            "effective_from": shapes.write_time(choices.effective_from),
            "effective_to": shapes.write_time(choices.effective_to),
        },
        price={
            "currency": "CNY",
            "unit_price_fen": choices.unit_price_fen,
            "tax_rate_basis_points": choices.tax_rate_basis_points,
            "tax_included": True,
        },
        money={
            "escrow_minimum_fen": 2 * choices.unit_price_fen if minimum is None else minimum,
            "split": _split(offerings, compute_party, fee_basis_points),
            "remainder_to": offerings[0].provider.organization,
        },
        security={
            "adversary_model": "semi-honest",
            "min_grade_controls": [],
            "key_custody": "party",
            "log_retention_days": 10_950,
            "incident_notice_hours": 24,
        },
        evidence={"chain": "required" if chain else "none", "authorization": "logged"},
        data_end={"method": "crypto_erase", "deadline_days": 30, "certificate": True},
        audit={"by": ["supervisor"], "sealed_evidence": "dual_control"},
        liability={"cap_multiple": 2},
        revocation={"by": ["provider"], "in_flight": "withhold", "effect": "not_retroactive"},
        dispute={
            "negotiation_days": 7,
            "mediation": True,
            "arbitration_commission_zh": "",
            "arbitration_commission_en": "",
            "matter": "disputes out of this contract",
            "seat": "",
            "law": "PRC",
        },
    )
    pricing.check_price(terms)
    return terms


def _check(
    offerings: Sequence[Offering],
    buyer: Party,
    compute_party: Party | None,
    choices: Choices,
    operation: operations.Operation,
) -> None:
    providers = [offering.provider.organization for offering in offerings]
    least, most = operation.providers
    if not least <= len(providers) <= most or len(set(providers)) != len(providers):
        raise ProposalInvalid(
            f"{operation.code} needs one product of each of {_number(least, most)} providers; choose them."
        )
    if buyer.organization in providers:
        raise ProposalInvalid("The buyer cannot buy from itself; choose products of others.")
    if operation.has_compute_party != (compute_party is not None):
        raise ProposalInvalid(
            f"{operation.code} needs a compute party; name one."
            if operation.has_compute_party
            else f"{operation.code} runs without a compute party; leave it out."
        )
    if compute_party is not None and compute_party.organization in (*providers, buyer.organization):
        raise ProposalInvalid("The compute party holds no data and buys nothing; name an organisation of its own.")
    if choices.effective_to - choices.effective_from > timedelta(days=MAX_TERM_DAYS):
        raise ProposalInvalid(f"A contract runs for at most {MAX_TERM_DAYS} days; choose an earlier end.")
    if choices.unit and choices.unit not in operation.units:
        raise ProposalInvalid(f"{operation.code} is counted in {', '.join(operation.units)}; choose one of them.")
    if choices.quota_per_day > choices.quota_total:
        raise ProposalInvalid("The daily quota cannot exceed the total; lower it.")
    unknown = set(choices.columns) - {offering.number for offering in offerings}
    if unknown:
        raise ProposalInvalid("Columns are chosen for a product that is not in this contract; leave them out.")


def _number(least: int, most: int) -> str:
    return f"exactly {least}" if least == most else f"{least} to {most}"


def _object(offering: Offering, choices: Choices, *, operation: operations.Operation) -> dict[str, Any]:
    wanted = choices.columns.get(offering.number)
    if wanted is None and operation.names_text:
        raise ProposalInvalid(f"Choose the columns of {offering.number}: {operation.code} can name texts, too.")
    if wanted is None:
        return offering.clause(offering.columns)
    if not set(wanted) <= set(offering.columns):
        raise ProposalInvalid(f"{offering.number} does not offer every column chosen; choose from its list.")
    return offering.clause([column for column in offering.columns if column in set(wanted)])


def _purpose(choices: Choices) -> dict[str, Any]:
    return {
        "code": choices.purpose,
        "scenario_zh": choices.scenario_zh,
        "scenario_en": choices.scenario_en,
        "legal_basis": choices.legal_basis,
        "consent_required": choices.consent_required,
        "prohibited_uses": ["re_identification", "resale", "onward_transfer", "model_training"],
    }


def _split(offerings: Sequence[Offering], compute_party: Party | None, fee: int) -> list[dict[str, Any]]:
    """The exchange's fee, the compute party's share, and equal shares of the rest; odd points go to the first."""
    helper = COMPUTE_PARTY_BASIS_POINTS if compute_party is not None else 0
    each, odd = divmod(BASIS_POINTS - fee - helper, len(offerings))
    lines = [{"account": postings.EXCHANGE, "basis_points": fee}]
    if compute_party is not None:
        lines.append({"account": compute_party.organization, "basis_points": helper})
    for index, offering in enumerate(offerings):
        lines.append({"account": offering.provider.organization, "basis_points": each + (odd if index == 0 else 0)})
    return lines
