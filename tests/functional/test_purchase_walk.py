"""A whole new purchase in the browser: provider, staff, visitor and buyer, each in their own window.

What only a key can do is done by the command that the page shows, on the member's own machine.
"""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from exchange.runner.world import member
from tests.functional.people import People, change_one_byte, commands, drop, reload_until_link, untranslated
from tests.functional.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.slow]

WORD = "韧性"
NAME = f"澄江市职工缴存{WORD}统计服务"
NAME_EN = "Resilience of contributions in Chengjiang"
PRICE_YUAN = "320.00"
PRICE = "¥320.00"
SIGNERS = ("fund-a", "fund-b", "bank")
PROVIDERS = ("fund-a", "fund-b")


@pytest.fixture
def people(told, browser):
    everybody = People(told, browser)
    yield everybody
    everybody.close()


def test_a_whole_purchase_in_the_browser(people, tmp_path):
    product = register(people)
    contract = agree(people, product)
    computation = compute(people, contract)
    receive(people, contract, computation, tmp_path)


# --- the product: drafted, returned, corrected, approved, certified, listed -----------------------------------------


def register(people: People) -> str:
    """A product on the dataset that fund-a's node already holds; returns its reference."""
    provider = draft(people)
    product = provider.page.url.rstrip("/").rpartition("/")[2]

    provider.press("提交审核")
    expect(provider.page.locator("[role=status] .alert").last).to_contain_text("影响评估")  # sensitive columns need one
    provider.go(f"/products/{product}/edit/")
    provider.page.fill("[name=pia_date]", "2026-10-01")
    provider.page.fill("[name=pia_digest]", "5e" * 32)
    provider.press("保存草稿")
    provider.press("提交审核")
    assert provider.state() == "submitted"

    desk = f"/desk/products/{product}/"
    give_back(people.at("reviewer").go(desk))
    correct(provider.go(f"/products/{product}/edit/"))
    assert provider.state() == "submitted"
    people.at("reviewer").go(desk).fill("理由", "来源与场景说明完整，最小单元合规").press("批准")
    people.at("registrar").go(desk).press("签发登记凭证")
    people.at("listing").go(desk).press("挂牌")

    certificate(people.at(), find(people.at(), product))
    return product


def draft(people: People) -> Site:
    """The provider's form, filled as a person would; ends on the draft's page."""
    site = people.at("fund-a").go("/workplace/")
    site.page.get_by_role("link", name="登记产品").click()
    assert untranslated(site) == []
    assert site.complaints() == []
    texts = {
        "name_zh": NAME,
        "name_en": NAME_EN,
        "abstract_zh": "按年龄段统计职工缴存的连续性，原始数据不出域。",
        "abstract_en": "How steadily employees contribute, by age band; rows never leave the node.",
        "industry": "J66 货币金融服务",
        "classification": "社会保障 / 缴存",
        "volume_rows": "6000",
        "dataset": "housing_fund",
        "dataset_commitment": people.story.commitments["fund-a"],
        "columns_text": (
            "person_id | 身份标识 | person id | text |  | sensitive | 4 | no\n"
            "age_band | 年龄段 | age band | category |  | pi | 2 | 是\n"
            "base | 缴存基数 | contribution base | decimal(2) | CNY | sensitive | 4 | no | 0..60000.00\n"
            "months | 连续缴存月数 | months in a row | integer |  | pi | 2 | no | 0..600"
        ),
        "persons_approx": "6000",
        "source_statement": "履职中采集。",
        "region": "澄江市",
        "time_from": "2021-01-01",
        "time_to": "2026-10-31",
        "deident_method": "固定分组块，每块不少于10人",
        "rights_term": "2031-10-31",
        "scenario_zh": "银行统计区域缴存韧性",
        "scenario_en": "Regional resilience of contributions",
        "min_cell": "10",
        "unit_price_yuan": PRICE_YUAN,
    }
    for name, text in texts.items():
        site.page.fill(f"[name={name}]", text)
    choices = {
        "update_freq": "monthly",
        "grade_general": "3",
        "region_scope": "city",
        "legal_basis": "statutory_duty",
        "scenario_code": "credit_risk_statistics",
    }
    for name, value in choices.items():
        site.page.select_option(f"[name={name}]", value)
    for box in ("collected", "re_identification", "resale", "mpc", "joint_statistics"):
        site.page.check(f"input[value={box}]")
    site.press("保存草稿")
    expect(site.page.locator("h1")).to_have_text(NAME)
    assert site.state() == "draft"
    return site


