"""A product's way from draft to listing, and a certificate's life."""

from enum import StrEnum

from exchange.kernel.states import Owner, Transitions
from listings.words import Personal


class ProductState(StrEnum):
    """Where the newest version of a product stands."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    APPROVED = "approved"
    CERTIFIED = "certified"
    LISTED = "listed"
    SUSPENDED = "suspended"
    DELISTED = "delisted"
    REJECTED = "rejected"


_S = ProductState

PRODUCT = Transitions(
    {
        _S.DRAFT: frozenset({_S.SUBMITTED}),
        _S.SUBMITTED: frozenset({_S.RETURNED, _S.APPROVED, _S.REJECTED}),
        _S.RETURNED: frozenset({_S.SUBMITTED}),
        _S.APPROVED: frozenset({_S.CERTIFIED, _S.RETURNED}),
        _S.CERTIFIED: frozenset({_S.LISTED, _S.DELISTED}),
        _S.LISTED: frozenset({_S.SUSPENDED, _S.DELISTED, _S.DRAFT}),  # draft: its next version
        _S.SUSPENDED: frozenset({_S.LISTED, _S.DELISTED, _S.DRAFT}),
        _S.DELISTED: frozenset(),
        _S.REJECTED: frozenset(),
    },
    owners={
        _S.DRAFT: Owner.PROVIDER,
        _S.SUBMITTED: Owner.STAFF,
        _S.RETURNED: Owner.PROVIDER,
        _S.APPROVED: Owner.STAFF,
        _S.CERTIFIED: Owner.STAFF,
        _S.LISTED: Owner.STAFF,
        _S.SUSPENDED: Owner.STAFF,
        _S.DELISTED: Owner.NOBODY,
        _S.REJECTED: Owner.NOBODY,
    },
)
EDITABLE = frozenset({_S.DRAFT, _S.RETURNED})


class CertificateState(StrEnum):
    """Whether a registration certificate counts."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"


CERTIFICATE = Transitions(
    {
        CertificateState.ACTIVE: frozenset({CertificateState.SUSPENDED, CertificateState.CANCELLED}),
        CertificateState.SUSPENDED: frozenset({CertificateState.ACTIVE, CertificateState.CANCELLED}),
        CertificateState.CANCELLED: frozenset(),
    },
    owners={
        CertificateState.ACTIVE: Owner.STAFF,
        CertificateState.SUSPENDED: Owner.STAFF,
        CertificateState.CANCELLED: Owner.NOBODY,
    },
)


class ReviewDecision(StrEnum):
    """What a reviewer decided about a version."""

    APPROVED = "approved"
    RETURNED = "returned"
    REJECTED = "rejected"


# The words as the API's description names them (settings.SPECTACULAR_SETTINGS).
PRODUCT_CHOICES = [(state.value, state.value) for state in ProductState]
CERTIFICATE_CHOICES = [(state.value, state.value) for state in CertificateState]
PERSONAL_CHOICES = [(flag.value, flag.value) for flag in Personal]
