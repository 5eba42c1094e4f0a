"""From the catalogue and the registry of keys to what terms are made of: read once, frozen by digests."""

from collections.abc import Sequence

from django.utils import timezone

from contracts.errors import PartyKeysMissing, ProductNotOffered
from contracts.terms import Offering, Party
from exchange.kernel import identifiers
from exchange.members.models import Organization, SigningKey
from exchange.members.states import KeyPurpose
from listings.models import Column, Product, ProductVersion
from listings.words import ColumnType

# What can be grouped by or summed: free text (names, identifiers) never enters a contract on statistics.
_COMPUTABLE = (ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.CATEGORY)


def party(organization: Organization) -> Party:
    """An admitted organisation with its three keys in force.

    Raises:
        PartyKeysMissing: not admitted, or a key is missing.
    """
    if not organization.is_admitted:
        raise PartyKeysMissing(f"{organization.name_en} is not admitted at present; choose another.")
    in_force = SigningKey.objects.filter(organization=organization).current().valid_at(timezone.now())
    keys = dict(in_force.values_list("purpose", "value"))
    try:
        return Party(
            organization=organization.urn,
            name_zh=organization.name_zh,
            name_en=organization.name_en,
            uscc=organization.uscc,
            document_key=keys[KeyPurpose.DOCUMENT],
            chain_address=keys[KeyPurpose.CHAIN],
            sealing_key=keys[KeyPurpose.SEALING],
        )
    except KeyError:
        raise PartyKeysMissing(
            f"{organization.name_en} has not registered all its keys; it registers its key card first."
        ) from None


def offerings(references: Sequence[str], *, with_text: bool = False) -> list[Offering]:
    """The listed products of these ULIDs, URNs or numbers, in this order.

    Args:
        with_text: columns of free text may be chosen, too.

    Raises:
        ProductNotOffered: unknown, not listed, without a valid certificate or a committed data set.
    """
    return [_offering(_product(reference), with_text=with_text) for reference in references]


def _product(reference: str) -> Product:
    ref = reference.rpartition(":")[2]
    listed = Product.objects.listed().with_version()
    found: Product | None = listed.filter(ref=ref).first() or listed.filter(number=reference).first()
    if found is None:
        raise ProductNotOffered("A product is not listed at present; choose one from the catalogue.")
    return found


def _offering(product: Product, *, with_text: bool) -> Offering:
    version = product.version
    certificate = getattr(version, "certificate", None)
    if certificate is None or not certificate.is_valid or not version.dataset_commitment:
        raise ProductNotOffered(
            f"{product.number} has no valid certificate or no committed data set; its provider completes it first."
        )
    return Offering(
        provider=party(product.provider),
        product=product.urn,
        number=str(product.number),
        version=version.version,
        specification_digest=version.specification_digest,
        certificate=certificate.number,
        grade=version.grade,
        dataset=version.dataset,
        dataset_commitment=version.dataset_commitment,
        columns=tuple(column.name for column in (version.columns.all() if with_text else computable(version))),
    )


def computable(version: ProductVersion) -> list[Column]:
    """The columns that a contract on statistics may use, in order."""
    wanted = version.columns.filter(type__in=[kind.value for kind in _COMPUTABLE])
    return list(wanted.order_by("position"))


def organization(reference: str) -> Organization:
    """The organisation of a ULID or URN.

    Raises:
        PartyKeysMissing: there is none that takes part.
    """
    ref = identifiers.parse_urn(reference, kind="org") if reference.startswith("urn:") else reference
    found = Organization.objects.admitted().filter(ref=ref).first()
    if found is None:
        raise PartyKeysMissing("The compute party is not a member; choose an admitted organisation.")
    return found