def give_back(reviewer: Site) -> None:
    """Two fields are named, with what to correct at each."""
    reviewer.page.locator("details summary").click()
    reviewer.page.fill("#return-reason", "来源说明过短，价格须写明依据")
    for row, (name, text) in enumerate(
        (("source_statement", "请写明采集依据与合法性"), ("pricing", "请按登记价调整")), start=1
    ):
        reviewer.page.select_option(f"[name=field_{row}]", name)
        reviewer.page.fill(f"[name=text_{row}]", text)
    reviewer.press("退回")
    expect(reviewer.page.locator(".alert-success")).to_be_visible()


def correct(provider: Site) -> None:
    """Each remark stands at its own field; corrected, saved and handed in again."""
    remark = provider.page.locator(".mb-3", has=provider.page.locator("[name=source_statement]"))
    expect(remark.locator(".hs-remark")).to_contain_text("请写明采集依据与合法性")
    remark = provider.page.locator(".mb-3", has=provider.page.locator("[name=unit_price_yuan]"))
    expect(remark.locator(".hs-remark")).to_contain_text("请按登记价调整")
    assert provider.complaints() == []
    provider.page.fill("[name=source_statement]", "依据住房公积金管理条例在履职中依法采集，来源合法，权属清晰。")
    provider.press("保存草稿")
    provider.press("提交审核")


def find(visitor: Site, product: str) -> str:
    """Two Chinese characters find it while typing; returns the address of its certificate."""
    visitor.go("/catalogue/").page.locator("#q").press_sequentially(WORD)
    expect(visitor.page.locator("#results .hs-product")).to_have_count(1)
    expect(visitor.page.locator("#results")).to_contain_text(NAME)
    assert visitor.complaints() == []
    visitor.page.get_by_role("link", name=NAME).click()
    visitor.page.wait_for_url(f"**/products/{product}/")
    visitor.page.click("#certificate")
    shown = visitor.page.locator("#panel-certificate a[href*='/certificates/']").first
    return str(shown.get_attribute("href"))


def certificate(visitor: Site, address: str) -> None:
    """The public page computes the digest anew and shows the code that leads back to it."""
    visitor.go(address)
    expect(visitor.page.locator(".alert-success")).to_contain_text("重新计算")
    assert visitor.page.locator(".hs-qr svg path, .hs-qr svg rect").count() > 0
    assert NAME in visitor.text()
    assert "不是国家数据产权登记" in visitor.text()
    assert untranslated(visitor) == []
    assert visitor.complaints() == []
    visitor.speak("en")
    assert untranslated(visitor) == []
    visitor.speak("zh-hans")


# --- the contract: proposed on the page, signed, granted, funded and accepted ---------------------------------------


def agree(people: People, product: str) -> str:
    """A contract over the new product and the other city's fund; returns its address."""
    buyer = propose(people, product)
    path = buyer.page.url.removeprefix(buyer.url)
    for code in SIGNERS:
        sign(people, code, path)
    for code in PROVIDERS:
        shown = [line for line in commands(people.at(code).go(path)) if line.startswith("hengshu contract grant")]
        people.run(code, shown[0], "--yes")
    fund(people, path)
    for code in PROVIDERS:
        let_node_know(people, code, path)
    effective(buyer, path)
    return path


