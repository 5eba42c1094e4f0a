"""What a meter counts: a quantity is never written without its unit. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from compute.protocol import operations
from exchange.kernel.errors import InvalidInput


class UsageInvalid(InvalidInput):
    """Not a quantity that a meter can count."""

    code = "USAGE_INVALID"


class Unit(StrEnum):
    """The units a contract may be metered in; the value is the word of the terms."""

    PER_CALL = operations.PER_CALL
    PER_SUBJECT = operations.PER_SUBJECT  # 人次: persons that the signed request names
    PER_ROW = operations.PER_ROW  # rows that the signed request names, in its steps


@dataclass(frozen=True, slots=True)
class Usage:
    """A whole quantity of one unit, at least 1."""

    quantity: int
    unit: Unit = Unit.PER_CALL

    def __post_init__(self) -> None:
        if isinstance(self.quantity, bool) or not isinstance(self.quantity, int) or self.quantity < 1:
            raise UsageInvalid("Usage is a whole number of units, at least 1.")
