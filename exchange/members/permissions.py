"""Who may do and see what: two tables, and the one question everybody asks them.

A membership ties a person to an organisation in one role. A role counts only where it belongs: staff
roles at the exchange, member roles at an admitted organisation. What no role holds, nobody may see:
provider rows, plaintext results and private keys have no permission, because the exchange has none of them.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from exchange.kernel.errors import PermissionRefused
from exchange.members.errors import MembershipMissing, OrganizationNotAdmitted
from exchange.members.states import OrganizationStatus

if TYPE_CHECKING:
    from exchange.members.models import Membership


class Role(StrEnum):
    """The roles of the exchange."""

    PROVIDER = "provider"
    SOURCE_UNIT = "source_unit"
    OPERATOR = "operator"
    BUYER = "buyer"
    ADMISSION_OFFICER = "admission_officer"
    REGISTRAR = "registrar"
    COMPLIANCE_REVIEWER = "compliance_reviewer"
    QUALITY_REVIEWER = "quality_reviewer"
    ALGORITHM_REVIEWER = "algorithm_reviewer"
    LISTING_OFFICER = "listing_officer"
    SETTLEMENT_CLERK = "settlement_clerk"
    MEDIATOR = "mediator"
    AUDITOR = "auditor"
    SUPERVISOR = "supervisor"
    OPS = "ops"
    BROKER = "broker"
    COMPLIANCE_ASSESSOR = "compliance_assessor"
    QUALITY_ASSESSOR = "quality_assessor"
    VALUER = "valuer"
    DELIVERY_PARTY = "delivery_party"
    ARBITRAL_BODY = "arbitral_body"
    DATA_SUBJECT = "data_subject"


class Permission(StrEnum):
    """Things to do or see. `VIEW_ANY` reaches across organisations; everything else stays at one's own."""

    # one's own organisation
    KEY_MANAGE = "key.manage"
    MEMBERSHIP_MANAGE = "membership.manage"
    # admission
    ORGANIZATION_REVIEW = "organization.review"
    ORGANIZATION_VIEW_ANY = "organization.view_any"
    STAFF_MANAGE = "staff.manage"
    # products
    PRODUCT_PROVIDE = "product.provide"
    PRODUCT_REVIEW = "product.review"
    PRODUCT_CERTIFY = "product.certify"
    PRODUCT_LIST = "product.list"
    PRODUCT_VIEW_ANY = "product.view_any"
    EVIDENCE_VIEW_ANY = "evidence.view_any"
    # contracts and money
    CONTRACT_PROPOSE = "contract.propose"
    CONTRACT_SIGN = "contract.sign"
    CONTRACT_REVOKE = "contract.revoke"
    CONTRACT_VIEW = "contract.view"
    CONTRACT_VIEW_ANY = "contract.view_any"
    MONEY_VIEW = "money.view"
    MONEY_VIEW_ANY = "money.view_any"
    MONEY_CONFIRM = "money.confirm"
    DISPUTE_MEDIATE = "dispute.mediate"
    # computations
    COMPUTATION_REQUEST = "computation.request"
    COMPUTATION_CONSENT = "computation.consent"
    COMPUTATION_REVIEW = "computation.review"
    COMPUTATION_VIEW = "computation.view"
    COMPUTATION_VIEW_ANY = "computation.view_any"
    RESULT_RECEIVE = "result.receive"
    # running and oversight
    LEDGER_AUDIT = "ledger.audit"
    HEALTH_VIEW = "health.view"


_OWN = frozenset({Permission.KEY_MANAGE, Permission.MEMBERSHIP_MANAGE})
_PARTY = _OWN | {
    Permission.CONTRACT_SIGN,
    Permission.CONTRACT_VIEW,
    Permission.MONEY_VIEW,
    Permission.COMPUTATION_VIEW,
}
_PROVIDING = _PARTY | {Permission.PRODUCT_PROVIDE, Permission.CONTRACT_REVOKE, Permission.COMPUTATION_CONSENT}
_OVERSIGHT = frozenset(
    {
        Permission.ORGANIZATION_VIEW_ANY,
        Permission.PRODUCT_VIEW_ANY,
        Permission.EVIDENCE_VIEW_ANY,
        Permission.CONTRACT_VIEW_ANY,
        Permission.MONEY_VIEW_ANY,
        Permission.COMPUTATION_VIEW_ANY,
        Permission.LEDGER_AUDIT,
        Permission.HEALTH_VIEW,
    }
)

