"""The pages of computations: who sees what, live progress, and the request builder's command."""

import json

import pytest
from django.test import Client

from compute.actions import computations
from compute.models import Computation
from exchange.members.permissions import Role
from tests.factories.compute import World, member, organization, run_to_ready, settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    return World(choices={"max_concurrency": 3})


@pytest.fixture
def computation(world):
    return computations.submit(document=world.request(), by=world.buyer)


def browser(by, language="en"):
    http = Client(headers={"accept-language": language})
    http.force_login(by.user)
    return http


def release(computation: Computation, world) -> None:
    nodes = world.nodes()
    for node in nodes:
        node.consent()
    settle(computation)
    run_to_ready(nodes)
    for node in nodes:
        node.submit()
    assert settle(computation).state == "released"


def test_a_visitor_is_sent_to_sign_in(computation):
    answer = Client().get(f"/computations/{computation.ref}/")

    assert answer.status_code == 302
    assert "/accounts/login" in answer.headers["Location"]


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_list_shows_ones_own_and_filters_by_state(world, computation, language):
    http = browser(world.buyer, language)

    assert [row.pk for row in http.get("/computations/").context["page"]] == [computation.pk]
    assert list(http.get("/computations/?state=released").context["page"]) == []
    outsider = browser(member(organization("outsider"), Role.BUYER), language)
    assert list(outsider.get("/computations/").context["page"]) == []


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_page_shows_parties_policy_and_evidence(world, computation, language):
    answer = browser(world.buyer, language).get(f"/computations/{computation.ref}/")

    assert answer.status_code == 200
    assert [party.consent for party in answer.context["parties"]] == ["pending", "pending"]
    assert [step.kind for step in answer.context["steps"]][-1] == "computation.requested"
    assert answer.context["path"][:2] == ["requested", "consenting"]
    assert answer.context["can_withdraw"] is True
    assert answer.context["is_final"] is False


def test_the_live_part_asks_again_until_there_is_nothing_more_to_see(world, computation):
    http = browser(world.buyer)

    assert http.get(f"/computations/{computation.ref}/progress/").status_code == 200
    release(computation, world)
    answer = http.get(f"/computations/{computation.ref}/progress/")
    assert answer.status_code == 286
    assert answer.context["receipt_ready"] is True
    assert answer.context["learned"] == [{"role": "data", "zh": "无", "en": "nothing"}]
    receipt = http.get(f"/computations/{computation.ref}/receipt.json")
    assert receipt.headers["Content-Type"] == "application/json"


def test_an_ended_computation_says_why_in_both_languages(world, computation):
    computations.withdraw(computation=computation, by=world.buyer)

    english = browser(world.buyer).get(f"/computations/{computation.ref}/").context["end_sentence"]
    chinese = browser(world.buyer, "zh-hans").get(f"/computations/{computation.ref}/").context["end_sentence"]

    assert english.startswith("The buyer took the request back")
    assert chinese.startswith("需方已撤回请求")


def test_another_members_computation_is_not_found(computation):
    outsider = browser(member(organization("outsider"), Role.BUYER))

    assert outsider.get(f"/computations/{computation.ref}/").status_code == 404


def test_the_buyer_withdraws_from_the_page(world, computation):
    browser(world.buyer).post(f"/computations/{computation.ref}/withdraw/")

    computation.refresh_from_db()
    assert computation.state == "withdrawn"


def test_a_provider_cannot_withdraw_from_the_page(world, computation):
    browser(world.provider).post(f"/computations/{computation.ref}/withdraw/")

    computation.refresh_from_db()
    assert computation.state == "consenting"


def test_a_reviewer_decides_from_the_page():
    world = World(choices={"review": "manual"})
    waiting = computations.submit(document=world.request(), by=world.buyer)
    http = browser(world.reviewer)

    page = http.get(f"/computations/{waiting.ref}/")
    assert page.context["can_review"] is True
    assert http.post(f"/computations/{waiting.ref}/approve/", {"reason": ""}).status_code == 400
    http.post(f"/computations/{waiting.ref}/approve/", {"reason": "fits the purpose"})

    waiting.refresh_from_db()
    assert (waiting.state, waiting.review_reason) == ("consenting", "fits the purpose")


def test_the_builder_checks_a_draft_and_shows_the_command(world):
    http = browser(world.buyer)
    path = f"/computations/new/{world.contract.ref}/"

    assert http.get(path).context["command"] == ""
    answer = http.get(
        path,
        {
            "operation": "joint_statistics",
            "group_by": ["district"],
            "values": ["base"],
            "filters": "age_band=30-39,40-49",
            "min_group": "10",
        },
    )

    assert answer.context["command"] == (
        f"hengshu compute submit {world.contract.number} --operation joint_statistics --group-by district "
        "--values base --filter age_band=30-39,40-49 --min-group 10 --watch"
    )


@pytest.mark.parametrize(
    "change",
    [{"filters": "age_band"}, {"min_group": "9"}, {"values": []}, {"group_by": ["salary"]}, {"filters": "salary=1"}],
    ids=["filter form", "group too small", "no values", "unknown group", "unknown filter"],
)
def test_the_builder_refuses_a_draft_that_would_be_refused(world, change):
    draft = {
        "operation": "joint_statistics",
        "group_by": ["district"],
        "values": ["base"],
        "filters": "",
        "min_group": "10",
    } | change

    answer = browser(world.buyer).get(f"/computations/new/{world.contract.ref}/", draft)

    assert answer.context["command"] == ""
    assert answer.context["form"].errors


def test_an_operation_without_fields_of_its_own_takes_its_parameters_as_json():
    """Checked against the contract before the command is shown, as every draft is."""
    world = World(operation="matched_sum")
    http = browser(world.buyer)
    path = f"/computations/new/{world.contract.ref}/"
    providers = [one["provider"] for one in world.contract.terms["objects"]]
    asked = {"values": ["base"], "min_group": 10, "list_provider": providers[0], "value_provider": providers[1]}

    answer = http.get(path, {"operation": "matched_sum", "parameters": json.dumps(asked)})
    refused = http.get(path, {"operation": "matched_sum", "parameters": json.dumps(asked | {"values": ["salary"]})})

    assert answer.context["command"] == (
        f"hengshu compute submit {world.contract.number} --operation matched_sum --parameters parameters.json --watch"
    )
    assert refused.context["command"] == ""
    assert "salary" in refused.content.decode()


@pytest.mark.parametrize(("language", "word"), [("en", "Learnt by"), ("zh-hans", "获知")])
def test_the_contract_says_who_learns_what(world, language, word):
    answer = browser(world.buyer, language).get(f"/contracts/{world.contract.ref}/")

    assert word in answer.content.decode()


def test_the_page_names_the_parties_that_a_request_names():
    world = World(operation="aligned_statistics", choices={"max_concurrency": 3})
    waiting = computations.submit(document=world.request(), by=world.buyer)

    page = browser(world.buyer).get(f"/computations/{waiting.ref}/").content.decode()

    assert "Provider of the groups" in page
    assert "urn:hengshu:org:" not in page
