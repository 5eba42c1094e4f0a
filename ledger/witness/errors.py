"""What a witness's own tools refuse, and what a log is told when a witness does not cosign."""

from typing import ClassVar

from exchange.kernel.errors import DomainError


class WitnessError(DomainError):
    """A refusal of the witness's own tools; `zh` is the same sentence in Chinese."""

    code: ClassVar[str] = "WITNESS_INVALID"
    status = 400

    def __init__(self, message: str, *, zh: str) -> None:
        super().__init__(message)
        self.zh = zh


class WitnessUnavailable(WitnessError):
    """The witness gave no answer that can be used: ask again later."""

    code = "WITNESS_UNAVAILABLE"
    status = 503


class WitnessRefused(WitnessError):
    """The witness understood and did not cosign.

    Args:
        http_status: 400, 403, 404, 409 or 422, as tlog-witness gives them a meaning.
    """

    code = "WITNESS_REFUSED"
    status = 409

    def __init__(self, message: str, *, zh: str, http_status: int) -> None:
        super().__init__(message, zh=zh)
        self.http_status = http_status


class WitnessAhead(WitnessRefused):
    """The witness has cosigned a larger tree than the one shown: the log went back, or another one signs.

    Args:
        witness_size: the size that the witness cosigned last.
    """

    code = "WITNESS_AHEAD"

    def __init__(self, message: str, *, zh: str, witness_size: int) -> None:
        super().__init__(message, zh=zh, http_status=409)
        self.witness_size = witness_size
