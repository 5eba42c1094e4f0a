"""Every page in a real browser: readable by everyone, at both widths, in both languages, with nothing from outside."""

import pytest

from exchange.members.permissions import Role
from tests.factories.pages import PASSWORD
from tests.functional.site import Site

pytestmark = pytest.mark.browser

ROLES = (
    None,
    Role.BUYER,
    Role.PROVIDER,
    Role.ADMISSION_OFFICER,
    Role.COMPLIANCE_REVIEWER,
    Role.SETTLEMENT_CLERK,
    Role.AUDITOR,
)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_has_a_serious_fault(browser, live_server, scene, width):
    faults = []
    for role in ROLES:
        site = Site.open(browser, live_server.url, width=width)
        if role is not None:
            site.sign_in(scene.people[role], PASSWORD)
        for name, path in scene.pages_of(role).items():
            site.go(path)
            # What a page says to a screen reader is the same at both widths; looking costs as much as all the rest.
            faults += [f"{role} {name}: {fault}" for fault in site.complaints(axe=width == 390)]
        site.page.context.close()

    assert faults == []


def test_the_language_switch_keeps_the_page_and_changes_its_words(browser, live_server, scene):
    site = Site.open(browser, live_server.url).go("/catalogue/")
    assert site.heading() == "数据产品"
    assert site.page.get_attribute("html", "lang") == "zh-Hans"

    site.speak("en")

    assert site.page.url.endswith("/catalogue/")
    assert site.heading() == "Data products"
    assert site.page.get_attribute("html", "lang") == "en"


def test_two_characters_find_a_product_while_typing(browser, live_server, scene):
    site = Site.open(browser, live_server.url).go("/catalogue/")

    site.page.locator("#q").press_sequentially("缴存")
    site.page.wait_for_url("**/catalogue/?*q=*")

    assert "澄江市住房公积金缴存统计" in site.page.locator("#results").inner_text()


def test_tabs_of_a_product_are_moved_with_the_arrow_keys(browser, live_server, scene):
    site = Site.open(browser, live_server.url).go(f"/products/{scene.listed.ref}/")

    site.page.locator("#overview").focus()
    site.page.keyboard.press("ArrowRight")

    assert site.page.locator("#fields").get_attribute("aria-selected") == "true"
    assert site.page.locator("#panel-fields").is_visible()
    assert not site.page.locator("#panel-overview").is_visible()


def test_the_menu_of_a_small_screen_opens_with_the_keyboard(browser, live_server, scene):
    site = Site.open(browser, live_server.url, width=390).go("/")
    assert not site.page.locator("#site-nav").is_visible()

    site.page.locator("[data-toggle-nav]").press("Enter")

    assert site.page.locator("#site-nav").is_visible()
    assert site.page.locator("[data-toggle-nav]").get_attribute("aria-expanded") == "true"
