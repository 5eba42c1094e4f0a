"""A stranger checks a receipt in the browser: genuine, with one byte changed, and with a policy of another exchange."""

import json
from pathlib import Path

import pytest
from django.db import connections

from compute.actions import results
from compute.protocol import keyfiles
from ledger import actions as ledger
from tests.factories.receipts import Purchase
from tests.functional.site import Site

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def _no_kept_connections(monkeypatch):
    """The server's threads must not keep connections: the test database is dropped at the end."""
    monkeypatch.setitem(connections["default"].settings_dict, "CONN_MAX_AGE", 0)


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


def links(site: Site) -> list[str]:
    """The picture's answers, from the entries to the block's seals."""
    return [str(link.get_attribute("data-status")) for link in site.page.locator("#verify-result [data-of]").all()]


def drop(site: Site, path: Path) -> None:
    """Drop a file onto the page, as a mouse does."""
    site.page.evaluate(
        """([name, text]) => {
          const carried = new DataTransfer();
          carried.items.add(new File([text], name, { type: "application/json" }));
          const event = new DragEvent("drop", { dataTransfer: carried, bubbles: true });
          document.getElementById("drop").dispatchEvent(event);
        }""",
        [path.name, path.read_text()],
    )


def verdict(site: Site) -> str:
    return site.page.locator("[data-verdict]").get_attribute("data-verdict") or ""


def test_a_genuine_receipt_passes_and_what_is_not_checked_is_said(browser, live_server, receipt):
    site = Site.open(browser, live_server.url).go("/ledger/verify/")

    answers = judged(site.attach("#receipt-file", receipt))

    assert verdict(site) == "accepted"
    left_open = {"cosignatures", "anchor", "chain", "header", "grants"}
    assert {name for name, answer in answers.items() if answer != "PASS"} == left_open
    assert links(site) == ["PASS", "PASS", "PASS", "NOT_CHECKED", "NOT_CHECKED", "NOT_CHECKED"]
    assert site.complaints() == []


@pytest.mark.parametrize(("chain", "last"), [("sealed", "PASS"), ("development", "NOT_CHECKED")])
def test_all_evidence_is_judged_in_the_browser_under_the_visitors_own_policy(
    browser, live_server, tmp_path, chain, last
):
    bought = Purchase(witnesses=3, quorum=2, chain=chain)
    (tmp_path / "receipt.json").write_bytes(bought.bundle())
    (tmp_path / "policy.json").write_text(json.dumps(bought.policy.document()))
    site = Site.open(browser, live_server.url).go("/ledger/verify/")
    drop(site, tmp_path / "policy.json")
    site.page.wait_for_selector("#verify-result .alert-info")

    drop(site, tmp_path / "receipt.json")
    answers = judged(site)

    assert verdict(site) == "accepted"
    assert {answer for name, answer in answers.items() if name != "header"} == {"PASS"}
    assert links(site) == ["PASS"] * 5 + [last]
    shown = site.page.inner_text("#verify-result")
    assert ("开发链" in shown) is (chain == "development")
    assert "截至区块 7" in shown
    assert site.complaints() == []
    assert site.outside == []


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
    stranger = ledger.trust_policy().document()
    stranger["exchange_keys"][-1]["key"] = keyfiles.generate("other").document_key
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
