"""Staff take a member and a product through the desk; the product ends in the catalogue."""

import pytest

from exchange.members.permissions import Role
from tests.factories.pages import PASSWORD
from tests.functional.site import Site

pytestmark = pytest.mark.browser


@pytest.fixture
def as_(browser, live_server, scene):
    """Open a window as somebody."""
    return lambda role: Site.open(browser, live_server.url).sign_in(scene.people[role], PASSWORD)


def test_an_applicant_is_admitted_with_a_reason(as_, scene):
    site = as_(Role.ADMISSION_OFFICER).go(f"/desk/organizations/{scene.applicant.ref}/")

    site.fill("理由", "证照齐全").press("准予入场")

    scene.applicant.refresh_from_db()
    assert (scene.applicant.status, scene.applicant.status_reason) == ("admitted", "证照齐全")


def test_without_a_reason_nothing_is_decided(as_, scene):
    site = as_(Role.ADMISSION_OFFICER).go(f"/desk/organizations/{scene.applicant.ref}/")

    site.fill("理由", " ").press("准予入场")

    scene.applicant.refresh_from_db()
    assert scene.applicant.status == "applied"


def test_a_product_goes_from_review_to_the_catalogue_by_three_persons(as_, scene):
    path = f"/desk/products/{scene.submitted.ref}/"

    as_(Role.COMPLIANCE_REVIEWER).go(path).fill("理由", "材料齐全").press("批准")
    as_(Role.REGISTRAR).go(path).press("签发登记凭证")
    site = as_(Role.LISTING_OFFICER).go(path).press("挂牌")

    scene.submitted.refresh_from_db()
    assert scene.submitted.state == "listed"
    assert "澄江市缴存人群画像统计" in site.go("/catalogue/?q=画像").text()


def test_a_returned_product_tells_the_provider_what_to_correct_where(as_, scene):
    site = as_(Role.COMPLIANCE_REVIEWER).go(f"/desk/products/{scene.submitted.ref}/")
    site.page.locator("details summary").click()
    site.page.fill("#return-reason", "来源需说明")
    site.page.select_option("[name=field_1]", "source_statement")
    site.page.fill("[name=text_1]", "请写明采集依据")
    site.press("退回")

    told = as_(Role.PROVIDER).go(f"/products/{scene.submitted.ref}/edit/").text()

    assert "来源需说明" in told
    assert "请写明采集依据" in told


def test_the_clerk_books_a_bank_line_once(as_, scene):
    before = scene.world.escrow_fen()
    for _ in range(2):
        site = as_(Role.SETTLEMENT_CLERK).go("/desk/deposits/")
        site.fill("金额（元）", "1234.56").fill("银行流水号", "BANK-LINE-1").press("确认入金")

    assert scene.world.escrow_fen() - before == 123_456


def test_a_member_is_turned_away_from_the_desk(as_, scene):
    site = as_(Role.PROVIDER).go("/desk/")

    assert "PERMISSION_REFUSED" in site.text()
