"""What the policy matrix is told about a product: read from its registration as it stands now.

Judged are the columns that the request touches, not those that merely lie beside them; the provider's
declared grade of the whole product is the floor. The key on which rows are aligned is no such column: it
never leaves the two owners' nodes and the set intersection between them.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from compute.errors import ProductNotAvailable
from compute.protocol import operations
from compute.techniques import Classification, Facts, Flag, Personal, TaskKind
from exchange.kernel import identifiers
from listings import words
from listings.models import Column, ProductVersion, Specification
from listings.states import CertificateState, ProductState

# Delisted products run off under contracts that stand; suspended ones do not.
_STOPPED = frozenset({ProductState.SUSPENDED, ProductState.REJECTED})
_CLASSES: Mapping[str, Classification] = {
    words.NationalGrade.GENERAL: Classification.GENERAL,
    words.NationalGrade.IMPORTANT: Classification.IMPORTANT,
    words.NationalGrade.CORE: Classification.CORE,
}
_PERSONAL: Mapping[str, Personal] = {
    words.Personal.NONE: Personal.NONE,
    words.Personal.PI: Personal.ORDINARY,
    words.Personal.SENSITIVE: Personal.SENSITIVE,
    words.Personal.MINOR: Personal.SENSITIVE,  # every item about a child under 14 is sensitive (PIPL 28)
}


def facts_of(
    item: Mapping[str, Any],
    *,
    task: TaskKind,
    request: Mapping[str, Any],
    purpose: str,
    flags: Collection[Flag],
    now: datetime,
) -> Facts:
    """The facts of one object of a contract for one request.

    Args:
        item: the object as the terms name it: product, version, provider, columns.
        flags: what the contract says about the use.
    Raises:
        ProductNotAvailable: suspended, or without a valid certificate.
    """
    version = _version(item, now=now)
    specification = version.specification
    touched = _touched(request, provider=item["provider"])
    columns = list(version.columns.filter(name__in=touched))
    if {column.name for column in columns} != touched:
        raise ProductNotAvailable("The product's registration no longer has every column; agree on a new contract.")
    personal = _personal(specification, columns)
    floor = 1 if personal is Personal.NONE else 2  # rows about persons can harm somebody: never grade 1
    return Facts(
        task=task,
        grade=max([floor, specification.grade_general, *(column.grade for column in columns)]),
        classification=_CLASSES[specification.grade_national],
        personal=personal,
        sector=specification.sector,
        sector_level=specification.grade_sector,
        purpose=purpose,
        flags=frozenset(flags) | _flags(specification, operation=request["operation"], purpose=purpose),
    )


def _version(item: Mapping[str, Any], *, now: datetime) -> ProductVersion:
    found = (
        ProductVersion.objects.select_related("product", "specification", "certificate")
        .filter(product__ref=identifiers.parse_urn(item["product"], kind="product"), version=item["version"])
        .first()
    )
    certificate = getattr(found, "certificate", None)
    if found is None or certificate is None:
        raise ProductNotAvailable("A product of the contract has no registration certificate; ask its provider.")
    if certificate.state != CertificateState.ACTIVE or certificate.valid_until <= now:
        raise ProductNotAvailable("A product's registration certificate is not in force; ask its provider.")
    if found.product.state in _STOPPED:
        raise ProductNotAvailable("A product of the contract is suspended; wait until it is listed again.")
    return found


def _touched(request: Mapping[str, Any], *, provider: str) -> set[str]:
    """The columns of one provider that the request names."""
    return set(operations.get(request["operation"]).columns(request["parameters"], provider))


def _personal(specification: Specification, columns: list[Column]) -> Personal:
    """The strictest flag of the columns touched; rows about persons are personal whatever their columns say."""
    order = list(Personal)
    found = [_PERSONAL[column.pi] for column in columns]
    if specification.persons_approx or any(flag != words.Personal.NONE for flag in specification.pi_flags):
        found.append(Personal.ORDINARY)
    return max(found, key=order.index, default=Personal.NONE)


def _flags(specification: Specification, *, operation: str, purpose: str) -> frozenset[Flag]:
    flags = set()
    if words.Personal.MINOR in specification.pi_flags:
        flags.add(Flag.MINORS)
    if specification.is_public_data:
        flags.add(Flag.PUBLIC_DATA)
        if specification.public_data_code:
            flags.add(Flag.OPERATOR_AUTHORISED)
    if specification.pia_report:
        flags.add(Flag.RISK_ASSESSED)
    if _named(specification.algorithms) and operation not in _named(specification.algorithms):
        flags.add(Flag.NEW_ALGORITHM)
    if _named(specification.scenarios, "purpose") and purpose not in _named(specification.scenarios, "purpose"):
        flags.add(Flag.NEW_PURPOSE)
    return frozenset(flags)


def _named(items: Any, member: str = "operation") -> set[str]:
    """The words in a list of words, or of objects that hold the word in one member."""
    found = {item.get(member, "") if isinstance(item, dict) else str(item) for item in items or []}
    return found - {""}
