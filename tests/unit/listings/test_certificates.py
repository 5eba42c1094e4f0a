"""Certificates: numbered without gaps, signed, judged anew by anybody."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from django.utils import timezone

from exchange.kernel.identifiers import number_is_valid
from exchange.members.permissions import Role
from ledger import actions as ledger
from ledger.models import Entry
from ledger.proofs import statements
from listings import qr
from listings.actions import certificates, numbers
from listings.models import NumberSeries
from tests.factories import listings, members


@pytest.mark.django_db
def test_a_certificate_is_signed_and_its_digest_is_in_the_ledger():
    certificate = listings.certificate()

    assert number_is_valid(certificate.number)
    assert re.fullmatch(r"DPC-HS-\d{6}-000001.", certificate.number)
    assert certificates.judge(certificate).is_genuine
    entry = Entry.objects.get(ref=certificate.entry_ref)
    assert ledger.payload_of(entry)["record_digest"] == statements.digest(certificate.document)
    assert "not national property-rights registration" in certificate.document["disclaimer_en"]


@pytest.mark.django_db
def test_an_edited_certificate_shows():
    certificate = listings.certificate()
    certificate.document["holders"][0]["name_zh"] = "别人"

    verdict = certificates.judge(certificate)

    assert (verdict.digest_matches, verdict.signature_valid, verdict.is_genuine) == (False, False, False)


@pytest.mark.django_db
def test_issuing_twice_is_one_certificate():
    certificate = listings.certificate()
    again = certificates.issue(product=certificate.version.product, by=members.membership(Role.REGISTRAR))

    assert again == certificate


@pytest.mark.django_db
def test_a_rolled_back_number_is_given_out_again():
    now = timezone.now()
    with transaction.atomic():
        numbers.next_number("DPC", now=now)
        transaction.set_rollback(True)

    assert numbers.next_number("DPC", now=now)[-7:-1] == "000001"


@pytest.mark.django_db(transaction=True)
def test_numbers_taken_at_the_same_time_have_no_gap_and_no_twin():
    now = timezone.now()

    def take(_):
        try:
            return numbers.next_number("DPC", now=now)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(take, range(40)))

    assert sorted(int(number[-7:-1]) for number in taken) == list(range(1, 41))


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_numbers_meet():
    """The control: read, add one, save, without holding the row."""
    now = timezone.now()
    numbers.next_number("DPC", now=now)

    def take(_):
        try:
            series = NumberSeries.objects.get()
            series.last += 1
            series.save()
            return series.last
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(take, range(200)))

    assert len(set(taken)) < 200


def test_a_qr_code_is_inline_svg_without_scripts():
    drawing = qr.svg("http://127.0.0.1:8000/certificates/DPC-HS-202611-000001K/")

    assert drawing.startswith("<svg")
    assert "script" not in drawing