def propose(people: People, product: str) -> Site:
    other = people.story.products["fund-b"]
    buyer = people.at("bank").go(f"/products/{product}/")
    buyer.page.get_by_role("link", name="发起合约").click()
    expect(buyer.page.locator(f"input[value='{product}']")).to_be_checked()
    assert untranslated(buyer) == []
    assert buyer.complaints() == []
    buyer.page.check(f"input[value='{other['ref']}']")
    columns = buyer.page.locator("[name=columns] option")
    wanted = [
        str(option.get_attribute("value"))
        for option in columns.all()
        if re.fullmatch(r".*:(age_band|base)", str(option.get_attribute("value")))
    ]
    number = people.at("fund-a").go(f"/products/{product}/").page.get_by_text(re.compile(r"^DP-")).first.inner_text()
    ours = [one for one in wanted if one.startswith((number, other["number"]))]
    assert len(ours) == 4
    buyer.page.select_option("[name=columns]", ours)
    buyer.page.fill("[name=scenario_zh]", "按年龄段统计缴存基数，用于区域信用风险分析")
    buyer.page.fill("[name=scenario_en]", "Contribution base by age band, for regional credit risk")
    buyer.page.select_option("[name=legal_basis]", "statutory_duty")
    buyer.page.fill("[name=unit_price_yuan]", PRICE_YUAN)
    buyer.page.fill("[name=quota_total]", "8")
    buyer.page.fill("[name=quota_per_day]", "8")
    buyer.press("生成条款")
    assert buyer.state() == "proposed"
    return buyer


def sign(people: People, code: str, path: str) -> None:
    """The party runs what its page shows; the page then says who signed, when, and with which key."""
    site = people.at(code).go(path)
    shown = [line for line in commands(site) if line.startswith("hengshu contract sign")]
    people.run(code, shown[0], "--yes")
    site.go(path)
    key = people.story.parties.cli(member(code), "keys", "show")["document_key"]
    party = site.page.locator(".hs-party.is-done", has_text=member(code).name_zh)
    expect(party).to_contain_text("已签署")
    expect(party).to_contain_text("eddsa-jcs-2022")
    assert party.locator(f"[title='{key}']").count() == 1


def fund(people: People, path: str) -> None:
    """The clerk finds the contract on the desk and books the bank's line."""
    clerk = people.at("clerk").go("/desk/deposits/")
    card = clerk.page.locator(".card", has=clerk.page.locator(f"a[href='{path}']")).last
    card.locator("[name=amount]").fill("1280.00")
    card.locator("[name=reference]").fill(f"ICBC-{path.rstrip('/')[-8:]}")
    card.get_by_role("button", name="确认入金").click()
    expect(clerk.page.locator(".alert-success")).to_be_visible()
    assert clerk.complaints() == []


def let_node_know(people: People, code: str, path: str) -> None:
    """The owner's page names three commands: fetch the signed terms, accept them on the node, consent in advance."""
    shown = commands(people.at(code).go(path))
    fetch, accept, consent = (
        next(line for line in shown if words in line)
        for words in ("contract show", "contract accept", "consent standing")
    )
    people.run(code, fetch)
    people.run(code, accept)
    people.run(code, consent)


def effective(buyer: Site, path: str) -> None:
    """In force once the grants stand on the chain: gauge, money and evidence are on the page."""
    expect(buyer.page.locator("[aria-current=step]")).to_have_text("已生效")
    assert buyer.page.locator("#c-meter").is_visible()
    expect(buyer.page.locator("[data-chart] :is(canvas, svg)").first).to_be_visible()
    money = buyer.page.locator("section", has=buyer.page.locator("#c-money"))
    expect(money.last).to_contain_text("¥1,280.00")
    assert untranslated(buyer) == []
    assert buyer.complaints() == []
    buyer.speak("en")
    assert untranslated(buyer) == []
    buyer.speak("zh-hans")


# --- the computation: built on the page, sent by the command it shows, watched live ---------------------------------


