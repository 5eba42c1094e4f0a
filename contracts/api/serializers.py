"""How contracts look in the API, and how requests to it are read."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from contracts.access import View
from contracts.actions import settlements
from contracts.models import Account, Contract, Grant, Meter, Revocation, Settlement, Signature, Transfer
from contracts.postings import AccountKind
from contracts.terms import Choices
from contracts.usage import Unit
from exchange.members.models import Organization
from exchange.web.serializers import StrictSerializer
from ledger import actions as ledger

Data = dict[str, Any]
_DAYS = 365
_BIG = 10**12


class PurposeSerializer(StrictSerializer[Data]):
    """What the results are for."""

    code = serializers.RegexField(r"^[a-z][a-z0-9_]{0,63}$")
    scenario_zh = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    scenario_en = serializers.CharField(max_length=4000, required=False, allow_blank=True)
    legal_basis = serializers.CharField(max_length=400, required=False)
    consent_required = serializers.BooleanField(required=False)


class QuotaSerializer(StrictSerializer[Data]):
    """How often the contract may be used."""

    total = serializers.IntegerField(min_value=1, max_value=1_000_000_000)
    per_day = serializers.IntegerField(min_value=1, max_value=1_000_000_000, required=False)
    rate_per_minute = serializers.IntegerField(min_value=1, max_value=1_000_000, required=False)


class TermSerializer(StrictSerializer[Data]):
    """From when to when."""

    effective_from = serializers.DateTimeField()
    effective_to = serializers.DateTimeField()


class ProposalSerializer(StrictSerializer[Data]):
    """A buyer's proposal: products, an operation, and whatever else it chooses."""

    products = serializers.ListField(child=serializers.CharField(max_length=64), min_length=1, max_length=16)
    operation = serializers.CharField(max_length=64)
    compute_party = serializers.CharField(max_length=64, required=False, allow_null=True)
    purpose = PurposeSerializer()
    unit_price_fen = serializers.IntegerField(min_value=0, max_value=_BIG)
    tax_rate_basis_points = serializers.IntegerField(min_value=0, max_value=10_000, required=False)
    escrow_minimum_fen = serializers.IntegerField(min_value=0, max_value=_BIG, required=False)
    quota = QuotaSerializer(required=False)
    unit = serializers.ChoiceField(choices=[unit.value for unit in Unit], required=False)
    term = TermSerializer(required=False)
    approval = serializers.ChoiceField(choices=["standing", "per_run"], required=False)
    max_concurrency = serializers.IntegerField(min_value=1, max_value=100, required=False)
    min_cell = serializers.IntegerField(min_value=10, max_value=1_000_000, required=False)
    review = serializers.ChoiceField(choices=["none", "manual"], required=False)
    retention_days = serializers.IntegerField(min_value=0, max_value=36_500, required=False)
    columns = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField(max_length=63), min_length=1), required=False
    )

    def choices(self, *, now: datetime | None = None) -> Choices:
        """The buyer's choices; what was left out takes the exchange's defaults."""
        data = dict(self.validated_data)
        purpose, quota, term = data.pop("purpose"), data.pop("quota", {}), data.pop("term", None)
        for name in ("products", "compute_party"):
            data.pop(name, None)
        start = (now or timezone.now()).replace(microsecond=0)
        total = quota.get("total")
        limits = {} if total is None else {"quota_total": total, "quota_per_day": quota.get("per_day", total)}
        if "rate_per_minute" in quota:
            limits["rate_per_minute"] = quota["rate_per_minute"]
        return Choices(
            purpose=purpose.pop("code"),
            effective_from=term["effective_from"] if term else start,
            effective_to=term["effective_to"] if term else start + timedelta(days=_DAYS),
            **purpose,
            **limits,
            **data,
        )


class SignedDocumentSerializer(StrictSerializer[Data]):
    """A signed document; a revocation may bring a signature for the chain."""

    document = serializers.JSONField()
    chain_signature = serializers.RegexField(r"^0x[0-9a-fA-F]{130}$", required=False, allow_null=True)

    def validate_document(self, value: Any) -> Data:
        if not isinstance(value, dict):
            raise serializers.ValidationError("must be a JSON object")
        return value


