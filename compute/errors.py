"""Why a computation is turned down: codes for programs, sentences for people."""

from collections.abc import Mapping

from exchange.kernel.errors import DomainError, NotFound


class RequestInvalid(DomainError):
    """The request document is malformed, unsigned, or does not fit the contract."""

    code = "REQUEST_INVALID"
    status = 400


class RequestSignatureInvalid(DomainError):
    """The request was not signed by the buyer's key that the contract names."""

    code = "REQUEST_SIGNATURE_INVALID"
    status = 400


class RequestExpired(DomainError):
    """The request's own period is over, or begins too far from now."""

    code = "REQUEST_EXPIRED"
    status = 400


class TermsChanged(DomainError):
    """The request names other terms than those signed."""

    code = "TERMS_DIGEST_MISMATCH"


class ComputationExists(DomainError):
    """Another request has this computation's id."""

    code = "COMPUTATION_EXISTS"


class OperationNotAgreed(DomainError):
    """The contract does not name this operation, engine or purpose."""

    code = "OPERATION_NOT_AGREED"


class TechniqueNotAllowed(DomainError):
    """The policy table does not allow this technique for this data and purpose."""

    code = "TECHNIQUE_NOT_ALLOWED"


class GroupsTooSmall(DomainError):
    """The policy wants larger groups than the request asks for."""

    code = "GROUPS_TOO_SMALL"


class ConcurrencyExceeded(DomainError):
    """As many computations as the contract allows at once are under way."""

    code = "CONCURRENCY_EXCEEDED"


class ProductNotAvailable(DomainError):
    """A product of the contract is no longer listed, or its certificate does not stand."""

    code = "PRODUCT_NOT_AVAILABLE"


class ReviewRefused(DomainError):
    """This review cannot be made: no reason given, or no review is due."""

    code = "REVIEW_REFUSED"


class ConsentInvalid(DomainError):
    """The consent document does not fit the computation or its signer."""

    code = "CONSENT_INVALID"
    status = 400


class ConsentClosed(DomainError):
    """An answer has been recorded, or none is asked for any more."""

    code = "CONSENT_CLOSED"


class TaskNotAvailable(DomainError):
    """There is no such task for this organisation to take now."""

    code = "TASK_NOT_AVAILABLE"


class LeaseLost(DomainError):
    """The task was taken back: the lease ran out or a newer claim holds it."""

    code = "LEASE_LOST"


class TaskClosed(DomainError):
    """The task has ended; nothing more is taken for it."""

    code = "TASK_CLOSED"


class OfferInvalid(DomainError):
    """The link offer does not fit the task."""

    code = "OFFER_INVALID"
    status = 400


class ReportInvalid(DomainError):
    """The execution report does not fit the task, the job or its signer."""

    code = "REPORT_INVALID"
    status = 400


class PartInvalid(DomainError):
    """The sealed part is not what the report says it is."""

    code = "PART_INVALID"
    status = 400


class PartTooLarge(DomainError):
    """The sealed part is larger than the contract allows."""

    code = "PART_TOO_LARGE"
    status = 413


class ReportConflict(DomainError):
    """Another report has been recorded for this task."""

    code = "REPORT_CONFLICT"


class NotReleased(DomainError):
    """The result has not been released yet."""

    code = "NOT_RELEASED"


class NodeMessageInvalid(DomainError):
    """The node's message is malformed or is not meant for this request."""

    code = "NODE_MESSAGE_INVALID"
    status = 400


class NodeUnknown(DomainError):
    """No admitted organisation with a valid key has signed this message."""

    code = "NODE_UNKNOWN"
    status = 401


class MessageOutOfTime(DomainError):
    """The message was made too long ago, or in the future."""

    code = "MESSAGE_OUT_OF_TIME"
    status = 401


class MessageReplayed(DomainError):
    """The message has been received before."""

    code = "MESSAGE_REPLAYED"


# How a computation may end without a result, beside the nodes' own codes (`compute.protocol.codes`).
END_SENTENCES: Mapping[str, str] = {
    "REVIEW_REJECTED": "A reviewer said no; the quota is back. Read the reason.",
    "CONSENT_REFUSED": "A party refused consent; the quota is back. Ask that party.",
    "WITHDRAWN_BY_BUYER": "The buyer took the request back; the quota is back too.",
    "CONTRACT_REVOKED": "A provider revoked the contract; what was under way is withheld and the quota is back.",
    "POLICY_CHANGED": "Grades or policy changed and a review is needed now; make a new request.",
    "REQUEST_EXPIRED": "The request ran out before every step was taken; the quota is back. Make a new request.",
    "PARTIES_NOT_READY": "A party's node was not ready in time; the quota is back. Ask again when all are online.",
}


class TraceReferenceInvalid(DomainError):
    """What was asked for is no digest, reference, URN or number."""

    code = "TRACE_REFERENCE_INVALID"
    status = 400


class TraceNotFound(NotFound):
    """Nothing by this digest or reference that the asker may see."""

    code = "TRACE_NOT_FOUND"
