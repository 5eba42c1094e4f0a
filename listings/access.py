"""The doors to products and certificates."""

from exchange.members.models import Membership
from exchange.members.permissions import Permission, has_permission
from listings.errors import CertificateNotFound, ProductNotFound
from listings.models import Product, RegistrationCertificate
from listings.querysets import PUBLIC


def access_product(ref: str, *, by: Membership | None) -> Product:
    """The product of a reference, number or URN, if the asker may know of it.

    Listed products are public; earlier and turned-down ones are their provider's and the desk's.

    Raises:
        ProductNotFound: there is none, or it is none of the asker's business.
    """
    key = ref.rpartition(":")[2]
    lookup = {"number": key} if key.startswith("DP-") else {"ref": key}
    found: Product | None = Product.objects.with_version().filter(**lookup).first()
    if found is None or not (found.state in PUBLIC or may_see_file(found, by=by) or _on_desk(by)):
        raise ProductNotFound("There is no such product; check the reference or search the catalogue.")
    return found


def may_see_file(product: Product, *, by: Membership | None) -> bool:
    """Whether the asker sees the application file: evidence, contact, reviews.

    Desks that work on a product without its evidence (quality, listing) see what everybody will see of it.
    """
    return is_own(product, by=by) or has_permission(by, Permission.EVIDENCE_VIEW_ANY)


def is_own(product: Product, *, by: Membership | None) -> bool:
    """Whether the asker acts for the provider."""
    return by is not None and by.organization_id == product.provider_id


def access_certificate(number: str) -> RegistrationCertificate:
    """The certificate of a number; certificates are public.

    Raises:
        CertificateNotFound: there is none.
    """
    rows = RegistrationCertificate.objects.select_related("version__product__provider", "version__specification")
    found = rows.filter(number=number).first()
    if found is None:
        raise CertificateNotFound("There is no certificate of this number; check it, its last character is a check.")
    return found


def _on_desk(by: Membership | None) -> bool:
    return has_permission(by, Permission.PRODUCT_VIEW_ANY)
