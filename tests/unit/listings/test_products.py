"""From draft to catalogue: who does what, in which order, and what is refused on the way."""

from datetime import date

import pytest

from exchange.kernel.errors import InvalidTransition, PermissionRefused
from exchange.members.models import Membership
from exchange.members.permissions import Role
from ledger.models import Entry
from listings.access import access_product, may_see_file
from listings.actions import certificates, listing, products, reviews
from listings.errors import (
    CommitmentMissing,
    CoreDataRefused,
    FourEyes,
    OwnSubmission,
    ProductNotEditable,
    ProductNotFound,
    ProviderNotReady,
    ReviewReasonMissing,
    ScenarioMissing,
    SpecificationIncomplete,
    SpecificationInvalid,
)
from listings.models import Product, RegistrationCertificate
from listings.states import PRODUCT, ProductState
from tests.factories import listings, members

pytestmark = pytest.mark.django_db


def test_a_product_goes_from_draft_to_the_catalogue_with_every_step_written():
    product = listings.listed()

    assert product.state == ProductState.LISTED
    assert [entry.kind for entry in Entry.objects.filter(subject=product.urn).order_by("pk")] == [
        "product.drafted",
        "product.submitted",
        "product.approved",
        "certificate.issued",
        "product.listed",
    ]


def test_every_defect_is_told_at_once_at_its_field():
    author = listings.provider()
    product = listings.draft(
        by=author,
        changes={
            "abstract_zh": "",
            "volume_rows": 0,
            "legal_basis": "",
            "time_to": date(2020, 1, 1),
            "delivery_modes": ["api"],
            "output_policy": {"schema": "grouped_statistics/v1", "min_cell": 3},
        },
    )

    with pytest.raises(SpecificationIncomplete) as refusal:
        products.submit(product=product, by=author)

    defects = {"abstract_zh", "volume_rows", "legal_basis", "time_from", "delivery_modes", "output_policy"}
    assert set(refusal.value.fields) == defects
    product.refresh_from_db()
    assert (product.state, product.number) == ("draft", None)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"scenarios": []}, ScenarioMissing),
        ({"grade_national": "core"}, CoreDataRefused),
        ({"sector": "finance", "grade_sector": 5}, CoreDataRefused),
    ],
)
def test_red_lines_cannot_be_submitted(changes, error):
    author = listings.provider()

    with pytest.raises(error):
        products.submit(product=listings.draft(by=author, changes=changes), by=author)


def test_without_a_commitment_nothing_is_submitted():
    author = listings.provider()

    with pytest.raises(CommitmentMissing):
        products.submit(product=listings.draft(by=author, dataset_commitment=""), by=author)


def test_a_provider_without_keys_submits_nothing():
    author = members.membership(Role.PROVIDER)

    with pytest.raises(ProviderNotReady):
        products.submit(product=listings.draft(by=author), by=author)


def test_a_field_that_cannot_be_is_refused_and_leaves_nothing():
    with pytest.raises(SpecificationInvalid) as refusal:
        listings.draft(columns=[{**listings.COLUMNS[0], "type": "blob"}])

    assert list(refusal.value.fields) == ["columns[0].type"]


def test_a_returned_product_names_its_fields_is_corrected_and_comes_again():
    author, reviewer = listings.provider(), members.membership(Role.COMPLIANCE_REVIEWER)
    product = listings.submitted(by=author)
    first_digest = product.version.specification_digest

    reviews.return_(product=product, by=reviewer, reason="说明不清", fields={"source_statement": "写明采集依据"})
    products.revise(product=product, by=author, specification={"source_statement": "依据《住房公积金管理条例》采集。"})
    again = products.submit(product=product, by=author)

    assert again.number == product.number
    assert again.version.specification_digest != first_digest
    assert again.version.reviews.get().fields == {"source_statement": "写明采集依据"}


def test_a_return_without_fields_is_no_help():
    with pytest.raises(ReviewReasonMissing):
        reviews.return_(
            product=listings.submitted(), by=members.membership(Role.COMPLIANCE_REVIEWER), reason="改", fields={}
        )


