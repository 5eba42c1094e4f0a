"""Read models of the front pages: live figures, and what waits for whom on a workplace."""

from dataclasses import dataclass
from typing import Any

from compute.access import visible_computations
from compute.models import Computation, Consent, DataNode
from compute.states import ComputationState, ConsentState
from contracts.models import Contract
from contracts.states import SIGNABLE, ContractState
from exchange.members.models import Membership, Organization, SigningKey
from exchange.members.permissions import Permission, has_permission
from exchange.subjects.models import Objection
from ledger import publication
from ledger.models import Entry
from listings.models import Product

NEWEST = 6


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing on a workplace that somebody should do next.

    Args:
        kind: a word the template knows: sign, fund, consent, grant, keys.
        name: what it is about, for reading.
        ref: its reference, for the address.
    """

    kind: str
    name: str
    ref: str


def exchange_figures() -> dict[str, Any]:
    """The figures of the front page, counted now."""
    return {
        "products_listed": Product.objects.listed().count(),
        "contracts_effective": Contract.objects.filter(state=ContractState.EFFECTIVE.value).count(),
        "computations_released": Computation.objects.filter(state=ComputationState.RELEASED.value).count(),
        "members": Organization.objects.admitted().filter(is_exchange=False).count(),
        "overview": publication.overview(),
    }


def newest_products() -> list[Product]:
    """The products listed last."""
    return list(Product.objects.listed().with_version_of_each().order_by("-listed_at", "-pk")[:NEWEST])


def newest_entries() -> list[Entry]:
    """The last facts of the log."""
    return list(publication.entries().order_by("-pk")[:NEWEST])


def workplace(membership: Membership) -> dict[str, Any]:
    """What an organisation has here, and what waits for it."""
    organization = membership.organization
    products = Product.objects.filter(provider=organization).order_by("-pk")
    return {
        "organization": organization,
        "keys": list(SigningKey.objects.filter(organization=organization).current()),
        "node": DataNode.objects.filter(organization=organization).first(),
        "products": list(products[:NEWEST]) if has_permission(membership, Permission.PRODUCT_PROVIDE) else None,
        "contracts": list(
            Contract.objects.of(organization).select_related("buyer").order_by("-created", "-pk")[:NEWEST]
        ),
        "computations": list(visible_computations(by=membership).select_related("buyer", "contract")[:NEWEST]),
        "waiting": _waiting(membership),
    }


def _waiting(membership: Membership) -> list[Waiting]:
    organization = membership.organization
    found = []
    if not SigningKey.objects.filter(organization=organization).current().exists():
        found.append(Waiting("keys", organization.name, organization.ref))
    if has_permission(membership, Permission.CONTRACT_SIGN):
        unsigned = Contract.objects.of(organization).in_states(SIGNABLE).exclude(signatures__organization=organization)
        found += [Waiting("sign", contract.number, contract.ref) for contract in unsigned[:NEWEST]]
    if has_permission(membership, Permission.COMPUTATION_CONSENT):
        signed = Contract.objects.of(organization).in_states(frozenset({ContractState.SIGNED, ContractState.FUNDED}))
        ungranted = signed.filter(parties__organization=organization, parties__role="provider").exclude(
            grants__organization=organization
        )
        found += [Waiting("grant", contract.number, contract.ref) for contract in ungranted[:NEWEST]]
        objected = Objection.objects.to(organization).open().order_by("due_at", "pk")
        found += [Waiting("objection", one.last_day, one.ref) for one in objected[:NEWEST]]
        awaited = Consent.objects.awaited_of(organization).filter(state=ConsentState.PENDING.value)
        found += [
            Waiting("consent", consent.computation.ref, consent.computation.ref)
            for consent in awaited.select_related("computation")[:NEWEST]
        ]
    if has_permission(membership, Permission.COMPUTATION_REQUEST):
        unfunded = Contract.objects.filter(buyer=organization, state=ContractState.SIGNED.value)
        found += [Waiting("fund", contract.number, contract.ref) for contract in unfunded[:NEWEST]]
    return found


def key_history(organization: Organization) -> list[SigningKey]:
    """Every public key an organisation ever registered, newest first of each purpose."""
    return list(SigningKey.objects.filter(organization=organization).order_by("purpose", "-valid_from", "-pk"))
