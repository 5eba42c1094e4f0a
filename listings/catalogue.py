"""The catalogue as readers narrow it: words, and facets with their counts."""

from collections import Counter
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
    """Listed products (or those given) that match the words `q` and every facet chosen.

    Versions and specifications are fetched for the rows that are shown, not joined to all that match: in a
    catalogue of 20,000 the database would otherwise join every one of them to order twelve.
    """
    products: Any = _asked_for(chosen, among=among)
    for name, column in FACETS.items():
        if chosen.get(name):
            products = products.filter(**{column: chosen[name]})
    return products.with_version_of_each()  # type: ignore[no-any-return]


def facets(chosen: Mapping[str, Any]) -> dict[str, Sequence[dict[str, Any]]]:
    """For each facet its values with counts, given the other choices: rows of value, count, is_chosen.

    Rows of providers also carry the `name` of the organisation whose reference the value is. One query counts
    every combination; each facet then adds up those that fit the other choices.
    """
    keys = {f"facet_{name}": F(column) for name, column in FACETS.items()}
    combinations = list(_asked_for(chosen).order_by().values(**keys).annotate(count=Count("pk")))
    result: dict[str, Sequence[dict[str, Any]]] = {}
    for name in FACETS:
        others = {key: chosen[key] for key in FACETS if key != name and chosen.get(key)}
        counts: Counter[Any] = Counter()
        for row in combinations:
            if all(str(row[f"facet_{key}"]) == str(wanted) for key, wanted in others.items()):
                counts[row[f"facet_{name}"]] += row["count"]
        result[name] = [
            {"value": value, "count": count, "is_chosen": str(value) == str(chosen.get(name))}
            for value, count in sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
            if value != ""
        ]
    names = {
        one.ref: one.name for one in Organization.objects.filter(ref__in=[row["value"] for row in result["provider"]])
    }
    result["provider"] = [{**row, "name": names.get(row["value"], "")} for row in result["provider"]]
    return result


def _asked_for(chosen: Mapping[str, Any], *, among: QuerySet[Product] | None = None) -> Any:
    """What matches the words and the way of delivery, before any facet."""
    products: Any = Product.objects.listed() if among is None else among
    products = products.matching(str(chosen.get("q", "")))
    if chosen.get("delivery"):
        products = products.filter(current__specification__delivery_modes__contains=[chosen["delivery"]])
    return products
