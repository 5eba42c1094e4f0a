"""Asking for a computation: what is accepted once, and what is refused with nothing written."""

from datetime import timedelta

import pytest
from django.utils import timezone

from compute.actions import computations
from compute.errors import (
    ComputationExists,
    ConcurrencyExceeded,
    GroupsTooSmall,
    ProductNotAvailable,
    RequestExpired,
    RequestInvalid,
    RequestSignatureInvalid,
    TechniqueNotAllowed,
    TermsChanged,
)
from compute.models import Computation, Consent
from compute.protocol import operations, shapes
from contracts import postings
from contracts.actions import transfers
from contracts.errors import ColumnNotGranted, EscrowTooLow, MeterExhausted, PurposeNotAllowed
from contracts.models import Contract, Meter, Reservation
from contracts.postings import TransferKind
from contracts.signals import contract_revoked
from exchange.kernel.errors import PermissionRefused
from exchange.members.models import SigningKey
from ledger.models import Entry
from listings.models import Column, Product, RegistrationCertificate
from tests.factories.compute import World

pytestmark = pytest.mark.django_db


def refused(world, error, *, document=None, by=None):
    """Submitting is refused and nothing at all is written."""
    entries = Entry.objects.count()
    with pytest.raises(error):
        computations.submit(document=document or world.request(), by=by or world.buyer)
    assert Computation.objects.exists() is False
    assert Reservation.objects.exists() is False
    assert Consent.objects.exists() is False
    assert Entry.objects.count() == entries
    assert world.contract.meter.reserved == 0


def test_a_request_is_taken_with_quota_money_and_the_parties_asked():
    world = World()

    computation = computations.submit(document=world.request(), by=world.buyer)

    assert computation.state == "consenting"
    assert (computation.policy_rule, computation.policy_version, computation.min_group) == ("P5", 1, 10)
    assert {consent.organization.name_en for consent in computation.consents.all()} == {"fund-a", "fund-b"}
    assert Reservation.objects.get().subject == computation.urn
    assert Meter.objects.get().reserved == 1
    assert world.escrow_fen() == 950_000
    assert Entry.objects.filter(kind="computation.requested", subject=computation.urn).count() == 1


def test_the_same_document_again_is_the_same_computation():
    world = World()
    document = world.request()

    first = computations.submit(document=document, by=world.buyer)
    again = computations.submit(document=document, by=world.buyer)

    assert again.pk == first.pk
    assert Meter.objects.get().reserved == 1


def test_another_document_of_the_same_id_is_refused():
    world = World()
    document = world.request()
    first = computations.submit(document=document, by=world.buyer)

    other = world.request(id=document["id"], expires=shapes.write_time(timezone.now() + timedelta(hours=3)))
    with pytest.raises(ComputationExists):
        computations.submit(document=other, by=world.buyer)

    assert Computation.objects.get().request_digest == first.request_digest


def test_a_document_signed_by_someone_else_is_refused():
    world = World()
    refused(world, RequestSignatureInvalid, document=world.request(key="fund-a"))


def test_a_key_that_was_revoked_since_the_contract_is_refused():
    world = World()
    SigningKey.objects.filter(organization=world.organizations["bank"]).update(revoked_at=timezone.now())
    refused(world, RequestSignatureInvalid)


def test_a_document_changed_after_signing_is_refused():
    world = World()
    document = world.request()
    document["parameters"]["min_group"] = 11
    refused(world, RequestSignatureInvalid, document=document)


def test_a_document_with_an_unknown_member_is_refused():
    world = World()
    refused(world, RequestInvalid, document={**world.request(), "note": "please"})


def test_other_terms_are_refused():
    world = World()
    refused(world, TermsChanged, document=world.request(terms_digest="0" * 64))


def test_another_purpose_is_refused():
    world = World()
    refused(world, PurposeNotAllowed, document=world.request(purpose="marketing"))


@pytest.mark.parametrize(
    ("created", "expires"),
    [
        (timedelta(hours=-2), timedelta(hours=-1)),
        (timedelta(0), timedelta(days=8)),
        (timedelta(hours=1), timedelta(hours=2)),
    ],
    ids=["over", "too long", "from the future"],
)
def test_a_request_out_of_time_is_refused(created, expires):
    world = World()
    now = timezone.now()
    document = world.request(created=shapes.write_time(now + created), expires=shapes.write_time(now + expires))
    refused(world, RequestExpired, document=document)


