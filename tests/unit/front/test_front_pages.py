"""Who may open which page of the front of house, and what it does."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from compute.protocol import keyfiles
from exchange.members.models import Organization, SigningKey
from exchange.members.permissions import Role
from tests.factories import members

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/", "/about/", "/catalogue/", "/ledger/", "/ledger/verify/"])
def test_a_visitor_reads_the_public_pages(client, path):
    answer = client.get(path)

    assert answer.status_code == 200
    assert answer.headers["Content-Language"] == "zh-hans"


@pytest.mark.parametrize("path", ["/workplace/", "/account/", "/join/"])
def test_a_visitor_is_sent_to_sign_in(client, path):
    answer = client.get(path)

    assert (answer.status_code, answer.url) == (302, f"/accounts/login/?next={path}")


def test_no_page_holds_inline_script_or_style(client):
    members.exchange()
    for path in ("/", "/about/", "/catalogue/", "/ledger/", "/ledger/verify/", "/accounts/login/", "/nothing/"):
        text = client.get(path).content.decode()
        assert " style=" not in text, path
        assert " onclick=" not in text, path
        assert "<style" not in text, path
        for script in text.split("<script")[1:]:
            assert "src=" in script.split(">")[0] or "application/json" in script.split(">")[0], path


def test_a_missing_page_says_what_to_do_in_the_readers_language(client):
    answer = client.get("/nothing-here/", headers={"Accept-Language": "en"})

    assert answer.status_code == 404
    assert "NOT_FOUND" in answer.content.decode()
    assert "There is nothing here that you may see" in answer.content.decode()


def test_an_application_makes_an_organisation_and_its_first_membership(client):
    person = members.person()
    client.force_login(person)

    answer = client.post(
        "/join/",
        {
            "name_zh": "临港数据",
            "name_en": "Lingang Data",
            "uscc": members.uscc(77).lower(),
            "kinds": ["supplier"],
            "legal_representative": "王一",
            "business_scope": "数据处理",
            "address": "一号",
            "contact_name": "李二",
            "contact_email": "a@example.org",
        },
    )

    organization = Organization.objects.get(name_en="Lingang Data")
    assert answer.url == f"/organizations/{organization.ref}/"
    assert organization.status == "applied"
    assert list(person.memberships.values_list("role", flat=True)) == ["provider"]


def test_a_wrong_credit_code_is_told_at_its_field_and_nothing_is_made(client):
    client.force_login(members.person())

    answer = client.post(
        "/join/", {"name_zh": "甲", "name_en": "A", "uscc": "91990000MA0000000A", "kinds": ["supplier"]}
    )

    assert "uscc" in answer.context["form"].errors
    assert Organization.objects.count() == 0


def test_a_member_registers_its_key_card_and_sees_the_public_halves(client):
    membership = members.membership(Role.PROVIDER)
    client.force_login(membership.user)
    card = keyfiles.generate("member").card(created=members.CREATED)
    file = SimpleUploadedFile("card.json", json.dumps(card).encode())

    client.post(f"/organizations/{membership.organization.ref}/keys/", {"card": file})

    assert set(SigningKey.objects.values_list("value", flat=True)) == {
        card["document_key"],
        card["chain_address"],
        card["sealing_key"],
    }


def test_nobody_registers_keys_for_another_organisation(client):
    stranger, other = members.membership(Role.PROVIDER), members.organization()
    client.force_login(stranger.user)
    card = keyfiles.generate("member").card(created=members.CREATED)

    answer = client.post(
        f"/organizations/{other.ref}/keys/", {"card": SimpleUploadedFile("card.json", json.dumps(card).encode())}
    )

    assert answer.status_code == 403
    assert SigningKey.objects.count() == 0


def test_what_is_no_card_is_refused_with_a_sentence(client):
    membership = members.membership(Role.PROVIDER)
    client.force_login(membership.user)

    answer = client.post(
        f"/organizations/{membership.organization.ref}/keys/",
        {"card": SimpleUploadedFile("card.json", b"\xff\x00 not json")},
        follow=True,
    )

    assert "这不是公钥卡" in answer.content.decode()
    assert SigningKey.objects.count() == 0


def test_the_workplace_of_staff_is_the_desk(client):
    client.force_login(members.membership(Role.AUDITOR).user)

    assert client.get("/workplace/").url == "/desk/"


def test_the_workplace_says_what_waits(client):
    membership = members.membership(Role.PROVIDER)
    client.force_login(membership.user)

    waiting = client.get("/workplace/").context["waiting"]

    assert [item.kind for item in waiting] == ["keys"]


def test_live_figures_alone_answer_to_htmx(client):
    answer = client.get("/", headers={"HX-Request": "true"})

    assert answer.content.decode().strip().startswith('<dl class="hs-figures"')
