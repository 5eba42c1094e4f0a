"""The only door to contracts: who may see which, and how much of each.

Parties see their contracts; staff by permission. The settlement clerk sees money, meter and the purpose's
code, but not the purpose's scenario or legal basis; reviewers see terms and no balances; a compute party
signs the terms and sees no balances.
"""

from dataclasses import dataclass
from typing import Any

from contracts.errors import ContractNotFound
from contracts.models import Contract, ContractParty
from contracts.querysets import ContractQuerySet
from exchange.kernel import identifiers
from exchange.members.models import Membership
from exchange.members.permissions import Permission, has_permission

_HIDDEN = "—"
_PURPOSE_DETAILS = ("scenario_zh", "scenario_en", "legal_basis")


@dataclass(frozen=True, slots=True)
class View:
    """How much of a contract somebody may see."""

    purpose: bool
    money: bool
    role: str  # the asker's role in the contract, or empty

    def terms(self, contract: Contract) -> dict[str, Any]:
        """The terms as far as they may be seen; without purpose details they no longer match their digest."""
        terms: dict[str, Any] = contract.terms
        if self.purpose:
            return terms
        hidden = dict.fromkeys(_PURPOSE_DETAILS, _HIDDEN)
        return {**terms, "purpose": {**terms["purpose"], **hidden}}


def visible_contracts(*, by: Membership | None) -> ContractQuerySet:
    """The contracts somebody may see, newest first; nobody sees none."""
    contracts = Contract.objects.select_related("buyer").order_by("-created", "-pk")
    if has_permission(by, Permission.CONTRACT_VIEW_ANY) or has_permission(by, Permission.MONEY_VIEW_ANY):
        return contracts
    if by is not None and has_permission(by, Permission.CONTRACT_VIEW):
        return contracts.filter(parties__organization=by.organization)
    return contracts.none()


def access_contract(ref: str, *, by: Membership | None) -> Contract:
    """The contract of a ULID, URN or number, if the asker may know of it.

    Raises:
        ContractNotFound: there is none, or it is none of the asker's business; which of the two is not said.
    """
    if ref.startswith("urn:"):
        try:
            ref = identifiers.parse_urn(ref, kind="contract")
        except ValueError:
            ref = ""
    contract = visible_contracts(by=by).by_ref(ref)
    if contract is None:
        raise ContractNotFound("There is no contract of yours by this reference; look at your list of contracts.")
    return contract


def view_of(contract: Contract, *, by: Membership | None) -> View:
    """How much of a contract, to which access was given, the asker may see."""
    role = role_in(contract, by=by)
    money = has_permission(by, Permission.MONEY_VIEW_ANY) or (
        role in ("buyer", "provider") and has_permission(by, Permission.MONEY_VIEW)
    )
    purpose = bool(role) or has_permission(by, Permission.CONTRACT_VIEW_ANY)
    return View(purpose=purpose, money=money, role=role)


def role_in(contract: Contract, *, by: Membership | None) -> str:
    """The role of the asker's organisation in the contract, or empty."""
    if by is None:
        return ""
    found = ContractParty.objects.filter(contract=contract, organization=by.organization)
    return found.values_list("role", flat=True).first() or ""