def test_a_column_outside_the_contract_is_refused():
    world = World()
    parameters = operations.joint_statistics(group_by=["district"], values=["salary"])
    refused(world, ColumnNotGranted, document=world.request(parameters=parameters))


def test_only_the_buyer_asks():
    world = World()
    refused(world, PermissionRefused, by=world.provider)


def test_core_data_is_refused_at_once():
    world = World(specification={"grade_national": "core"})
    refused(world, TechniqueNotAllowed)


def test_a_suspended_product_is_refused():
    world = World()
    Product.objects.filter(provider=world.organizations["fund-a"]).update(state="suspended")
    refused(world, ProductNotAvailable)


def test_a_certificate_out_of_force_is_refused():
    world = World()
    RegistrationCertificate.objects.update(state="suspended")
    refused(world, ProductNotAvailable)


def test_sensitive_values_wait_for_a_reviewer():
    world = World()
    Column.objects.filter(name="base").update(pi="sensitive")

    computation = computations.submit(document=world.request(), by=world.buyer)

    assert (computation.state, computation.policy_rule) == ("reviewing", "P10")


def test_a_purpose_that_the_registration_does_not_name_waits_for_a_reviewer():
    world = World(specification={"scenarios": [{"purpose": "public_statistics"}]})

    computation = computations.submit(document=world.request(), by=world.buyer)

    assert computation.state == "reviewing"
    assert computation.policy["overlays"] == ["P19"]


def test_only_touched_columns_are_judged():
    world = World()
    Column.objects.filter(name="age_band").update(pi="sensitive", grade=4)

    computation = computations.submit(document=world.request(), by=world.buyer)

    assert (computation.state, computation.policy_rule) == ("consenting", "P5")


def test_groups_smaller_than_the_policy_wants_are_refused():
    world = World(specification={"grade_national": "important", "pia_report": {"title": "2026"}})
    refused(world, GroupsTooSmall)


def test_no_more_runs_at_once_than_agreed():
    world = World(choices={"max_concurrency": 1})
    computations.submit(document=world.request(), by=world.buyer)

    with pytest.raises(ConcurrencyExceeded):
        computations.submit(document=world.request(), by=world.buyer)

    assert Computation.objects.count() == 1
    assert Meter.objects.get().reserved == 1


def test_no_more_runs_than_the_quota():
    world = World(choices={"quota_total": 1, "quota_per_day": 1, "max_concurrency": 5})
    computations.submit(document=world.request(), by=world.buyer)

    with pytest.raises(MeterExhausted):
        computations.submit(document=world.request(), by=world.buyer)

    assert Computation.objects.count() == 1


def test_no_run_without_the_money_for_it():
    world = World()
    transfers.post(
        key="drain",
        kind=TransferKind.HOLD,
        contract=world.contract,
        subject=world.contract.urn,
        legs=postings.hold(world.escrow_fen()),
    )

    refused(world, EscrowTooLow)


def test_withdrawing_gives_quota_and_money_back():
    world = World()
    computation = computations.submit(document=world.request(), by=world.buyer)

    computations.withdraw(computation=computation, by=world.buyer)
    again = computations.withdraw(computation=computation, by=world.buyer)

    assert again.state == "withdrawn"
    assert Meter.objects.get().reserved == 0
    assert world.escrow_fen() == 1_000_000
    assert Entry.objects.filter(kind="computation.withdrawn").count() == 1


def test_nobody_else_withdraws():
    world = World()
    computation = computations.submit(document=world.request(), by=world.buyer)

    with pytest.raises(PermissionRefused):
        computations.withdraw(computation=computation, by=world.provider)


def test_a_revoked_contract_withholds_what_is_under_way():
    world = World(choices={"max_concurrency": 3})
    first = computations.submit(document=world.request(), by=world.buyer)
    second = computations.submit(document=world.request(), by=world.buyer)
    computations.withdraw(computation=second, by=world.buyer)
    contract_revoked.send(
        sender=Contract,
        contract=world.contract,
        organization=world.organizations["fund-a"],
        now=timezone.now(),
    )

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, first.end_code) == ("withheld", "CONTRACT_REVOKED")
    assert second.state == "withdrawn"
    assert Meter.objects.get().reserved == 0
