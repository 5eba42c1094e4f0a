"""Who may see which step of a chain of custody: one table, one question."""

from collections.abc import Mapping
from dataclasses import dataclass

from compute.trace.steps import Kind
from contracts.access import role_in, view_of
from contracts.models import Contract
from exchange.members.models import Membership
from exchange.members.permissions import Permission, has_permission
from listings.access import is_own
from listings.models import Product

_P = Permission


@dataclass(frozen=True, slots=True)
class Need:
    """What opens a step.

    Args:
        party: what somebody acting for a party of the contract must be allowed.
        staff: what somebody else must be allowed; None: the step is public.
    """

    party: Permission
    staff: Permission | None


# Money is asked for once more at the contract's own door, because a compute party sees none of it.
NEEDS: Mapping[Kind, Need] = {
    Kind.SOURCE: Need(_P.CONTRACT_VIEW, _P.EVIDENCE_VIEW_ANY),
    Kind.CERTIFICATE: Need(_P.CONTRACT_VIEW, None),
    Kind.PRODUCT: Need(_P.CONTRACT_VIEW, None),
    Kind.CONTRACT: Need(_P.CONTRACT_VIEW, _P.CONTRACT_VIEW_ANY),
    Kind.REVOCATION: Need(_P.CONTRACT_VIEW, _P.CONTRACT_VIEW_ANY),
    Kind.REQUEST: Need(_P.COMPUTATION_VIEW, _P.COMPUTATION_VIEW_ANY),
    Kind.REVIEW: Need(_P.COMPUTATION_VIEW, _P.COMPUTATION_VIEW_ANY),
    Kind.CONSENT: Need(_P.COMPUTATION_VIEW, _P.COMPUTATION_VIEW_ANY),
    Kind.AUTHORIZATION: Need(_P.COMPUTATION_VIEW, _P.COMPUTATION_VIEW_ANY),
    Kind.RUN: Need(_P.COMPUTATION_VIEW, _P.COMPUTATION_VIEW_ANY),
    Kind.RESULT: Need(_P.COMPUTATION_VIEW, _P.COMPUTATION_VIEW_ANY),
    Kind.CHARGE: Need(_P.MONEY_VIEW, _P.MONEY_VIEW_ANY),
    Kind.RELEASE: Need(_P.COMPUTATION_VIEW, _P.COMPUTATION_VIEW_ANY),
    Kind.DELIVERY: Need(_P.COMPUTATION_VIEW, _P.COMPUTATION_VIEW_ANY),
    Kind.RECEIPT: Need(_P.COMPUTATION_VIEW, _P.LEDGER_AUDIT),
    Kind.END: Need(_P.COMPUTATION_VIEW, _P.COMPUTATION_VIEW_ANY),
    Kind.ENTRY: Need(_P.COMPUTATION_VIEW, None),
}


def may_see_step(kind: Kind, *, contract: Contract, by: Membership | None) -> bool:
    """Whether the asker may see one kind of step under a contract, beyond what the public log shows."""
    need = NEEDS[kind]
    if need.staff is None or has_permission(by, need.staff):
        return True
    is_party = bool(role_in(contract, by=by)) and has_permission(by, need.party)
    return is_party and (kind is not Kind.CHARGE or view_of(contract, by=by).money)


def may_see_product_step(kind: Kind, *, product: Product, by: Membership | None) -> bool:
    """The same for a product by itself: its provider, those who may see evidence, and everybody what is public."""
    staff = NEEDS[kind].staff
    return staff is None or is_own(product, by=by) or has_permission(by, staff)


def may_read_papers(contract: Contract, *, by: Membership | None) -> bool:
    """Whether the asker may have the signed documents themselves: the parties, and those who audit."""
    return bool(role_in(contract, by=by)) or has_permission(by, Permission.LEDGER_AUDIT)