class DepositSerializer(StrictSerializer[Data]):
    """A line of the bank's statement."""

    amount_fen = serializers.IntegerField(min_value=1, max_value=_BIG)
    reference = serializers.CharField(max_length=100)


class ReasonSerializer(StrictSerializer[Data]):
    """Why staff decided so."""

    reason = serializers.CharField(max_length=400)


def summary(contract: Contract) -> Data:
    """A contract in a list."""
    price, quota = contract.terms["price"], contract.terms["quota"]
    return {
        "ref": contract.ref,
        "urn": contract.urn,
        "number": contract.number,
        "state": contract.state,
        "state_since": contract.state_since.isoformat(),
        "created": contract.created.isoformat(),
        "buyer": contract.buyer.urn,
        "operations": contract.terms["computation"]["operations"],
        "purpose": contract.terms["purpose"]["code"],
        "unit_price_fen": price["unit_price_fen"],
        "quota_total": quota["total"],
        "terms_digest": contract.terms_digest,
    }


def detail(contract: Contract, view: View) -> Data:
    """One contract, as far as the asker may see it; `terms` carries the proofs of all who signed."""
    signatures = list(Signature.objects.filter(contract=contract).select_related("organization"))
    proofs = [one.proof for one in signatures]
    terms = view.terms(contract)
    return {
        **summary(contract),
        "terms": {**terms, "proof": proofs} if proofs else terms,
        "reason": contract.end_reason,
        "your_role": view.role,
        "signatures": [
            {
                "organization": one.organization.urn,
                "document_key": one.document_key,
                "received": one.received.isoformat(),
            }
            for one in signatures
        ],
        "grants": [_grant(one) for one in Grant.objects.filter(contract=contract).select_related("organization")],
        "revocations": list(Revocation.objects.filter(contract=contract).values_list("document", flat=True)),
        "meter": meter(contract),
        "money": money(contract) if view.money else None,
    }


def meter(contract: Contract) -> Data:
    """The meter's figures."""
    found = Meter.objects.get(contract=contract)
    return {
        "unit": found.unit,
        "limit": found.limit,
        "reserved": found.reserved,
        "committed": found.committed,
        "left": found.left,
        "per_day": found.per_day,
        "rate_per_minute": found.rate_per_minute,
    }


def money(contract: Contract) -> Data:
    """Balances of the contract's own accounts, and its transfers."""
    return {
        "currency": contract.terms["price"]["currency"],
        "escrow_fen": Account.objects.balance_of(contract, AccountKind.ESCROW),
        "held_fen": Account.objects.balance_of(contract, AccountKind.HELD),
        "escrow_minimum_fen": contract.terms["money"]["escrow_minimum_fen"],
        "transfers": [transfer(one) for one in transfers(contract)],
    }


def transfers(contract: Contract) -> list[Transfer]:
    """A contract's transfers with their legs, oldest first."""
    return list(
        Transfer.objects.filter(contract=contract).prefetch_related("postings__account__organization").order_by("pk")
    )


def transfer(one: Transfer) -> Data:
    """One transfer and its legs."""
    return {
        "kind": one.kind,
        "subject": one.subject,
        "at": one.at.isoformat(),
        "postings": [
            {
                "account": leg.account.kind,
                "organization": leg.account.organization.urn if leg.account.organization else None,
                "amount_fen": leg.amount_fen,
            }
            for leg in one.postings.all()
        ],
    }


def statement(contract: Contract, *, period: str) -> Data:
    """The statement of a period: the issued one where there is one, else as things stand."""
    settlements.check_period(period)
    issued = Settlement.objects.filter(contract=contract, period=period).first()
    document = issued.document if issued else settlements.statement(contract=contract, period=period)
    periods = Settlement.objects.filter(contract=contract).values_list("period", flat=True)
    return {"statement": document, "issued": issued is not None, "issued_periods": list(periods)}


def _grant(one: Grant) -> Data:
    record = ledger.chain_record(one.record_key)
    organization: Organization = one.organization
    return {
        "organization": organization.urn,
        "grant_id": one.grant_id,
        "state": one.state,
        "cap": one.document["cap"],
        "chain_id": one.document["chain_id"],
        "contract_address": one.document["contract_address"],
        "transaction": record.transaction_hash if record else "",
        "block_number": record.block_number if record else None,
    }
