"""The catalogue as readers narrow it: words, and facets with their counts."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Count, F, QuerySet

from exchange.members.models import Organization
from listings.models import Product

# Query parameter → the column behind it.
FACETS: Mapping[str, str] = {
    "industry": "current__specification__industry",
    "kind": "current__specification__product_kind",
    "grade": "current__grade",
    "provider": "provider__ref",
}


def find(chosen: Mapping[str, Any], *, among: QuerySet[Product] | None = None) -> QuerySet[Product]:
    """Listed products (or those given) that match the words `q` and every facet chosen."""
    products: Any = Product.objects.listed() if among is None else among
    products = products.with_version().matching(str(chosen.get("q", "")))
    for name, column in FACETS.items():
        if chosen.get(name):
            products = products.filter(**{column: chosen[name]})
    if chosen.get("delivery"):
        products = products.filter(current__specification__delivery_modes__contains=[chosen["delivery"]])
    return products  # type: ignore[no-any-return]


def facets(chosen: Mapping[str, Any]) -> dict[str, Sequence[dict[str, Any]]]:
    """For each facet its values with counts, given the other choices: rows of value, count, is_chosen.

    Rows of providers also carry the `name` of the organisation whose reference the value is.
    """
    result: dict[str, Sequence[dict[str, Any]]] = {}
    for name, column in FACETS.items():
        others = {key: value for key, value in chosen.items() if key != name}
        rows = find(others).order_by().values(value=F(column)).annotate(count=Count("pk")).order_by("-count", "value")
        result[name] = [
            {**row, "is_chosen": str(row["value"]) == str(chosen.get(name))} for row in rows if row["value"] != ""
        ]
    names = {
        one.ref: one.name for one in Organization.objects.filter(ref__in=[row["value"] for row in result["provider"]])
    }
    result["provider"] = [{**row, "name": names.get(row["value"], "")} for row in result["provider"]]
    return result
