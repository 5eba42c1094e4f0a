"""Terms from choices, terms for reading, and statements that both sides work out alike."""

import copy
import re

import pytest

from compute.protocol import terms as protocol
from contracts import clause_words, clauses, pricing
from contracts.actions import meters, settlements
from contracts.errors import PeriodInvalid
from contracts.models import Settlement
from contracts.pricing import PriceUnsupported, StatementWrong
from ledger.proofs import statements
from tests.factories import contracts as factory
from tests.factories.contracts import LATER, subject

pytestmark = pytest.mark.django_db


def charged(runs=3, **terms):
    agreement = factory.contract(**terms)
    for number in range(runs):
        meters.reserve(contract=agreement.contract, subject=subject(number), expires_at=LATER)
        meters.commit(subject=subject(number), units=1, report_digests=[f"{number:064x}", "f" * 64])
    return agreement


@pytest.mark.parametrize("operation", ["joint_statistics", "aligned_statistics"])
def test_the_terms_of_either_operation_are_whole(operation):
    terms = factory.contract(operation=operation).contract.terms

    protocol.check(terms)

    assert sum(line["basis_points"] for line in terms["money"]["split"]) == 10_000
    assert terms["computation"]["task_kind"] == "joint_stats"


def test_every_clause_group_is_shown_in_both_languages():
    terms = factory.contract(operation="aligned_statistics", chain=True).contract.terms
    shown = set(terms) - {"type", "id", "number", "template_kind", "exchange", "parties"}

    for language in ("zh-hans", "en"):
        sections = clauses.render(terms, language)
        assert {section.code for section in sections} == shown | {"identity"}
        assert all(row.label and row.value for section in sections for row in section.rows)
    english = [
        text for section in clauses.render(terms, "en") for row in section.rows for text in (row.label, row.explanation)
    ]
    names = {party["name_zh"] for party in terms["parties"]}
    assert not [text for text in english if re.search("[\u4e00-\u9fff]", text) and text not in names]


def test_every_member_of_the_terms_has_its_row():
    terms = factory.contract().contract.terms
    named = {"objects", "parties", "exchange"}
    for group, members in terms.items():
        if isinstance(members, dict) and group not in named:
            for member in members:
                base = re.sub("_(zh|en)$", "", member)
                assert f"{group}.{base}" in clause_words.ROWS or member in ("currency", "split", "task_kind"), member


def test_a_statement_follows_from_terms_and_reports():
    agreement = charged(runs=3, unit_price_fen=33_333)
    terms = agreement.contract.terms

    document = settlements.statement(contract=agreement.contract)

    assert document["totals"] == {"units": 3, "amount_fen": 99_999, "net_fen": 94_339, "tax_fen": 5_660}
    fund_a, fund_b = (provider.urn for provider in agreement.providers)
    # 3 % of 33,333 is 999.99, so 1,000; 48.5 % is 16,166.505, so 16,167; the rest of each run is the first's.
    assert document["shares"] == [
        {"account": "exchange", "amount_fen": 3_000},
        {"account": fund_a, "amount_fen": 48_498},
        {"account": fund_b, "amount_fen": 48_501},
    ]
    pricing.verify_statement(document, terms=terms)


@pytest.mark.parametrize(
    "change",
    [
        lambda statement: statement["totals"].update(amount_fen=1),
        lambda statement: statement["lines"][0].update(amount_fen=1),
        lambda statement: statement["lines"].append(statement["lines"][0]),
        lambda statement: statement["shares"][0].update(amount_fen=0),
        lambda statement: statement["price"].update(unit_price_fen=1),
        lambda statement: statement.update(terms_digest="0" * 64),
        lambda statement: statement.update(extra=1),
        lambda statement: statement.pop("lines"),
    ],
)
def test_a_changed_figure_shows(change):
    agreement = charged(runs=2)
    document = copy.deepcopy(settlements.statement(contract=agreement.contract))
    change(document)

    with pytest.raises(StatementWrong):
        pricing.verify_statement(document, terms=agreement.contract.terms)


def test_a_statement_is_issued_once_signed_and_stays():
    agreement = charged(runs=1)
    period = settlements.UsageRecord.objects.get().period

    first = settlements.issue(contract=agreement.contract, period=period, now=LATER)
    again = settlements.issue_due(contract=agreement.contract, now=LATER, closing=True)

    assert again == []
    assert Settlement.objects.get() == first
    statements.verify(first.document, signers=[factory.exchange_clause()["document_key"]])
    pricing.verify_statement(first.document, terms=agreement.contract.terms)


def test_a_month_that_is_over_is_issued_by_itself_and_the_present_one_is_not():
    agreement = charged(runs=1)
    counted = settlements.UsageRecord.objects.get().counted_at

    assert settlements.issue_due(contract=agreement.contract, now=counted) == []
    assert len(settlements.issue_due(contract=agreement.contract, now=LATER)) == 1


@pytest.mark.parametrize("period", ["2026", "2026-13", "2026-1", "26-11", "alles", "2026-11-01"])
def test_only_months_are_periods(period):
    with pytest.raises(PeriodInvalid):
        settlements.check_period(period)


def test_a_price_without_tax_is_not_charged():
    terms = factory.contract().contract.terms

    with pytest.raises(PriceUnsupported):
        pricing.charge({**terms, "price": {**terms["price"], "tax_included": False}}, 1)
