"""Why an objection is turned down: codes for programs, sentences for people."""

from exchange.kernel.errors import DomainError


class NoticeTokenUnknown(DomainError):
    """No published notice was sealed with this token."""

    code = "NOTICE_TOKEN_UNKNOWN"
    status = 404


class ObjectionNotToProvider(DomainError):
    """The organisation gave no columns to this run."""

    code = "OBJECTION_NOT_TO_PROVIDER"
    status = 400


class ObjectionExists(DomainError):
    """Another objection to this organisation was filed with this token."""

    code = "OBJECTION_EXISTS"


class ObjectionClosed(DomainError):
    """The objection has another answer already."""

    code = "OBJECTION_CLOSED"
