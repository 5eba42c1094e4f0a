"""Admission: who gets in, by whose decision, and what stays written."""

import pytest

from exchange.kernel.errors import InvalidInput, InvalidTransition, PermissionRefused
from exchange.members.access import access_organization
from exchange.members.actions import organizations
from exchange.members.errors import OrganizationExists, OrganizationNotFound, OwnAffair, ReasonMissing
from exchange.members.models import Membership, Organization
from exchange.members.permissions import Role
from exchange.members.states import ORGANIZATION, OrganizationStatus
from ledger import actions as ledger
from ledger.models import Entry
from tests.factories import members

pytestmark = pytest.mark.django_db


def application(**changes):
    fields = {
        "by": members.person(),
        "name_zh": "澄江市住房公积金中心",
        "name_en": "Chengjiang Housing Fund",
        "uscc": members.uscc(1),
        "kinds": ["supplier"],
    }
    return organizations.apply(**fields | changes)


def test_who_applies_acts_for_the_applicant_and_waits():
    organization = application(kinds=["supplier", "demander"])

    assert organization.status == OrganizationStatus.APPLIED
    roles = Membership.objects.filter(organization=organization).values_list("role", flat=True)
    assert set(roles) == {"provider", "buyer"}
    assert [entry.kind for entry in Entry.objects.about(organization.urn)] == ["organization.applied"]


@pytest.mark.parametrize(
    ("_case", "changes", "field"),
    [
        ("wrong check character", {"uscc": "91990000MA00000010"}, "uscc"),
        ("no kind", {"kinds": []}, "kinds"),
        ("unknown kind", {"kinds": ["pirate"]}, "kinds"),
        ("blank name", {"name_zh": "  "}, "name_zh"),
    ],
)
def test_a_faulty_application_names_the_field_and_leaves_nothing(_case, changes, field):
    with pytest.raises(InvalidInput) as refusal:
        application(**changes)

    assert list(refusal.value.fields) == [field]
    assert not Organization.objects.exists()
    assert not Entry.objects.exists()


def test_one_credit_code_applies_once():
    application()

    with pytest.raises(OrganizationExists):
        application()


def test_a_credit_code_turned_away_may_apply_again():
    first = application()
    organizations.reject(organization=first, by=members.membership(Role.ADMISSION_OFFICER), reason="no licence")

    assert application().pk != first.pk


def test_an_officer_admits_with_a_reason_that_stays_written():
    officer = members.membership(Role.ADMISSION_OFFICER)
    organization = application()

    organizations.verify(organization=organization, by=officer)
    admitted = organizations.admit(organization=organization, by=officer, reason="证照齐全")

    assert (admitted.status, admitted.decided_by) == ("admitted", officer.user)
    entry = Entry.objects.about(organization.urn).filter(kind="organization.admitted").get()
    assert ledger.payload_of(entry) == {"status": "admitted", "reason": "证照齐全", "role": "admission_officer"}


def test_admitting_twice_is_one_decision():
    officer = members.membership(Role.ADMISSION_OFFICER)
    organization = application()

    for _ in range(2):
        organizations.admit(organization=organization, by=officer, reason="complete")

    assert Entry.objects.filter(kind="organization.admitted", subject=organization.urn).count() == 1


def test_no_decision_without_a_reason():
    with pytest.raises(ReasonMissing):
        organizations.admit(organization=application(), by=members.membership(Role.ADMISSION_OFFICER), reason=" ")


@pytest.mark.parametrize("role", [Role.REGISTRAR, Role.AUDITOR, Role.PROVIDER])
def test_other_roles_admit_nobody(role):
    organization = application()

    with pytest.raises(PermissionRefused):
        organizations.admit(organization=organization, by=members.membership(role), reason="friends")

    organization.refresh_from_db()
    assert organization.status == OrganizationStatus.APPLIED


def test_nobody_admits_the_organisation_they_act_for():
    officer = members.membership(Role.ADMISSION_OFFICER)
    organization = application(by=officer.user)

    with pytest.raises(OwnAffair):
        organizations.admit(organization=organization, by=officer, reason="it is mine")


def test_more_information_then_in_then_held_back_then_gone():
    officer = members.membership(Role.ADMISSION_OFFICER)
    organization = application()

    organizations.verify(organization=organization, by=officer)
    organizations.ask_for_more(organization=organization, by=officer, reason="licence missing")
    organizations.verify(organization=organization, by=officer)
    organizations.admit(organization=organization, by=officer, reason="complete")
    organizations.suspend(organization=organization, by=officer, reason="complaint")
    organizations.admit(organization=organization, by=officer, reason="settled")
    gone = organizations.withdraw(organization=organization, by=officer, reason="asked to leave")

    assert gone.status == OrganizationStatus.WITHDRAWN
    with pytest.raises(InvalidTransition):
        organizations.admit(organization=organization, by=officer, reason="again")


def test_every_status_is_reachable():
    assert ORGANIZATION.reachable(OrganizationStatus.APPLIED) == set(OrganizationStatus)


def test_an_applicant_is_known_to_its_own_people_and_the_desk_only():
    organization = application()
    own = Membership.objects.get(organization=organization)

    assert access_organization(organization.urn, by=own) == organization
    assert access_organization(organization.ref, by=members.membership(Role.ADMISSION_OFFICER)) == organization
    for stranger in (None, members.membership(Role.BUYER), members.membership(Role.REGISTRAR)):
        with pytest.raises(OrganizationNotFound):
            access_organization(organization.ref, by=stranger)
