"""A stranger checks a receipt in the browser: genuine, with one byte changed, and with a policy of another exchange."""

import json

import pytest

from compute.actions import results
from compute.protocol import keyfiles
from ledger import actions as ledger
from tests.functional.site import Site

pytestmark = pytest.mark.browser


@pytest.fixture
def receipt(scene, tmp_path):
    path = tmp_path / "receipt.json"
    path.write_bytes(results.receipt_of(scene.released))
    return path


def judged(site: Site) -> dict[str, str]:
    """The answers on the page, by question."""
    site.page.wait_for_selector("[data-verdict]")
    items = site.page.locator("#verify-result [data-check]").all()
    return {str(item.get_attribute("data-check")): str(item.get_attribute("data-status")) for item in items}


def verdict(site: Site) -> str:
    return site.page.locator("[data-verdict]").get_attribute("data-verdict") or ""


def test_a_genuine_receipt_passes_and_what_is_not_checked_is_said(browser, live_server, receipt):
    site = Site.open(browser, live_server.url).go("/ledger/verify/")

    answers = judged(site.attach("#receipt-file", receipt))

    assert verdict(site) == "accepted"
    assert {name for name, answer in answers.items() if answer != "PASS"} == {"anchor", "chain"}
    assert site.complaints() == []


def test_one_changed_byte_fails(browser, live_server, receipt):
    whole = bytearray(receipt.read_bytes())
    place = whole.index(b'"amount_fen":50000') + len(b'"amount_fen":5')
    whole[place] = ord("1")
    receipt.write_bytes(whole)
    site = Site.open(browser, live_server.url).go("/ledger/verify/")

    answers = judged(site.attach("#receipt-file", receipt))

    assert verdict(site) == "refused"
    assert answers.pop("bundle") == "FAIL"
    assert set(answers.values()) == {"NOT_CHECKED"}


def test_under_the_policy_of_another_exchange_it_fails(browser, live_server, receipt, tmp_path):
    stranger = ledger.trust_policy().document() | {"exchange_document_key": keyfiles.generate("other").document_key}
    own = tmp_path / "policy.json"
    own.write_text(json.dumps(stranger))
    site = Site.open(browser, live_server.url).go("/ledger/verify/")
    site.page.locator("#drop summary").click()

    site.attach("#policy-file", own)
    answers = judged(site.attach("#receipt-file", receipt))

    assert verdict(site) == "refused"
    assert answers["bundle"] == "FAIL"


def test_the_page_and_the_library_answer_alike(browser, live_server, receipt):
    from ledger.proofs import receipts

    site = Site.open(browser, live_server.url).go("/ledger/verify/")

    answers = judged(site.attach("#receipt-file", receipt))

    checks = receipts.verify(receipt.read_bytes(), policy=ledger.trust_policy())
    assert answers == {check.name: str(check.status) for check in checks}
