"""A person objects in its own browser and reads the answer there; provider and staff see what waits, not why."""

import json

import pytest
from django.db import connections
from django.utils import timezone

from compute.protocol import objections, shapes
from exchange.members.permissions import Role
from exchange.subjects.actions import objections as actions
from exchange.subjects.models import Objection
from ledger.proofs import statements
from tests.factories import notices as cards
from tests.factories import scoring_world as scoring
from tests.factories.compute import keys_of
from tests.factories.pages import PASSWORD
from tests.factories.scoring_world import ScoringWorld
from tests.functional.site import Site

pytestmark = pytest.mark.browser
IDENTIFIER, DISPUTED = "990101198001010017", "缴存月数应为 36 个月，不是 30 个月。"
ANSWER = "经核对原始凭证，已更正为 36 个月。"


@pytest.fixture
def run(transactional_db, monkeypatch):
    """One scoring of a person: (world, card, computation)."""
    monkeypatch.setitem(connections["default"].settings_dict, "CONN_MAX_AGE", 0)
    world, mine = ScoringWorld(), cards.card()
    return world, mine, scoring.score(world, [mine["public_key"]])[0]


def opened(site: Site, card, tmp_path) -> Site:
    """The person's page with its one run, and its objections unfolded."""
    path = tmp_path / "notice-card.json"
    path.write_text(json.dumps(card))
    site.go("/subject/").attach("#card-file", path)
    site.page.wait_for_selector("#subject-result article")
    return site


def unfold(site: Site) -> None:
    site.page.locator(".hs-objection summary").press("Enter")
    site.page.wait_for_selector(".hs-objection form:not([hidden])")


def marked_and_answered(world: ScoringWorld, filed: Objection) -> dict:
    """What the provider's node does: it opens the objection with its own key, marks, and answers to the person."""
    provider = world.organizations["civil"]
    document = objections.open_objection(
        bytes(filed.sealed),
        token_digest=filed.token_digest,
        computation=filed.computation.urn,
        organization=provider.urn,
        key=keys_of("civil").sealing,
    )
    now = timezone.now()
    actions.mark(ref=filed.ref, organization=provider, now=now)
    answer = objections.answer(
        objection=filed.urn, organization=provider.urn, outcome="corrected", text=ANSWER, created=now
    )
    signed = statements.sign(answer, key=keys_of("civil").document, created=shapes.write_time(now))
    sealed = objections.seal_answer(signed, to=document["answer_key"], token_digest=filed.token_digest)
    actions.answer(ref=filed.ref, organization=provider, outcome="corrected", sealed=sealed, now=now)
    return document


@pytest.mark.parametrize("width", [1280, 390])
def test_a_person_objects_and_reads_the_answer(browser, live_server, run, tmp_path, width):
    world, card, computation = run
    site = Site.open(browser, live_server.url, width=width)
    asked: list[str] = []
    site.page.on("request", lambda request: asked.append(f"{request.url} {request.post_data}"))
    opened(site, card, tmp_path)
    assert not any("/subjects/objections/" in line for line in asked), "who only looks tells nobody which run is theirs"

    unfold(site)
    site.page.locator(".hs-objection select").select_option(world.organizations["civil"].urn)
    site.page.locator(".hs-objection [name=identifier]").fill(IDENTIFIER)
    site.page.locator(".hs-objection button").press("Enter")
    assert "请填写全部三项" in site.page.locator(".hs-objection [data-said]").inner_text()
    site.page.locator(".hs-objection textarea").fill(DISPUTED)
    site.page.locator(".hs-objection button").press("Enter")
    site.page.wait_for_selector(".hs-objection li")

    filed = Objection.objects.get()
    assert (filed.state, filed.computation, filed.organization) == ("filed", computation, world.organizations["civil"])
    assert site.page.locator(".hs-objection li [data-state]").inner_text() == "已提出"
    assert filed.last_day in site.page.locator(".hs-objection li").inner_text()
    assert world.organizations["civil"].urn not in site.page.locator(".hs-objection select").inner_html()
    secret = (IDENTIFIER, DISPUTED, card["public_key"], card["private_key"])
    assert not any(one in line or json.dumps(one)[1:-1] in line for one in secret for line in asked)
    assert not any("token" in line for line in asked if not line.split(" ", 1)[1].startswith("{")), (
        "never in an address"
    )
    assert site.complaints() == []

    document = marked_and_answered(world, filed)
    assert (document["identifier"], document["disputed"]) == (IDENTIFIER, DISPUTED)
    opened(site, card, tmp_path)
    unfold(site)
    site.page.wait_for_selector(".hs-objection [data-text]:not([hidden])")
    assert site.page.locator(".hs-objection [data-text]").inner_text() == ANSWER
    assert "已更正记录" in site.page.locator(".hs-objection li").inner_text()
    assert site.complaints() == []


def test_an_answer_that_the_provider_has_not_signed_is_not_shown(browser, live_server, run, tmp_path):
    world, card, _ = run
    site = opened(Site.open(browser, live_server.url), card, tmp_path)
    unfold(site)
    site.page.locator(".hs-objection select").select_option(world.organizations["civil"].urn)
    site.page.locator(".hs-objection [name=identifier]").fill(IDENTIFIER)
    site.page.locator(".hs-objection textarea").fill(DISPUTED)
    site.page.locator(".hs-objection button").press("Enter")
    site.page.wait_for_selector(".hs-objection li")
    filed, now = Objection.objects.get(), timezone.now()
    actions.mark(ref=filed.ref, organization=filed.organization, now=now)
    forged = statements.sign(
        objections.answer(
            objection=filed.urn, organization=filed.organization.urn, outcome="upheld", text="假的答复", created=now
        ),
        key=keys_of("bank").document,
        created=shapes.write_time(now),
    )
    sealed = objections.seal_answer(forged, to=card["public_key"], token_digest=filed.token_digest)
    actions.answer(ref=filed.ref, organization=filed.organization, outcome="upheld", sealed=sealed, now=now)

    opened(site, card, tmp_path)
    unfold(site)
    site.page.wait_for_selector(".hs-objection [data-text]:not([hidden])")

    assert "不可采信" in site.page.locator(".hs-objection [data-text]").inner_text()
    assert "假的答复" not in site.text()


def test_provider_and_staff_see_what_waits_and_until_when(browser, live_server, scene):
    for role, path, heading in (
        (Role.PROVIDER, "/objections/", "对本机构记录的异议"),
        (Role.AUDITOR, "/desk/objections/", "个人信息主体的异议"),
    ):
        site = Site.open(browser, live_server.url)
        site.sign_in(scene.people[role], PASSWORD).go(path)

        assert site.heading() == heading
        states = [one.get_attribute("data-state") for one in site.page.locator("table [data-state]").all()]
        assert states == ["overdue", "filed", "marked", "answered"], "the overdue first"
        site.page.context.close()
