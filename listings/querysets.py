"""Reads of this app's tables that more than one caller needs."""

from typing import TYPE_CHECKING

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db import models
from django.db.models import F

from listings import search
from listings.states import ProductState

if TYPE_CHECKING:
    from exchange.members.models import Organization
    from listings import models as tables  # noqa: F401  named in the base class below

# Once certified, a product's existence is public; before that it is its provider's and the desk's.
PUBLIC = (ProductState.LISTED, ProductState.SUSPENDED, ProductState.DELISTED)


class ProductQuerySet(models.QuerySet["tables.Product"]):
    """Products, and how they are locked and found."""

    def locked(self) -> "ProductQuerySet":
        """Rows held until the transaction ends; another decision waits."""
        return self.select_for_update(no_key=True, of=("self",))

    def in_states(self, *states: ProductState) -> "ProductQuerySet":
        return self.filter(state__in=[state.value for state in states])

    def listed(self) -> "ProductQuerySet":
        """What the catalogue shows."""
        return self.in_states(ProductState.LISTED)

    def of(self, organization: "Organization") -> "ProductQuerySet":
        return self.filter(provider=organization)

    def with_version(self) -> "ProductQuerySet":
        """Products with provider, newest version and specification, in one query."""
        return self.select_related("provider", "current__specification", "current__certificate")

    def with_version_of_each(self) -> "ProductQuerySet":
        """The same for the rows of one page: a fixed number of queries, and none over rows that are not shown."""
        return self.defer("search").prefetch_related("provider", "current__specification", "current__certificate")

    def matching(self, words: str) -> "ProductQuerySet":
        """Products whose text holds every word, best first; no words: all, newest first.

        Finds Chinese words of one, two or more characters, Latin words, and Latin beginnings.
        """
        query = search.query(words)
        if not query:
            return self.none() if words.strip() else self.order_by("-listed_at", "-pk")
        wanted = SearchQuery(query, search_type="raw", config="simple")
        found: ProductQuerySet = (
            self.filter(search=wanted)
            .annotate(rank=SearchRank(F("search"), wanted))
            .order_by("-rank", "-listed_at", "-pk")
        )
        return found