def test_what_was_submitted_does_not_change():
    author = listings.provider()
    product = listings.submitted(by=author)

    with pytest.raises(ProductNotEditable):
        products.revise(product=product, by=author, names={"name_zh": "另一个名字"})


def test_nobody_reviews_their_own_submission():
    author = listings.provider()
    product = listings.submitted(by=author)
    double = members.membership(Role.COMPLIANCE_REVIEWER, user=author.user)

    with pytest.raises(OwnSubmission):
        reviews.approve(product=product, by=double, reason="my own")


def test_nobody_reviews_for_an_organisation_they_act_for():
    author = listings.provider()
    product = listings.submitted(by=author)
    colleague = members.membership(Role.PROVIDER, organization=author.organization)
    double = members.membership(Role.COMPLIANCE_REVIEWER, user=colleague.user)

    with pytest.raises(OwnSubmission):
        reviews.approve(product=product, by=double, reason="a friend's")


def test_the_registrar_is_not_the_reviewer_of_the_same_product():
    reviewer = members.membership(Role.COMPLIANCE_REVIEWER)
    product = reviews.approve(product=listings.submitted(), by=reviewer, reason="ok")
    registrar = members.membership(Role.REGISTRAR, user=reviewer.user)

    with pytest.raises(FourEyes):
        certificates.issue(product=product, by=registrar)

    assert not RegistrationCertificate.objects.exists()


@pytest.mark.parametrize("role", [Role.PROVIDER, Role.BUYER, Role.AUDITOR, Role.REGISTRAR])
def test_other_roles_approve_nothing(role):
    with pytest.raises(PermissionRefused):
        reviews.approve(product=listings.submitted(), by=members.membership(role), reason="ok")


def test_a_draft_cannot_be_certified():
    with pytest.raises(InvalidTransition):
        certificates.issue(product=listings.draft(), by=members.membership(Role.REGISTRAR))


def test_another_provider_changes_nothing():
    with pytest.raises(PermissionRefused):
        products.revise(product=listings.draft(), by=listings.provider(), names={"name_zh": "我的"})


def test_a_draft_is_its_provider_s_and_the_desk_s_business_only():
    product = listings.draft()
    own = Membership.objects.get(organization=product.provider)

    assert access_product(product.urn, by=own) == product
    assert may_see_file(product, by=members.membership(Role.REGISTRAR))
    for stranger in (None, members.membership(Role.BUYER), listings.provider(), members.membership(Role.OPS)):
        with pytest.raises(ProductNotFound):
            access_product(product.ref, by=stranger)


def test_a_listed_product_is_public_its_file_is_not():
    product = listings.listed()

    assert access_product(product.number, by=None) == product
    assert not may_see_file(product, by=None)
    assert not may_see_file(product, by=members.membership(Role.BUYER))


def test_the_next_version_starts_as_a_copy_and_needs_its_own_certificate():
    product = listings.listed()
    own = Membership.objects.get(organization=product.provider)

    begun = products.start_next_version(product=product, by=own)

    assert (begun.state, begun.version.version) == ("draft", 2)
    assert begun.version.columns.count() == 3
    assert not hasattr(begun.version, "certificate")
    assert products.submit(product=begun, by=own).number == product.number


def test_suspension_takes_product_and_certificate_back_at_once():
    officer = members.membership(Role.LISTING_OFFICER)
    product = listings.listed()

    listing.suspend(product=product, by=officer, reason="投诉核查")
    assert Product.objects.listed().count() == 0
    assert RegistrationCertificate.objects.get().is_valid is False

    listing.list_(product=product, by=officer)
    assert RegistrationCertificate.objects.get().is_valid is True

    listing.delist(product=product, by=officer, reason="权利人申请")
    assert RegistrationCertificate.objects.get().state == "cancelled"


def test_every_state_is_reachable_from_a_draft():
    assert PRODUCT.reachable(ProductState.DRAFT) == set(ProductState)
