"""A provider's side: drafting a product, correcting it, submitting it, starting its next version."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.postgres.search import SearchVectorField
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Cast
from django.utils import timezone

from exchange.kernel.errors import PermissionRefused
from exchange.members.models import Membership
from exchange.members.permissions import Permission, check_permission
from ledger import actions as ledger
from ledger.kinds import EntryKind
from ledger.proofs import canonical
from listings import grading, policies, search, specifications
from listings.actions import moves, numbers
from listings.errors import ProductNotEditable, SpecificationIncomplete, SpecificationInvalid
from listings.models import Column, Product, ProductVersion, Specification
from listings.states import EDITABLE, PRODUCT, ProductState
from listings.words import NationalGrade, Personal

Fields = Mapping[str, Any]
_OURS = {"id", "version"}
_NEEDED = {"name_zh", "name_en", "dataset", "name", "title_zh", "type"}
SPECIFICATION_FIELDS = tuple(
    field.name
    for field in Specification._meta.get_fields()  # noqa: SLF001  Django's API
    if field.name not in _OURS
)
COLUMN_FIELDS = (
    "name", "title_zh", "title_en", "type", "unit", "scale", "pi", "grade", "is_nullable", "is_block_dimension",
    "dictionary", "lower_bound", "upper_bound",
)  # fmt: skip


@transaction.atomic
def draft(
    *,
    by: Membership,
    name_zh: str,
    name_en: str,
    dataset: str,
    dataset_commitment: str = "",
    specification: Fields | None = None,
    columns: Sequence[Fields] = (),
) -> Product:
    """Begin a product; nobody but its provider sees it yet.

    Args:
        dataset, dataset_commitment: what `hengshu-node dataset add` printed on the provider's own machine.
        specification: any of `SPECIFICATION_FIELDS`; the applicant is the provider unless told.
        columns: `COLUMN_FIELDS` of each, in order.
    Raises:
        PermissionRefused: not a provider.
        SpecificationInvalid: a field holds what it cannot hold; `fields` says which.
    """
    check_permission(by, Permission.PRODUCT_PROVIDE)
    product = Product(provider=by.organization, name_zh=name_zh.strip(), name_en=name_en.strip())
    _save_checked(product)
    version = ProductVersion(
        product=product, version=1, dataset=dataset, dataset_commitment=dataset_commitment, created_by=by.user
    )
    _save_checked(version)
    organization = by.organization
    contact = organization.contact or {"name": str(by.user), "email": by.user.email}
    applicant = {"applicant_name": organization.name_zh, "id_no": organization.uscc, "contact": contact}
    _write(version, {**applicant, **(specification or {})}, columns)
    product.current = version
    product.save(update_fields=["current"])
    _index(product)
    _record(EntryKind.PRODUCT_DRAFTED, product, by)
    return product


@transaction.atomic
def revise(
    *,
    product: Product,
    by: Membership,
    names: Mapping[str, str] | None = None,
    dataset: str | None = None,
    dataset_commitment: str | None = None,
    specification: Fields | None = None,
    columns: Sequence[Fields] | None = None,
) -> Product:
    """Change what has not been submitted, or was returned; None leaves a part as it is.

    Raises:
        ProductNotEditable: the version was submitted.
        PermissionRefused, SpecificationInvalid: as `draft`.
    """
    locked = _lock_own(product, by)
    if ProductState(locked.state) not in EDITABLE:
        raise ProductNotEditable("What was submitted does not change; start the next version instead.")
    version = locked.version
    for name, value in (names or {}).items():
        setattr(locked, name, value.strip())
    _save_checked(locked)
    version.dataset = version.dataset if dataset is None else dataset
    version.dataset_commitment = version.dataset_commitment if dataset_commitment is None else dataset_commitment
    _save_checked(version)
    _write(version, specification or {}, columns)
    _index(locked)
    return locked


@transaction.atomic
def submit(*, product: Product, by: Membership) -> Product:
    """Hand the newest version in for review; from now on it is frozen by its digest.

    Raises:
        ScenarioMissing, CoreDataRefused: red lines.
        SpecificationIncomplete: `fields` names every defect at once.
        CommitmentMissing, ProviderNotReady: see `policies.check_can_submit`.
        InvalidTransition: not a draft, nor returned.
    """
    locked = _lock_own(product, by)
    PRODUCT.check(ProductState(locked.state), ProductState.SUBMITTED)
    version = locked.version
    fields, columns = fields_of(version), columns_of(version)
    policies.check_red_lines(fields)
    defects = specifications.problems(fields, columns, grade=version.grade)
    if defects:
        raise SpecificationIncomplete("Complete the marked fields and submit again.", fields=defects)
    policies.check_can_submit(locked, version)
    now = timezone.now()
    if locked.number is None:
        locked.number = numbers.next_number("DP", now=now)
    version.specification_digest = canonical.digest(document_of(locked, version))
    version.submitted_by, version.submitted_at = by.user, now
    version.save(update_fields=["specification_digest", "submitted_by", "submitted_at"])
    moves.move(locked, ProductState.SUBMITTED)
    _index(locked)
    _record(EntryKind.PRODUCT_SUBMITTED, locked, by, digest=version.specification_digest)
    return locked


@transaction.atomic
def start_next_version(*, product: Product, by: Membership) -> Product:
    """Begin the next version as a copy of the newest; contracts stay on the version they name.

    The product takes no new contract until the next version is listed.

    Raises:
        InvalidTransition: neither listed nor suspended.
    """
    locked = _lock_own(product, by)
    PRODUCT.check(ProductState(locked.state), ProductState.DRAFT)
    old = locked.version
    version = ProductVersion.objects.create(
        product=locked,
        version=old.version + 1,
        dataset=old.dataset,
        dataset_commitment=old.dataset_commitment,
        created_by=by.user,
    )
    _write(version, fields_of(old), columns_of(old))
    locked.current = version
    locked.save(update_fields=["current"])
    moves.move(locked, ProductState.DRAFT)
    _record(EntryKind.PRODUCT_REVISED, locked, by)
    return locked


def fields_of(version: ProductVersion) -> dict[str, Any]:
    """The specification's fields, by name."""
    return {name: getattr(version.specification, name) for name in SPECIFICATION_FIELDS}


