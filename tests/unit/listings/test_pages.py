"""Pages of products: who sees which, and the form's way into a draft."""

import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation

from exchange.members.permissions import Role
from listings import defects, specifications
from listings.forms import ProductForm
from listings.models import Product
from tests.factories import listings, members

pytestmark = pytest.mark.django_db


def browser(membership=None) -> Client:
    client = Client(headers={"Accept-Language": "en"})
    if membership is not None:
        client.force_login(membership.user)
    return client


def test_visitors_see_catalogue_product_and_certificate():
    product = listings.listed()

    for address in (
        reverse("listings:catalogue") + "?q=公积&grade=2",
        product.get_absolute_url(),
        product.version.certificate.get_absolute_url(),
    ):
        answer = browser().get(address)
        assert (address, answer.status_code) == (address, 200)
    assert "not national property-rights registration" in answer.content.decode()


def test_a_draft_is_not_found_by_visitors_and_a_sentence_says_so():
    answer = browser().get(listings.draft().get_absolute_url())

    assert answer.status_code == 404
    assert "PRODUCT_NOT_FOUND" in answer.content.decode()


def test_a_provider_begins_changes_and_submits_a_product():
    author = listings.provider()
    client = browser(author)
    shown = ProductForm.values_of(listings.draft(by=author))
    data = {name: "" if value is None else value for name, value in shown.items() if name in ProductForm.base_fields}

    made = client.post(reverse("listings:create"), data | {"name_zh": "新的统计产品"})
    assert made.status_code == 302
    product = Product.objects.get(name_zh="新的统计产品")
    assert client.get(reverse("listings:edit", args=[product.ref])).status_code == 200
    changed = client.post(reverse("listings:edit", args=[product.ref]), data | {"name_zh": "改过的统计产品"})
    assert changed.status_code == 302
    client.post(reverse("listings:submit", args=[product.ref]))

    product.refresh_from_db()
    assert (product.name_zh, product.state) == ("改过的统计产品", "submitted")
    assert client.get(reverse("listings:mine")).status_code == 200


def test_a_faulty_form_comes_back_with_its_marks():
    answer = browser(listings.provider()).post(reverse("listings:create"), {"columns_text": "only one part"})

    assert answer.status_code == 422
    assert "columns_text" in answer.context["form"].errors


def test_a_buyer_has_no_product_form():
    assert browser(members.membership(Role.BUYER)).get(reverse("listings:create")).status_code == 403


def test_what_a_provider_wrote_in_the_form_comes_back_as_it_was():
    author = listings.provider()
    client = browser(author)
    shown = ProductForm.values_of(listings.draft(by=author))
    data = {name: "" if value is None else value for name, value in shown.items() if name in ProductForm.base_fields}
    lines = (
        "district | 行政区 | district | category |  | pi | 2 | yes | 东湖区, 西岭区\n"
        "base | 缴存基数 | contribution base | decimal(2) | CNY | sensitive | 4 | no | 0..60000.00"
    )
    assessed = {"pia_date": "2026-10-01", "pia_digest": "a" * 64}

    client.post(reverse("listings:create"), data | assessed | {"name_zh": "往返的统计产品", "columns_text": lines})

    again = ProductForm.values_of(Product.objects.get(name_zh="往返的统计产品"))
    assert again["columns_text"] == lines
    assert {name: again[name] for name in assessed} == assessed


def test_every_remark_of_a_reviewer_stands_at_its_control():
    remarks = {"pricing": "偏高", "columns[3].title_zh": "补充", "abstract_zh": "太短", "sample": "缺"}

    assert ProductForm.by_control(remarks) == {"unit_price_yuan": "偏高", "columns_text": "补充", "abstract_zh": "太短"}


def test_every_defect_is_told_in_chinese():
    empty = specifications.problems({"pi_flags": ["sensitive"]}, [{"name": "A"}], grade=1)

    with translation.override("zh-hans"):
        said = [defects.in_words(what) for what in empty.values()]

    assert len(said) > 15
    assert all(re.search("[\u4e00-\u9fff]", text) for text in said)
