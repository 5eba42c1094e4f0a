"""A provider's and the desk's way through the API, from application to a listed product."""

import pytest
from rest_framework.test import APIClient

from compute.protocol import keyfiles
from exchange.members.actions import people, tokens
from exchange.members.permissions import Role
from listings.models import Product
from tests.factories import listings, members

pytestmark = pytest.mark.django_db


def acting(membership) -> APIClient:
    issued = tokens.issue(user=membership.user, membership=membership)
    return APIClient(headers={"Authorization": f"Token {issued.value}", "Accept-Language": "en"})


def signed_in(username="lin") -> APIClient:
    people.register(username=username, email=f"{username}@example.org", password=members.PASSWORD)
    answer = APIClient().post("/api/v1/login/", {"username": username, "password": members.PASSWORD}, format="json")
    return APIClient(headers={"Authorization": f"Token {answer.json()['token']}"})


def test_apply_then_admitted_by_the_desk():
    client = signed_in()
    card = keyfiles.generate("fund-a").card(created=members.CREATED)
    body = {
        "name_zh": "澄江市住房公积金中心",
        "name_en": "Fund A",
        "uscc": members.uscc(1),
        "kinds": ["supplier"],
        "card": card,
    }

    made = client.post("/api/v1/organizations/", body, format="json", headers={"Idempotency-Key": "apply-1"})
    again = client.post("/api/v1/organizations/", body, format="json", headers={"Idempotency-Key": "apply-1"})

    assert (made.status_code, again.json()) == (201, made.json())
    assert len(made.json()["keys"]) == 3
    ref = made.json()["ref"]
    assert APIClient().get(f"/api/v1/organizations/{ref}/").status_code == 404
    desk = acting(members.membership(Role.ADMISSION_OFFICER))
    admitted = desk.post(f"/api/v1/organizations/{ref}/admit/", {"reason": "complete"}, format="json")
    assert admitted.json()["status"] == "admitted"
    public = APIClient().get(f"/api/v1/organizations/{ref}/").json()
    assert "business_status" not in public
    # the token was issued before the person acted for anybody: a new one does
    login = APIClient().post("/api/v1/login/", {"username": "lin", "password": members.PASSWORD}, format="json")
    assert (login.json()["roles"], login.json()["organization"]["ref"]) == (["provider"], ref)


def test_a_product_goes_through_the_desks_over_the_api():
    provider = acting(listings.provider())
    specification = {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in listings.specification().items()
    }
    body = {
        "name_zh": "公积金统计", "name_en": "Fund statistics", "dataset": "housing_fund",
        "dataset_commitment": listings.COMMITMENT, "specification": specification, "columns": list(listings.COLUMNS),
    }  # fmt: skip
    ref = provider.post("/api/v1/products/", body, format="json").json()["ref"]
    steps = [
        ("submit", provider, {}),
        ("approve", acting(members.membership(Role.COMPLIANCE_REVIEWER)), {"reason": "ok"}),
        ("certify", acting(members.membership(Role.REGISTRAR)), {}),
        ("list", acting(members.membership(Role.LISTING_OFFICER)), {}),
    ]

    for verb, client, data in steps:
        answer = client.post(f"/api/v1/products/{ref}/{verb}/", data, format="json")
        assert (verb, answer.status_code, answer.json().get("detail")) == (verb, 200, None)

    product = Product.objects.get(ref=ref)
    public = APIClient().get("/api/v1/products/", {"q": "公积"}).json()
    assert [row["number"] for row in public["results"]] == [product.number]
    detail = APIClient().get(f"/api/v1/products/{ref}/").json()
    assert "contact" not in detail["current"]["specification"]
    shown = APIClient().get(f"/api/v1/certificates/{detail['current']['certificate']}/").json()
    assert shown["verdict"] == {"digest": shown["record_digest"], "digest_matches": True, "signature_valid": True}


def test_a_return_names_fields():
    product = listings.submitted()
    reviewer = acting(members.membership(Role.COMPLIANCE_REVIEWER))

    answer = reviewer.post(
        f"/api/v1/products/{product.ref}/return/", {"reason": "r", "fields": {"industry": "check"}}, format="json"
    )

    assert answer.json()["current"]["reviews"][0]["fields"] == {"industry": "check"}


def test_a_suspended_member_changes_nothing():
    membership = listings.provider()
    membership.organization.status = "suspended"
    membership.organization.save()

    answer = acting(membership).post(
        "/api/v1/products/", {"name_zh": "a", "name_en": "a", "dataset": "a"}, format="json"
    )

    assert (answer.status_code, answer.json()["code"]) == (403, "ORGANIZATION_NOT_ADMITTED")


def test_signing_out_withdraws_the_token():
    client = signed_in()

    assert client.get("/api/v1/me/").json()["username"] == "lin"
    client.post("/api/v1/logout/")
    assert client.get("/api/v1/me/").status_code == 401


def test_ready_tells_each_part(settings):
    settings.CHAIN_RPC_URL = ""
    assert APIClient().get("/readyz").json() | {"nodes_known": 0} == {
        "database": "ok", "broker": "ok", "chain": "absent", "nodes_seen": 0, "nodes_known": 0, "ready": True,
    }  # fmt: skip

    settings.CHAIN_RPC_URL = "http://127.0.0.1:1"
    assert APIClient().get("/readyz").status_code == 503
