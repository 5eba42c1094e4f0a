"""Locking a product and moving it by the one table of transitions."""

from django.utils import timezone

from listings.models import Product
from listings.states import PRODUCT, ProductState


def lock(product: Product) -> Product:
    """The product as it stands, held until the transaction ends."""
    locked: Product = Product.objects.locked().select_related("current__specification", "provider").get(pk=product.pk)
    return locked


def move(product: Product, to: ProductState, *, reason: str = "") -> None:
    """Put a locked product into another state.

    Raises:
        InvalidTransition: the table does not lead there.
    """
    PRODUCT.check(ProductState(product.state), to)
    product.state, product.state_since, product.state_reason = to.value, timezone.now(), reason
    product.save(update_fields=["state", "state_since", "state_reason", "number"])
