"""Pages of the API: numbered, with a size the caller may ask for."""

from rest_framework.pagination import PageNumberPagination


class Pages(PageNumberPagination):
    """`?page=2&page_size=50` → count, next, previous, results."""

    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100
