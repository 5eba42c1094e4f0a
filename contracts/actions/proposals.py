"""Proposals: a buyer's products and choices become terms that wait for everybody's signature."""

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from compute.protocol import operations
from contracts import offerings
from contracts.actions import moves
from contracts.models import Contract, ContractParty, ContractSerial, Meter
from contracts.states import ContractState
from contracts.terms import Choices, Terms, build
from exchange.kernel import identifiers
from exchange.members.models import Membership, Organization
from exchange.members.permissions import Permission, check_permission
from ledger import keys as own_keys
from ledger.actions import deployments
from ledger.actions import log as open_log
from ledger.kinds import EntryKind
from ledger.proofs import statements


@transaction.atomic
def propose(*, products: Sequence[str], choices: Choices, by: Membership, compute_party: str | None = None) -> Contract:
    """Write the terms of a contract over listed products; from here on they are frozen by their digest.

    Args:
        products: ULIDs, URNs or numbers, one product of each provider.
        compute_party: ULID or URN of the organisation that computes without data, where one is needed.
    Raises:
        ProposalInvalid, ProductNotOffered, PartyKeysMissing, DocumentInvalid: with what to change.
    """
    check_permission(by, Permission.CONTRACT_PROPOSE)
    now = timezone.now()
    ref = identifiers.new_ulid()
    terms = build(
        contract=identifiers.make_urn("contract", ref),
        number=_next_number(now),
        exchange=_exchange(),
        offerings=offerings.offerings(products, with_text=operations.get(choices.operation).names_text),
        buyer=offerings.party(by.organization),
        compute_party=offerings.party(offerings.organization(compute_party)) if compute_party else None,
        choices=choices,
        fee_basis_points=settings.EXCHANGE_FEE_BASIS_POINTS,
        chain=deployments.current_deployment() is not None,
    )
    contract = Contract.objects.create(
        ref=ref,
        number=terms["number"],
        buyer=by.organization,
        terms=terms,
        terms_digest=statements.digest(terms),
        state=ContractState.DRAFT.value,
        state_since=now,
        created=now,
        proposed_by=by.user,
    )
    _write_parties(contract, terms)
    Meter.objects.create(
        contract=contract,
        unit=terms["metering"]["unit"],
        limit=terms["quota"]["total"],
        per_day=terms["quota"]["per_day"],
        rate_per_minute=terms["quota"]["rate_per_minute"],
    )
    moves.move(contract, ContractState.PROPOSED, now=now)
    moves.note(
        contract,
        EntryKind.CONTRACT_PROPOSED,
        issuer=by.organization.urn,
        payload={"number": contract.number, "parties": [party["organization"] for party in terms["parties"]]},
        key=f"contract.proposed:{ref}",
    )
    return contract


def _write_parties(contract: Contract, terms: Terms) -> None:
    refs = {identifiers.parse_urn(party["organization"], kind="org"): party["role"] for party in terms["parties"]}
    members = {one.ref: one for one in Organization.objects.filter(ref__in=refs)}
    ContractParty.objects.bulk_create(
        ContractParty(contract=contract, organization=members[ref], role=role, position=position)
        for position, (ref, role) in enumerate(refs.items())
    )


def _exchange() -> dict[str, str]:
    log_origin, log_key = open_log.identity()
    return {
        "name_zh": settings.EXCHANGE_NAME_ZH,
        "name_en": settings.EXCHANGE_NAME_EN,
        "document_key": own_keys.exchange_keys().document_key,
        "log_origin": log_origin,
        "log_key": log_key,
    }


def _next_number(now: datetime) -> str:
    year_month = timezone.localdate(now).strftime("%Y%m")
    try:
        with transaction.atomic():
            ContractSerial.objects.get_or_create(year_month=year_month)
    except IntegrityError:  # another proposal made the row first
        pass
    serial = ContractSerial.objects.select_for_update().get(year_month=year_month)
    serial.last += 1
    serial.save(update_fields=["last"])
    return identifiers.number("DTC", exchange=settings.EXCHANGE_CODE, year_month=year_month, serial=serial.last)
