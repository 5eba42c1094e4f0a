"""What the catalogue's rows owe the log: products, their versions, reviews and certificates."""

from collections.abc import Iterator

from django.db.models import F

from ledger.audits.counterparts import (
    REF,
    SUBJECT,
    Counterpart,
    Owed,
    Standing,
    Stands,
    Untabled,
    agreed_digest,
    in_order,
    table_of,
    text,
    urn,
)
from ledger.kinds import EntryKind
from listings.models import Product, ProductVersion, RegistrationCertificate, Review
from listings.states import PRODUCT, ProductState, ReviewDecision

_E = EntryKind
_S = ProductState
_DECISIONS = {
    ReviewDecision.APPROVED.value: _E.PRODUCT_APPROVED,
    ReviewDecision.RETURNED.value: _E.PRODUCT_RETURNED,
    ReviewDecision.REJECTED.value: _E.PRODUCT_REJECTED,
}


def _products() -> Iterator[Owed]:
    for row in in_order(Product.objects.all(), urn("product", "ref")):
        yield Owed(row.token, row.token, row.ref, {"version": 1})


def _later_versions() -> Iterator[Owed]:
    rows = ProductVersion.objects.filter(version__gt=1).select_related("product")
    for row in in_order(rows, urn("product", "product__ref")):
        yield Owed(row.token, row.token, f"{row.product.ref} version {row.version}", {"version": row.version})


def _reviews() -> Iterator[Owed]:
    rows = Review.objects.select_related("version__product")
    for row in in_order(rows, urn("product", "version__product__ref")):
        facts = {
            "version": row.version.version,
            "reason": row.reason,
            "fields": row.fields,
        }
        ref = f"{row.version.product.ref} review {row.pk}"
        yield Owed(row.token, row.token, ref, facts, kind=_DECISIONS.get(row.decision))


def _certificates() -> Iterator[Owed]:
    rows = RegistrationCertificate.objects.select_related("version__product")
    for row in in_order(rows, text("certificate:", F("number"))):
        facts = {
            "number": row.number,
            "version": row.version.version,
            "record_digest": agreed_digest(row.record_digest, row.document),
        }
        yield Owed(row.token, row.version.product.urn, row.number, facts)


def _certificate_entries() -> Iterator[Owed]:
    """The entry that each certificate names is its own."""
    rows = RegistrationCertificate.objects.select_related("version__product")
    for row in in_order(rows, F("entry_ref")):
        yield Owed(row.token, row.version.product.urn, row.number, {"number": row.number})


def _states() -> Iterator[Stands]:
    for row in in_order(Product.objects.select_related("current"), urn("product", "ref")):
        yield Stands(row.token, row.state, row.ref)


COUNTERPARTS = (
    Counterpart(table_of(Product), (_E.PRODUCT_DRAFTED,), _products, by=SUBJECT),
    Counterpart(table_of(ProductVersion), (_E.PRODUCT_REVISED,), _later_versions, by=SUBJECT),
    Counterpart(table_of(Review), tuple(_DECISIONS.values()), _reviews, by=SUBJECT),
    Counterpart(table_of(RegistrationCertificate), (_E.CERTIFICATE_ISSUED,), _certificates),
    Counterpart(table_of(RegistrationCertificate), (_E.CERTIFICATE_ISSUED,), _certificate_entries, by=REF),
    Standing(
        table=table_of(Product),
        states={
            _E.PRODUCT_DRAFTED: _S.DRAFT,
            _E.PRODUCT_REVISED: _S.DRAFT,
            _E.PRODUCT_SUBMITTED: _S.SUBMITTED,
            _E.PRODUCT_RETURNED: _S.RETURNED,
            _E.PRODUCT_REJECTED: _S.REJECTED,
            _E.PRODUCT_APPROVED: _S.APPROVED,
            _E.CERTIFICATE_ISSUED: _S.CERTIFIED,
            _E.PRODUCT_LISTED: _S.LISTED,
            _E.PRODUCT_SUSPENDED: _S.SUSPENDED,
            _E.PRODUCT_DELISTED: _S.DELISTED,
        },
        rows=_states,
        transitions=PRODUCT,
        start=frozenset({_S.DRAFT}),
    ),
    Untabled(
        kinds=(_E.PRODUCT_REGISTERED, _E.CERTIFICATE_SUSPENDED, _E.CERTIFICATE_REVOKED),
        reason="not written: a certificate is issued, and follows its product's suspension and end",
    ),
)
