"""Roles that must not see something ask for it, over the API and on pages (domain rules: the table of roles)."""

import json

import pytest
from django.test import Client

from compute.actions import computations
from compute.models import Computation
from exchange.members.actions import tokens
from exchange.members.permissions import STAFF_ROLES, Role
from tests.factories import listings, members
from tests.factories.compute import World, member, run_to_ready, settle

pytestmark = pytest.mark.django_db

SECRET = "核对逾期风险的内部场景"


@pytest.fixture
def world():
    return World(choices={"scenario_zh": SECRET, "scenario_en": "inner scenario", "legal_basis": "contract"})


@pytest.fixture
def computation(world):
    return computations.submit(document=world.request(), by=world.buyer)


@pytest.fixture
def released(world, computation):
    nodes = world.nodes()
    for node in nodes:
        node.consent()
    settle(computation)
    run_to_ready(nodes)
    for node in nodes:
        assert node.submit().status == 200
    assert settle(computation).state == "released"
    return computation


class Reader:
    """Somebody in a role, signed in to the pages and with a token for the API."""

    def __init__(self, membership):
        self.membership = membership
        self.pages = Client(headers={"Accept-Language": "en"})
        self.pages.force_login(membership.user)
        issued = tokens.issue(user=membership.user, membership=membership)
        self.api = Client(headers={"Authorization": f"Token {issued.value}"})

    def get(self, address):
        asked = self.api if address.startswith("/api/") else self.pages
        answer = asked.get(address)
        return answer.status_code, answer.content.decode()

    def post(self, address, body, **headers):
        sent = json.dumps(body)
        return self.api.post(address, data=sent, content_type="application/json", headers=headers)


def staff(world, role):
    return Reader(member(world.exchange, role))


def test_a_settlement_clerk_sees_money_and_no_purpose_details_results_or_requests(world, released):
    clerk = staff(world, Role.SETTLEMENT_CLERK)
    ref = world.contract.ref

    for address in (f"/api/v1/contracts/{ref}/", f"/contracts/{ref}/", "/contracts/", "/desk/deposits/"):
        status, text = clerk.get(address)
        assert (address, status, SECRET in text) == (address, 200, False)
    assert json.loads(clerk.get(f"/api/v1/contracts/{ref}/")[1])["money"]["escrow_fen"] > 0
    for address in (
        f"/computations/new/{ref}/",
        f"/computations/{released.ref}/",
        f"/computations/{released.ref}/receipt.json",
    ):
        assert (address, clerk.get(address)[0]) in [(address, 403), (address, 404)]
    for tail in ("", "result/", "receipt/"):
        assert clerk.get(f"/api/v1/computations/{released.ref}/{tail}")[0] == 404


def test_an_admission_officer_sees_members_and_no_product_file_contract_or_computation(world, released):
    officer, draft = staff(world, Role.ADMISSION_OFFICER), listings.draft()

    for address in (
        f"/api/v1/products/{draft.ref}/", f"/products/{draft.ref}/", f"/api/v1/contracts/{world.contract.ref}/",
        f"/contracts/{world.contract.ref}/", f"/api/v1/computations/{released.ref}/", f"/computations/{released.ref}/",
    ):  # fmt: skip
        assert (address, officer.get(address)[0]) == (address, 404)
    for address in (
        "/desk/products/",
        f"/desk/products/{draft.ref}/",
        "/desk/computations/",
        "/desk/deposits/",
        "/desk/health/",
    ):
        assert (address, officer.get(address)[0]) == (address, 403)


def test_ops_see_health_and_no_business_content(world, released):
    ops, draft = staff(world, Role.OPS), listings.draft()

    assert ops.get("/desk/health/")[0] == 200
    for address in ("/desk/products/", "/desk/organizations/", "/desk/computations/", "/desk/deposits/"):
        assert (address, ops.get(address)[0]) == (address, 403)
    for address in (
        f"/api/v1/products/{draft.ref}/", f"/api/v1/contracts/{world.contract.ref}/", f"/computations/{released.ref}/",
        f"/api/v1/computations/{released.ref}/",
    ):  # fmt: skip
        assert (address, ops.get(address)[0]) == (address, 404)
    assert json.loads(ops.get("/api/v1/contracts/")[1])["count"] == 0


def test_reviewers_see_the_request_and_neither_result_nor_receipt(world, released):
    for role in (Role.ALGORITHM_REVIEWER, Role.COMPLIANCE_REVIEWER):
        reviewer = staff(world, role)
        assert reviewer.get(f"/api/v1/computations/{released.ref}/")[0] == 200
        assert reviewer.get(f"/api/v1/computations/{released.ref}/receipt/")[0] == 403
        assert reviewer.get(f"/computations/{released.ref}/receipt.json")[0] == 403
    assert staff(world, Role.AUDITOR).get(f"/api/v1/computations/{released.ref}/receipt/")[0] == 200


def test_nobody_but_the_buyer_gets_the_sealed_parts(world, released):
    address = f"/api/v1/computations/{released.ref}/result/"
    assert Reader(world.buyer).get(address)[0] == 200
    for reader in (Reader(world.provider), *(staff(world, role) for role in sorted(STAFF_ROLES))):
        assert (reader.membership.role, reader.get(address)[0] in (403, 404)) == (reader.membership.role, True)


