"""Search that finds Chinese words of one, two and more characters, Latin words and beginnings."""

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from listings import catalogue, search
from tests.factories import listings

TEXT = "澄江市住房公积金缴存统计 credit score API接口"


def matches(text: str, words: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::tsvector @@ %s::tsquery", [search.vector([(text, "A")]), search.query(words)])
        return cursor.fetchone()[0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "words",
    [
        "公积",
        "公积金",
        "住房公积金",
        "金",
        "房",
        "计",
        "credit",
        "CRE",
        "统计 credit",
        "API接口",
        "ＡＰＩ",
        "口",
        "api接口",
    ],
)
def test_finds(words):
    assert matches(TEXT, words)


@pytest.mark.django_db
@pytest.mark.parametrize("words", ["公金", "积公", "税务", "公积金 税务", "redit", "接口API", "金credit", "统计接口"])
def test_does_not_find(words):
    assert not matches(TEXT, words)


@pytest.mark.parametrize("words", ["", "  ", "!!!", "' | & :*", "\\"])
def test_nothing_to_ask(words):
    assert search.query(words) == ""


@pytest.mark.django_db
@settings(max_examples=60, deadline=None)
@given(
    text=st.text(alphabet="公积金社保税房", max_size=12),
    words=st.text(alphabet="公积金社保税房", min_size=1, max_size=4),
)
def test_chinese_search_is_substring_search(text, words):
    assert matches(text or "。", words) == (words in text)


@pytest.mark.django_db
@settings(max_examples=60, deadline=None)
@given(words=st.text(max_size=30))
def test_no_question_breaks_the_index(words):
    if search.query(words):
        matches(TEXT, words)


@pytest.mark.django_db
def test_the_catalogue_finds_listed_products_by_two_characters_and_counts_facets():
    product = listings.listed()
    listings.draft()

    assert list(catalogue.find({"q": "公积"})) == [product]
    assert list(catalogue.find({"q": "区县"})) == [product]
    assert list(catalogue.find({"q": "税务"})) == []
    assert list(catalogue.find({"q": product.number})) == [product]
    assert catalogue.facets({"q": "公积"})["industry"] == [{"value": "J66", "count": 1, "is_chosen": False}]
    assert list(catalogue.find({"grade": "4"})) == []


@pytest.mark.django_db
def test_a_facet_counts_its_other_values_and_the_choices_made_elsewhere():
    by = listings.provider()
    listings.listed(by=by, name_zh="住房公积金缴存统计", changes={"industry": "J66"})
    listings.listed(by=by, name_zh="住房公积金贷款统计", changes={"industry": "J66"})
    listings.listed(name_zh="住房公积金提取统计", changes={"industry": "S93"})

    facets = catalogue.facets({"q": "公积", "industry": "S93"})

    assert facets["industry"] == [
        {"value": "J66", "count": 2, "is_chosen": False},
        {"value": "S93", "count": 1, "is_chosen": True},
    ]
    assert [row["count"] for row in facets["provider"]] == [1]  # only who offers something in the chosen industry
    assert len(catalogue.find({"q": "公积", "industry": "S93"})) == 1
