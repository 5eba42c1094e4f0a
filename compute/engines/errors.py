"""Why a query or a run ends: a stable code of the engines, and the code of the closed list that a node reports."""

from collections.abc import Mapping

from exchange.kernel.errors import DomainError

# engine code -> code of compute.protocol.codes, the only words that leave a node
FAILURE_CODES: Mapping[str, str] = {
    "GROUPING_NOT_A_BLOCK": "GROUPING_NOT_A_BLOCK",
    "FILTER_NOT_A_BLOCK": "FILTER_NOT_A_BLOCK",
    "COLUMN_UNKNOWN": "PARAMETERS_OUT_OF_TERMS",
    "VALUE_NOT_NUMERIC": "PARAMETERS_OUT_OF_TERMS",
    "VALUE_RANGE_TOO_WIDE": "PARAMETERS_OUT_OF_TERMS",
    "MIN_GROUP_TOO_SMALL": "PARAMETERS_OUT_OF_TERMS",
    "IDENTIFIER_MISSING": "PARAMETERS_OUT_OF_TERMS",
    "PARTITION_TOO_LARGE": "RESULT_TOO_LARGE",
    "LETTER_EXPIRED": "JOB_OUT_OF_TIME",
    "RELEASE_MISSING": "CONSENT_MISSING",
    "TARGET_NOT_APPROVED": "PURPOSE_NOT_ALLOWED",
    "BATCH_SIZE": "PARAMETERS_OUT_OF_TERMS",
    "GUESS_REPEATED": "QUOTA_EXHAUSTED",
    "PERIOD_OVER": "JOB_OUT_OF_TIME",
    "ENGINE_UNKNOWN": "ENGINE_NOT_ALLOWED",
    "JOB_DIFFERS": "REQUEST_MISMATCH",
    "PART_INVALID": "ENGINE_FAILED",
    "PEER_LOST": "LINK_FAILED",
    "LINK_REFUSED": "LINK_FAILED",
    "COMMITMENT": "COMMITMENT_MISMATCH",
    "ENGINE_ERROR": "ENGINE_FAILED",
    "ENGINE_CRASH": "ENGINE_FAILED",
    "OOM": "ENGINE_FAILED",
    "DISK_FULL": "ENGINE_FAILED",
    "DEADLINE": "DEADLINE_PASSED",
    "CANCELLED": "RUN_CANCELLED",
}


class EngineRefused(DomainError):
    """A query or a run that an engine turns down; `code` is one of FAILURE_CODES.

    The sentence may name columns and declared bounds, never a value of a row.
    """

    status = 409

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.failure_code = FAILURE_CODES[code]
        self.code = code  # type: ignore[misc]  # one class for the whole list: the code is the instance's


class LinkLost(EngineRefused):
    """A peer is gone, silent or never came; the run is void."""

    def __init__(self, message: str, *, code: str = "PEER_LOST") -> None:
        super().__init__(code, message)


class PartInvalid(EngineRefused):
    """Parts that do not belong together, or a part that is not one."""

    def __init__(self, message: str) -> None:
        super().__init__("PART_INVALID", message)