def columns_of(version: ProductVersion) -> list[dict[str, Any]]:
    """The columns' fields, in order."""
    return [{name: getattr(column, name) for name in COLUMN_FIELDS} for column in version.columns.all()]


def document_of(product: Product, version: ProductVersion) -> dict[str, Any]:
    """The document whose digest freezes a version."""
    return specifications.document(
        product=product.urn,
        number=product.number or "",
        version=version.version,
        provider=product.provider.urn,
        names={"name_zh": product.name_zh, "name_en": product.name_en},
        dataset=version.dataset,
        dataset_commitment=version.dataset_commitment,
        grade=version.grade,
        fields=fields_of(version),
        columns=columns_of(version),
    )


def _lock_own(product: Product, by: Membership) -> Product:
    check_permission(by, Permission.PRODUCT_PROVIDE)
    locked = moves.lock(product)
    if locked.provider_id != by.organization_id:
        raise PermissionRefused("Only the product's own provider can do this.")
    return locked


def _write(version: ProductVersion, fields: Fields, columns: Sequence[Fields] | None) -> None:
    unknown = {name: "is not a field of the specification" for name in fields if name not in SPECIFICATION_FIELDS}
    if unknown:
        raise SpecificationInvalid("The specification has fields that do not exist.", fields=unknown)
    specification = Specification.objects.filter(version=version).first() or Specification(version=version)
    for name, value in fields.items():
        setattr(specification, name, value)
    _save_checked(specification)
    if columns is not None:
        _write_columns(version, columns)
    _regrade(version, specification)


def _write_columns(version: ProductVersion, columns: Sequence[Fields]) -> None:
    version.columns.all().delete()
    for position, values in enumerate(columns):
        unknown = [name for name in values if name not in COLUMN_FIELDS]
        if unknown:
            fields = {f"columns[{position}].{name}": "is not a field of a column" for name in unknown}
            raise SpecificationInvalid("A column has fields that do not exist.", fields=fields)
        _save_checked(Column(version=version, position=position, **values), prefix=f"columns[{position}].")


def _regrade(version: ProductVersion, specification: Specification) -> None:
    """Let the rules raise the columns' grades, then the product's; what people proposed is never lowered."""
    rows = {column.name: column for column in version.columns.all()}
    facts = [
        grading.ColumnFacts(row.name, row.title_zh, row.title_en, row.grade, Personal(row.pi)) for row in rows.values()
    ]
    result = grading.grade_product(
        facts,
        national=NationalGrade(specification.grade_national),
        proposed=specification.grade_general,
        persons=specification.persons_approx,
    )
    for graded in result.columns:
        row = rows[graded.name]
        row.grade, row.pi = graded.grade, graded.personal.value
        row.grade_rule = graded.rule.rule if graded.rule else row.grade_rule
        row.save(update_fields=["grade", "pi", "grade_rule"])
    specification.grade_general = max(specification.grade_general, result.general)
    specification.pi_flags = sorted({graded.personal.value for graded in result.columns})
    specification.save(update_fields=["grade_general", "pi_flags"])
    version.grade = result.grade
    version.grading = {"decisive": list(result.decisive), "notes": list(result.notes)}
    version.save(update_fields=["grade", "grading"])


def _save_checked(row: Any, *, prefix: str = "") -> None:
    """Save a row whose filled fields hold what they can hold; a draft may leave all but `_NEEDED` empty."""
    empty = {
        field.name
        for field in row._meta.concrete_fields  # noqa: SLF001  Django's API
        if field.name not in _NEEDED and getattr(row, field.attname) in field.empty_values
    }
    try:
        row.full_clean(exclude=empty, validate_constraints=False)
    except ValidationError as error:
        fields = {prefix + name: " ".join(messages) for name, messages in error.message_dict.items()}
        raise SpecificationInvalid("Correct the marked fields.", fields=fields) from None
    row.save()


def _index(product: Product) -> None:
    version = product.version
    specification = version.specification
    texts = [(product.name_zh, "A"), (product.name_en, "A"), (product.number or "", "A")]
    texts += [(product.provider.name_zh, "B"), (product.provider.name_en, "B"), (specification.industry, "B")]
    texts += [(specification.abstract_zh, "C"), (specification.abstract_en, "C"), (specification.region, "C")]
    texts += [
        (text, "D") for column in version.columns.all() for text in (column.title_zh, column.title_en, column.name)
    ]
    literal = search.vector(texts)
    Product.objects.filter(pk=product.pk).update(search=Cast(Value(literal), SearchVectorField()))


def _record(kind: EntryKind, product: Product, by: Membership, **more: str) -> None:
    ledger.record(
        kind=kind,
        subject=product.urn,
        issuer=by.organization.urn,
        payload={"product": product.urn, "number": product.number or "", "version": product.version.version, **more},
    )
