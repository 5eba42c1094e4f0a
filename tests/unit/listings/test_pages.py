"""Pages of products: who sees which, and the form's way into a draft."""

import pytest
from django.test import Client
from django.urls import reverse

from exchange.members.permissions import Role
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