def test_listing_and_quality_desks_see_a_product_without_its_evidence_file():
    product = listings.submitted()
    specification = product.version.specification
    assert specification.id_no
    for role, sees in ((Role.LISTING_OFFICER, False), (Role.QUALITY_REVIEWER, False), (Role.REGISTRAR, True)):
        reader = Reader(members.membership(role))
        for address in (f"/api/v1/products/{product.ref}/", f"/desk/products/{product.ref}/"):
            status, text = reader.get(address)
            assert (role, address, status, specification.id_no in text) == (role, address, 200, sees)


def test_an_applicant_s_number_is_on_no_public_page():
    product = listings.listed()
    for address in (product.get_absolute_url(), f"/api/v1/products/{product.ref}/"):
        assert product.version.specification.id_no not in Client().get(address).content.decode()


def test_another_provider_cannot_open_the_form_that_holds_the_application_file():
    product = listings.listed()
    stranger = Reader(listings.provider())

    assert stranger.get(f"/products/{product.ref}/edit/")[0] == 404


def test_what_is_another_organisation_s_is_not_found_rather_than_forbidden(world, released):
    stranger = Reader(members.membership(Role.BUYER))
    addresses = [
        f"/api/v1/contracts/{world.contract.ref}/", f"/api/v1/contracts/{world.contract.number}/",
        f"/api/v1/contracts/{world.contract.ref}/statement/", f"/contracts/{world.contract.ref}/",
        f"/api/v1/computations/{released.ref}/", f"/api/v1/computations/{released.ref}/result/",
        f"/api/v1/computations/{released.ref}/receipt/", f"/computations/{released.ref}/",
        f"/computations/{released.ref}/progress/", f"/computations/{released.ref}/receipt.json",
        f"/computations/new/{world.contract.ref}/",
    ]  # fmt: skip
    for address in addresses:
        assert (address, stranger.get(address)[0]) == (address, 404)
    for tail, body in (
        ("signatures/", {"document": {}}),
        ("revocations/", {"document": {}}),
        ("grants/", {}),
        ("withdraw/", {}),
    ):
        answer = stranger.post(f"/api/v1/contracts/{world.contract.ref}/{tail}", body)
        assert (tail, answer.status_code) == (tail, 404)
    for tail in ("approve/", "reject/", "withdraw/"):
        answer = stranger.post(f"/api/v1/computations/{released.ref}/{tail}", {"reason": "mine now"})
        assert (tail, answer.status_code) == (tail, 404)


def test_members_that_nobody_asked_for_are_refused_and_change_nothing(world):
    clerk = staff(world, Role.SETTLEMENT_CLERK)
    body = {"amount_fen": 1, "reference": "line 1", "contract": "another", "state": "effective"}
    answer = clerk.post(f"/api/v1/contracts/{world.contract.ref}/deposits/", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_INPUT")
    assert "another" not in answer.content.decode()

    application = {
        "name_zh": "机构",
        "name_en": "Org",
        "uscc": members.uscc(),
        "kinds": ["supplier"],
        "status": "admitted",
    }
    assert Reader(world.buyer).post("/api/v1/organizations/", application).status_code == 400


def test_odd_amounts_are_refused(world):
    clerk = staff(world, Role.SETTLEMENT_CLERK)
    address = f"/api/v1/contracts/{world.contract.ref}/deposits/"
    for amount in (0, -1, "-5", 2**53 - 1, True, None, "1e3", [1]):
        assert clerk.post(address, {"amount_fen": amount, "reference": "line 2"}).status_code == 400
    assert clerk.post(address, {"amount_fen": 5, "reference": "line 2"}).status_code == 201
    assert clerk.post(address, {"amount_fen": 5, "reference": "line 2"}).status_code == 201
    assert clerk.post(address, {"amount_fen": 6, "reference": "line 2"}).json()["code"] == "BANK_LINE_USED"


def test_a_colleague_s_idempotency_key_does_not_replay_the_answer_to_another_role(world):
    clerk, ops = staff(world, Role.SETTLEMENT_CLERK), staff(world, Role.OPS)
    address = f"/api/v1/contracts/{world.contract.ref}/deposits/"
    body = {"amount_fen": 7, "reference": "line 3"}

    assert clerk.post(address, body, **{"Idempotency-Key": "k1"}).status_code == 201
    assert clerk.post(address, body, **{"Idempotency-Key": "k1"}).headers["Idempotency-Replayed"] == "true"
    assert ops.post(address, body, **{"Idempotency-Key": "k1"}).status_code in (403, 404)


def test_a_page_s_form_needs_its_csrf_token_and_never_leads_away(world):
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.buyer.user)
    assert client.post(f"/contracts/{world.contract.ref}/withdraw/").status_code == 403
    assert client.post("/api/v1/contracts/", data="{}", content_type="application/json").status_code == 403

    calm = Client()
    calm.force_login(world.buyer.user)
    for address in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        for path in ("/accounts/membership/", "/i18n/setlang/"):
            answer = calm.post(path, {"next": address, "language": "en"})
            assert (path, address, answer.headers["Location"]) == (path, address, "/")


def test_pages_allow_no_inline_script_and_no_frame(world):
    answer = Client().get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_there_is_no_admin_site():
    assert Client().get("/admin/").status_code == 404


def test_the_public_log_shows_no_payload(released):
    assert Computation.objects.filter(pk=released.pk).exists()
    text = Client().get("/api/v1/ledger/entries/?page_size=100").content.decode()
    assert released.ref in text
    for word in ("payload", "salt", "amount_fen", "reference", "escrow.deposited:"):
        assert word not in text