def compute(people: People, path: str) -> str:
    """Returns the computation's address once its result is released and its receipt is ready."""
    buyer = people.at("bank").go(path)
    buyer.page.get_by_role("link", name="发起计算").click()
    assert untranslated(buyer) == []
    buyer.page.select_option("[name=group_by]", ["age_band"])
    buyer.page.select_option("[name=values]", ["base"])
    buyer.press("生成命令")
    assert buyer.complaints() == []
    number = buyer.page.locator(".hs-crumbs a").last.inner_text()
    watching = people.start("bank", next(line for line in commands(buyer) if "compute submit" in line))

    address = reload_until_link(buyer, "/computations/", number)
    buyer.go(address)
    buyer.page.evaluate("() => { window.sameDocument = true; }")
    expect(buyer.page.locator("[aria-current=step]")).to_have_text("审核中")
    review(people.at("reviewer"), address)
    expect(buyer.page.locator("[aria-current=step]")).to_have_text("已放行", timeout=60_000)
    expect(buyer.page.get_by_role("link", name="下载用量凭证")).to_be_visible(timeout=60_000)
    assert buyer.page.evaluate("() => window.sameDocument") is True  # htmx asked; nobody reloaded
    assert watching.result(timeout=60)["state"] == "released"  # and so did the command line
    return address


def review(reviewer: Site, address: str) -> None:
    """The policy table asks for a person: the queue leads there, the query is read, a reason is given."""
    reviewer.go("/desk/computations/").page.locator(f"a[href='{address}']").click()
    expect(reviewer.page.get_by_role("main")).to_contain_text("age_band")
    reviewer.fill("理由", "查询仅含分组统计").press("批准")
    expect(reviewer.page.locator(".alert-success")).to_be_visible()
    assert reviewer.complaints() == []


# --- the result: evidence, opening, statement and receipt ------------------------------------------------------------


def receive(people: People, contract: str, computation: str, folder: Path) -> None:
    buyer = people.at("bank").go(computation)
    evidence(buyer)
    opened = people.run("bank", commands(buyer)[0], "--out", str(people.place("bank", "result-walk")))["result"]
    assert len(opened["cells"]) > 0
    assert {cell["column"] for cell in opened["cells"]} == {"base"}
    receipt = buyer.download("下载用量凭证", folder / "receipt.json")

    statement(people, contract, json.loads(receipt.read_bytes())["charge"]["amount_fen"])
    judge(people.at(), receipt, change_one_byte(receipt, folder / "changed.json"))


def evidence(buyer: Site) -> None:
    """Who said what, with entry, checkpoint and block; and the entry's page shows its proof."""
    steps = buyer.page.locator(".hs-timeline > li")
    said = "\n".join(steps.all_inner_texts())
    for what in ("计算已提交", "计算已复核", "已同意", "计算已授权", "结果已接收", "已计费", "结果已放行"):
        assert what in said
    assert "等待" not in said
    assert re.search(r"存证条目\s*#\d+\s*检查点\s*\d+\s*区块\s*\d+", said)
    assert untranslated(buyer) == []
    assert buyer.complaints() == []
    buyer.speak("en")
    assert untranslated(buyer) == []
    buyer.speak("zh-hans")
    address = str(steps.last.locator("a").first.get_attribute("href"))
    buyer.go(address)
    assert untranslated(buyer) == []
    buyer.page.go_back()


def statement(people: People, path: str, amount_fen: int) -> None:
    """One call is charged once; both sides recompute the statement and agree."""
    assert amount_fen == 32_000
    for code in ("bank", "fund-a"):
        site = people.at(code).go(path)
        total = site.page.locator("section", has=site.page.locator("#c-statement")).last
        expect(total.locator("tbody tr")).to_have_count(1)
        expect(total.locator("tfoot tr").first).to_contain_text(PRICE)
        assert people.run(code, total.locator("code").first.inner_text())["agrees"] is True
    meter = people.at("bank").page.locator("section", has=people.at("bank").page.locator("#c-meter")).last
    assert re.search(r"剩余\s*7", meter.inner_text())


def judge(visitor: Site, receipt: Path, changed: Path) -> None:
    """A stranger drops the file on the public page: genuine passes, one changed byte fails."""
    for path, verdict in ((receipt, "accepted"), (changed, "refused")):
        drop(visitor.go("/ledger/verify/"), "#drop", path)
        expect(visitor.page.locator("[data-verdict]")).to_have_attribute("data-verdict", verdict)
        assert untranslated(visitor) == []
        assert visitor.complaints() == []