ROLE_PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.PROVIDER: _PROVIDING,
    Role.OPERATOR: _PROVIDING,
    Role.SOURCE_UNIT: _OWN | {Permission.CONTRACT_VIEW, Permission.COMPUTATION_VIEW},
    Role.BUYER: _PARTY | {Permission.CONTRACT_PROPOSE, Permission.COMPUTATION_REQUEST, Permission.RESULT_RECEIVE},
    Role.DELIVERY_PARTY: _OWN
    | {
        Permission.CONTRACT_SIGN,
        Permission.CONTRACT_VIEW,
        Permission.COMPUTATION_CONSENT,
        Permission.COMPUTATION_VIEW,
    },
    Role.ADMISSION_OFFICER: frozenset({Permission.ORGANIZATION_REVIEW, Permission.ORGANIZATION_VIEW_ANY}),
    Role.REGISTRAR: frozenset({Permission.PRODUCT_CERTIFY, Permission.PRODUCT_VIEW_ANY, Permission.EVIDENCE_VIEW_ANY}),
    Role.COMPLIANCE_REVIEWER: frozenset(
        {
            Permission.PRODUCT_REVIEW,
            Permission.PRODUCT_VIEW_ANY,
            Permission.EVIDENCE_VIEW_ANY,
            Permission.CONTRACT_VIEW_ANY,
            Permission.COMPUTATION_REVIEW,
            Permission.COMPUTATION_VIEW_ANY,
        }
    ),
    Role.QUALITY_REVIEWER: frozenset({Permission.PRODUCT_VIEW_ANY}),
    Role.ALGORITHM_REVIEWER: frozenset({Permission.COMPUTATION_REVIEW, Permission.COMPUTATION_VIEW_ANY}),
    Role.LISTING_OFFICER: frozenset({Permission.PRODUCT_LIST, Permission.PRODUCT_VIEW_ANY}),
    Role.SETTLEMENT_CLERK: frozenset({Permission.MONEY_CONFIRM, Permission.MONEY_VIEW_ANY}),
    Role.MEDIATOR: frozenset({Permission.DISPUTE_MEDIATE, Permission.CONTRACT_VIEW_ANY, Permission.LEDGER_AUDIT}),
    Role.AUDITOR: _OVERSIGHT,
    Role.SUPERVISOR: _OVERSIGHT,
    Role.OPS: frozenset({Permission.HEALTH_VIEW, Permission.STAFF_MANAGE}),
    Role.BROKER: _OWN,
    Role.COMPLIANCE_ASSESSOR: _OWN,
    Role.QUALITY_ASSESSOR: _OWN,
    Role.VALUER: _OWN,
    Role.ARBITRAL_BODY: _OWN,
    Role.DATA_SUBJECT: frozenset(),
}

STAFF_ROLES = frozenset(
    {
        Role.ADMISSION_OFFICER,
        Role.REGISTRAR,
        Role.COMPLIANCE_REVIEWER,
        Role.QUALITY_REVIEWER,
        Role.ALGORITHM_REVIEWER,
        Role.LISTING_OFFICER,
        Role.SETTLEMENT_CLERK,
        Role.MEDIATOR,
        Role.AUDITOR,
        Role.SUPERVISOR,
        Role.OPS,
    }
)
MEMBER_ROLES = frozenset(Role) - STAFF_ROLES - {Role.DATA_SUBJECT}

# Registration of keys and colleagues is part of applying, so it does not wait for admission.
_BEFORE_ADMISSION = _OWN
_OPEN = frozenset(
    {
        OrganizationStatus.APPLIED,
        OrganizationStatus.IN_VERIFICATION,
        OrganizationStatus.MORE_INFO,
        OrganizationStatus.ADMITTED,
    }
)
# A suspended member may still look at what is its own; it may not act.
_WHILE_SUSPENDED = frozenset(
    {Permission.CONTRACT_VIEW, Permission.COMPUTATION_VIEW, Permission.MONEY_VIEW, Permission.CONTRACT_REVOKE}
)


def is_staff(membership: "Membership | None") -> bool:
    """Whether somebody acts for the exchange itself."""
    return membership is not None and membership.organization.is_exchange and membership.role in STAFF_ROLES


def has_permission(membership: "Membership | None", permission: Permission) -> bool:
    """Whether this membership's role holds the permission, at this organisation, as it stands now."""
    return _holds(membership, permission) and _standing(membership, permission)


def check_permission(membership: "Membership | None", permission: Permission) -> None:
    """Raise unless the membership holds the permission.

    Raises:
        MembershipMissing: a visitor, or a person without an organisation.
        OrganizationNotAdmitted: the role would do, but the organisation is not admitted or suspended.
        PermissionRefused: the role does not hold it.
    """
    if membership is None:
        raise MembershipMissing("You act for no organisation here; sign in, or ask a colleague to add you.")
    if not _holds(membership, permission):
        raise PermissionRefused("Your role does not include this step; a colleague with the right role can do it.")
    if not _standing(membership, permission):
        raise OrganizationNotAdmitted(
            "Your organisation is not admitted at present; ask the exchange's admission desk."
        )


def _holds(membership: "Membership | None", permission: Permission) -> bool:
    if membership is None:
        return False
    role = Role(membership.role)
    belongs = (role in STAFF_ROLES) == membership.organization.is_exchange
    return belongs and permission in ROLE_PERMISSIONS[role]


def _standing(membership: "Membership | None", permission: Permission) -> bool:
    if membership is None:
        return False
    status = OrganizationStatus(membership.organization.status)
    if status == OrganizationStatus.ADMITTED:
        return True
    if status == OrganizationStatus.SUSPENDED:
        return permission in _WHILE_SUSPENDED
    return status in _OPEN and permission in _BEFORE_ADMISSION
