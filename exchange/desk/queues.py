"""Read models of the staff desk: what waits for whom, and how the exchange itself is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from compute import queues as compute_queues
from contracts.models import Account, Contract
from contracts.postings import AccountKind
from contracts.querysets import ContractQuerySet
from contracts.states import FUNDABLE, ContractState
from exchange.members.models import Membership, Organization, SigningKey
from exchange.members.permissions import Permission, has_permission
from exchange.subjects import queues as subject_queues
from ledger import publication
from ledger.actions import chain_alarms
from ledger.actions.log import HELD_BY_WITNESS
from ledger.models import AnchorAttempt, ChainRecord, Log, Pending, Witness
from listings.models import Product
from listings.states import ProductState

# Which states of a product are whose work.
_DESKS: Sequence[tuple[Permission, ProductState]] = (
    (Permission.PRODUCT_REVIEW, ProductState.SUBMITTED),
    (Permission.PRODUCT_CERTIFY, ProductState.APPROVED),
    (Permission.PRODUCT_LIST, ProductState.CERTIFIED),
    (Permission.PRODUCT_LIST, ProductState.LISTED),
    (Permission.PRODUCT_LIST, ProductState.SUSPENDED),
)
_WAITING = (ProductState.SUBMITTED, ProductState.APPROVED, ProductState.CERTIFIED)


@dataclass(frozen=True, slots=True)
class Desk:
    """One queue as the front of the desk shows it.

    Args:
        code: the word by which templates know it.
        count: how many wait.
        is_mine: whether the reader's role works on it.
    """

    code: str
    count: int
    is_mine: bool


def desks(*, by: Membership) -> list[Desk]:
    """Every queue the reader may look into, with how many wait."""
    found = []
    if has_permission(by, Permission.ORGANIZATION_VIEW_ANY):
        mine = has_permission(by, Permission.ORGANIZATION_REVIEW)
        found.append(Desk("organizations", applications().count(), mine))
    if has_permission(by, Permission.PRODUCT_VIEW_ANY):
        mine = any(has_permission(by, permission) for permission, _ in _DESKS)
        found.append(Desk("products", products_to_do(by=by).count(), mine))
    if has_permission(by, Permission.COMPUTATION_VIEW_ANY):
        mine = has_permission(by, Permission.COMPUTATION_REVIEW)
        found.append(Desk("computations", compute_queues.to_review(by=by).count(), mine))
        found.append(Desk("objections", subject_queues.waiting(), False))  # the providers answer them
    if has_permission(by, Permission.MONEY_VIEW_ANY):
        found.append(Desk("deposits", to_fund().count(), has_permission(by, Permission.MONEY_CONFIRM)))
    if has_permission(by, Permission.HEALTH_VIEW):
        found.append(Desk("health", len(alarms()), True))
    return found


def applications() -> QuerySet[Organization]:
    """Organisations that wait for the admission desk, oldest first."""
    return Organization.objects.awaiting_decision()


def members() -> QuerySet[Organization]:
    """Everybody else who ever applied."""
    return Organization.objects.filter(is_exchange=False).exclude(pk__in=applications().values("pk"))


def keys_of(organization: Organization) -> list[SigningKey]:
    """The keys an applicant has registered."""
    return list(SigningKey.objects.filter(organization=organization).current())


def products_to_do(*, by: Membership) -> QuerySet[Product]:
    """Products in a state from which the reader's role moves them on; for onlookers, all that wait."""
    mine = [state.value for permission, state in _DESKS if has_permission(by, permission) and state in _WAITING]
    states = mine or [state.value for state in _WAITING]
    return Product.objects.filter(state__in=states).with_version().order_by("state_since", "pk")


def products_decided() -> QuerySet[Product]:
    """Products that are past the desk."""
    past = (ProductState.LISTED, ProductState.SUSPENDED, ProductState.DELISTED, ProductState.REJECTED)
    return Product.objects.in_states(*past).with_version().order_by("-state_since", "-pk")


def to_fund() -> ContractQuerySet:
    """Signed contracts whose escrow has not reached its minimum yet."""
    return (
        Contract.objects.in_states(FUNDABLE).filter(~Q(state="effective")).select_related("buyer").order_by("created")
    )


def fundable() -> list[tuple[Contract, int]]:
    """Every contract that takes deposits, with its escrow in fen; those that wait first."""
    contracts = Contract.objects.in_states(FUNDABLE).select_related("buyer").order_by("created", "pk")
    escrows = Account.objects.filter(contract__in=contracts, kind=AccountKind.ESCROW.value)
    balances = dict(escrows.values_list("contract_id", "balance_fen"))
    waiting_first = sorted(contracts, key=lambda one: one.state == ContractState.EFFECTIVE)
    return [(one, balances.get(one.pk, 0)) for one in waiting_first]


def alarms() -> list[str]:
    """What is wrong with log and chain, as words the template knows."""
    found = []
    log = Log.objects.current()
    if log is not None and log.alarm:
        found.append(log.alarm)
    if Witness.objects.filter(withdrawn_at=None, trouble=HELD_BY_WITNESS).exists():
        found.append(HELD_BY_WITNESS)
    return found + [alarm.value for alarm in chain_alarms.chain_alarms(now=timezone.now())]


def health(*, now: datetime) -> dict[str, Any]:
    """How the log, the chain and the nodes are."""
    return {
        "overview": publication.overview(),
        "log": Log.objects.current(),
        "alarms": alarms(),
        "pending": Pending.objects.count(),
        "open_attempts": AnchorAttempt.objects.filter(state__in=["prepared", "sent"]).count(),
        "records": list(ChainRecord.objects.order_by("-created", "-pk")[:20]),
        "nodes": compute_queues.nodes(now=now),
    }
