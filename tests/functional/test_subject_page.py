"""A person opens its notices in its own browser: its runs and nobody else's, and the exchange hears of no card."""

import json

import pytest
from django.db import connections

from tests.factories import notices as cards
from tests.factories import scoring_world as scoring
from tests.factories.scoring_world import ScoringWorld
from tests.functional.site import Site

pytestmark = pytest.mark.browser


@pytest.fixture
def runs(transactional_db, monkeypatch):
    """Two scorings of one person and others: (cards, computations)."""
    monkeypatch.setitem(connections["default"].settings_dict, "CONN_MAX_AGE", 0)
    world, mine = ScoringWorld(), cards.card()
    others = [cards.card()["public_key"] for _ in range(5)]
    return mine, [scoring.score(world, [*others, mine["public_key"], ""])[0] for _ in range(2)]


def listed(site: Site) -> list[str]:
    """The computations on the page, once the search has ended."""
    site.page.wait_for_selector("#subject-busy", state="hidden")
    site.page.wait_for_selector("#subject-result > *")
    found = site.page.locator("#subject-result article").all()
    return [str(one.get_attribute("data-computation")) for one in found]


def test_a_person_sees_its_runs_and_the_exchange_sees_no_card(browser, live_server, runs, tmp_path):
    card, computations = runs
    path = tmp_path / "notice-card.json"
    path.write_text(json.dumps(card))
    site = Site.open(browser, live_server.url, width=390)
    asked: list[str] = []
    site.page.on("request", lambda request: asked.append(f"{request.url} {request.post_data}"))
    site.go("/subject/")

    found = listed(site.attach("#card-file", path))

    assert sorted(found) == sorted(one.urn for one in computations)
    said = site.text()
    assert "bank（测试）" in said
    assert "fund-a（测试）" in said
    assert "2026-11" in said
    assert "有 2 次计算使用了您的信息" in said
    assert not any(card[half] in line for line in asked for half in ("public_key", "private_key"))
    assert site.complaints() == []


def test_strangers_see_none_and_are_told_what_to_do(browser, live_server, runs, tmp_path):
    path = tmp_path / "notice-card.json"
    path.write_text(json.dumps(cards.card()))
    site = Site.open(browser, live_server.url).go("/subject/").speak("en")

    assert listed(site.attach("#card-file", path)) == []
    assert "None of the 128 notices" in site.text()
    assert site.complaints() == []

    broken = tmp_path / "broken-card.json"  # a browser tells of no change where the same file is chosen again
    broken.write_text(json.dumps({**cards.card(), "public_key": "0" * 64}))
    site.attach("#card-file", broken)
    site.page.wait_for_selector("#subject-result [role=alert]")
    assert "no notice card" in site.text()


def test_a_card_made_in_the_page_opens_there(browser, live_server, transactional_db, tmp_path):
    """Made with the keyboard, saved, given to the bank, and read again."""
    site = Site.open(browser, live_server.url).go("/subject/")
    with site.page.expect_download() as waiting:
        site.page.locator("#make-card").press("Enter")
    path = tmp_path / "notice-card.json"
    waiting.value.save_as(path)
    key = site.page.locator("#new-card code").inner_text()
    assert json.loads(path.read_text())["public_key"] == key
    computation, _ = scoring.score(ScoringWorld(), [key])

    assert listed(site.attach("#card-file", path)) == [computation.urn]
    assert site.complaints() == []
