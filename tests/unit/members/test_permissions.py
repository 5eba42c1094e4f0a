"""Who may do and see what: the table of the domain reference, row by row."""

import pytest

from exchange.kernel.errors import PermissionRefused
from exchange.members.errors import MembershipMissing, OrganizationNotAdmitted
from exchange.members.permissions import (
    MEMBER_ROLES,
    ROLE_PERMISSIONS,
    STAFF_ROLES,
    Permission,
    Role,
    check_permission,
    has_permission,
)
from exchange.members.states import OrganizationStatus
from tests.factories import members

P = Permission

# role → what it must never see or do, as far as this system has it ("must never see" of the role table).
NEVER = {
    Role.PROVIDER: {P.RESULT_RECEIVE, P.COMPUTATION_VIEW_ANY, P.PRODUCT_VIEW_ANY, P.CONTRACT_VIEW_ANY},
    Role.SOURCE_UNIT: {P.RESULT_RECEIVE, P.MONEY_VIEW_ANY, P.COMPUTATION_VIEW_ANY},
    Role.OPERATOR: {P.RESULT_RECEIVE, P.COMPUTATION_VIEW_ANY},
    Role.BUYER: {P.PRODUCT_VIEW_ANY, P.CONTRACT_VIEW_ANY, P.COMPUTATION_VIEW_ANY, P.EVIDENCE_VIEW_ANY},
    Role.ADMISSION_OFFICER: {P.PRODUCT_VIEW_ANY, P.EVIDENCE_VIEW_ANY, P.RESULT_RECEIVE, P.COMPUTATION_VIEW_ANY},
    Role.REGISTRAR: {P.MONEY_VIEW, P.MONEY_VIEW_ANY, P.CONTRACT_VIEW_ANY, P.RESULT_RECEIVE},
    Role.COMPLIANCE_REVIEWER: {P.RESULT_RECEIVE, P.MONEY_VIEW_ANY},
    Role.QUALITY_REVIEWER: {P.EVIDENCE_VIEW_ANY, P.COMPUTATION_VIEW_ANY, P.RESULT_RECEIVE},
    Role.ALGORITHM_REVIEWER: {P.RESULT_RECEIVE, P.EVIDENCE_VIEW_ANY, P.PRODUCT_VIEW_ANY},
    Role.LISTING_OFFICER: {P.EVIDENCE_VIEW_ANY, P.MONEY_VIEW_ANY, P.COMPUTATION_VIEW_ANY},
    Role.SETTLEMENT_CLERK: {P.CONTRACT_VIEW_ANY, P.COMPUTATION_VIEW_ANY, P.RESULT_RECEIVE, P.EVIDENCE_VIEW_ANY},
    Role.MEDIATOR: {P.RESULT_RECEIVE, P.COMPUTATION_VIEW_ANY, P.EVIDENCE_VIEW_ANY},
    Role.AUDITOR: {P.RESULT_RECEIVE, P.COMPUTATION_REVIEW, P.MONEY_CONFIRM, P.PRODUCT_REVIEW, P.CONTRACT_SIGN},
    Role.SUPERVISOR: {P.RESULT_RECEIVE, P.COMPUTATION_REVIEW, P.MONEY_CONFIRM, P.PRODUCT_CERTIFY},
    Role.OPS: {P.KEY_MANAGE, P.CONTRACT_VIEW_ANY, P.PRODUCT_VIEW_ANY, P.COMPUTATION_VIEW_ANY, P.MONEY_VIEW_ANY},
    Role.BROKER: {P.CONTRACT_VIEW, P.COMPUTATION_VIEW, P.RESULT_RECEIVE, P.PRODUCT_VIEW_ANY},
    Role.COMPLIANCE_ASSESSOR: {P.COMPUTATION_VIEW, P.RESULT_RECEIVE},
    Role.QUALITY_ASSESSOR: {P.COMPUTATION_VIEW, P.RESULT_RECEIVE},
    Role.VALUER: {P.COMPUTATION_VIEW, P.RESULT_RECEIVE},
    Role.DELIVERY_PARTY: {P.RESULT_RECEIVE, P.PRODUCT_PROVIDE, P.MONEY_VIEW, P.CONTRACT_REVOKE},
    Role.ARBITRAL_BODY: {P.CONTRACT_VIEW_ANY, P.COMPUTATION_VIEW_ANY, P.RESULT_RECEIVE},
    Role.DATA_SUBJECT: set(Permission),
}


def test_every_role_has_a_row_in_both_tables():
    assert set(ROLE_PERMISSIONS) == set(Role) == set(NEVER)


@pytest.mark.parametrize("role", list(Role))
def test_no_role_holds_what_it_must_never_see(role):
    assert ROLE_PERMISSIONS[role] & NEVER[role] == set()


def test_only_the_buyer_receives_a_result():
    assert {role for role in Role if P.RESULT_RECEIVE in ROLE_PERMISSIONS[role]} == {Role.BUYER}


def test_registering_and_reviewing_never_meet_in_one_role():
    assert not any({P.PRODUCT_REVIEW, P.PRODUCT_CERTIFY} <= ROLE_PERMISSIONS[role] for role in Role)
    assert not any({P.PRODUCT_PROVIDE, P.PRODUCT_REVIEW} <= ROLE_PERMISSIONS[role] for role in Role)


def test_a_role_is_either_staff_or_member_or_a_data_subject():
    assert STAFF_ROLES | MEMBER_ROLES | {Role.DATA_SUBJECT} == set(Role)
    assert not STAFF_ROLES & MEMBER_ROLES


def test_a_visitor_holds_nothing():
    assert not any(has_permission(None, permission) for permission in Permission)
    with pytest.raises(MembershipMissing):
        check_permission(None, P.CONTRACT_VIEW)


@pytest.mark.django_db
def test_a_staff_role_outside_the_exchange_counts_for_nothing():
    outsider = members.membership(Role.AUDITOR, organization=members.organization())

    assert not any(has_permission(outsider, permission) for permission in Permission)


@pytest.mark.django_db
def test_a_member_role_at_the_exchange_counts_for_nothing():
    insider = members.membership(Role.BUYER, organization=members.exchange())

    with pytest.raises(PermissionRefused):
        check_permission(insider, P.COMPUTATION_REQUEST)


@pytest.mark.django_db
def test_a_suspended_provider_may_revoke_but_not_offer():
    place = members.organization(status=OrganizationStatus.SUSPENDED)
    provider = members.membership(Role.PROVIDER, organization=place)

    check_permission(provider, P.CONTRACT_REVOKE)
    with pytest.raises(OrganizationNotAdmitted):
        check_permission(provider, P.PRODUCT_PROVIDE)


@pytest.mark.django_db
@pytest.mark.parametrize("status", [OrganizationStatus.WITHDRAWN, OrganizationStatus.REJECTED])
def test_who_has_left_may_do_nothing(status):
    gone = members.membership(Role.PROVIDER, organization=members.organization(status=status))

    assert not any(has_permission(gone, permission) for permission in Permission)
