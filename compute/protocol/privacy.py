"""The `privacy` member of a request: mechanism and epsilon, as exact decimals, and what makes two queries the same.

Epsilon and delta are decimal strings and are counted in whole millionths and whole trillionths: a budget that is
added up a thousand times must still be exact, and a float is not.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from compute.protocol import shapes
from compute.protocol.shapes import COLUMN, refuse
from ledger.proofs import canonical

LAPLACE, GAUSSIAN = "discrete_laplace", "discrete_gaussian"
REVIEWED = "reviewed"  # no noise: exact, and only if two persons of each owner have let this very request through
MECHANISMS = (LAPLACE, GAUSSIAN, REVIEWED)
MICRO = 10**6  # epsilon is counted in millionths
PICO = 10**12  # delta is counted in trillionths
MAX_EPSILON_MICRO = 10 * MICRO  # beyond this the word privacy says nothing

_EPSILON = re.compile(r"(0|[1-9][0-9]?)(\.[0-9]{1,6})?", re.ASCII)
_DELTA = re.compile(r"0\.[0-9]{1,12}", re.ASCII)
_NUMBER = shapes.pattern(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?", "a decimal in quotes")


def parse_epsilon(text: str) -> int:
    """Millionths of a decimal string such as "0.1"; ValueError for anything else, zero included."""
    micro = int(Decimal(text) * MICRO) if isinstance(text, str) and _EPSILON.fullmatch(text) else 0
    if not 1 <= micro <= MAX_EPSILON_MICRO:
        raise ValueError("not an epsilon")
    return micro


def parse_delta(text: str) -> int:
    """Trillionths of a decimal string such as "0.000000001"; ValueError for anything else, zero included."""
    pico = int(Decimal(text) * PICO) if isinstance(text, str) and _DELTA.fullmatch(text) else 0
    if pico < 1:
        raise ValueError("not a delta")
    return pico


def write_micro(micro: int) -> str:
    """Millionths as the shortest decimal string: 100000 is "0.1"."""
    return _write(micro, 6)


def write_pico(pico: int) -> str:
    """Trillionths as the shortest decimal string."""
    return _write(pico, 12)


def cost(privacy: Mapping[str, Any]) -> tuple[int, int]:
    """What one answer takes from the budget: millionths of epsilon, trillionths of delta."""
    if privacy["mechanism"] == REVIEWED:
        return 0, 0
    delta = parse_delta(privacy["delta"]) if privacy["mechanism"] == GAUSSIAN else 0
    return parse_epsilon(privacy["epsilon"]), delta


def shape(value: Any, path: str) -> None:
    """The closed shape of a `privacy` member: epsilon with noise, delta with the Gaussian mechanism, and only there."""
    shapes.members({"mechanism": shapes.choice(*MECHANISMS)}, optional=_AMOUNTS)(value, path)
    mechanism = value["mechanism"]
    if ("epsilon" in value) != (mechanism != REVIEWED):
        raise refuse(f"{path}.epsilon", "belongs to every mechanism with noise")
    if ("delta" in value) != (mechanism == GAUSSIAN):
        raise refuse(f"{path}.delta", f"belongs to {GAUSSIAN} and to nothing else")


def _decimal(read: Any, example: str) -> shapes.Shape:
    def check(value: Any, path: str) -> None:
        try:
            read(value)
        except (ValueError, TypeError, ArithmeticError):
            raise refuse(path, f"must be a decimal in quotes such as {example}") from None

    return check


_AMOUNTS = {"epsilon": _decimal(parse_epsilon, "0.1"), "delta": _decimal(parse_delta, "0.000000001")}
RANGE = shapes.members({"column": COLUMN, "from": _NUMBER, "to": _NUMBER})  # both ends included


def scaled(text: str, *, scale: int) -> Fraction:
    """A decimal string in units of 10^-scale; a fraction, because a bound may have more digits than the column."""
    return Fraction(text) * Fraction(10**scale)


def canonical_query(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the noise, in one order: the same people, groups, values and epsilon are the same query.

    `min_group` is left out: it hides noisy cells and changes none.
    """
    filters = [
        {**item, "in": sorted(item["in"])}
        if "in" in item
        else {"column": item["column"], **{end: str(Fraction(item[end])) for end in ("from", "to")}}
        for item in parameters.get("filters", ())
    ]
    privacy = parameters["privacy"]
    epsilon, delta = cost(privacy)
    return {
        "group_by": sorted(parameters.get("group_by", ())),
        "values": sorted(parameters.get("values", ())),
        "filters": sorted(filters, key=lambda item: str(item["column"])),
        "mechanism": privacy["mechanism"],
        "epsilon_micro": epsilon,
        "delta_pico": delta,
    }


def query_digest(parameters: Mapping[str, Any], *, among: Sequence[str] = ()) -> str:
    """SHA-256 of the canonical query.

    Args:
        among: all tables whose persons decide the answer, where it is not the own one alone. Two tables with the same
            noise could be subtracted, so that another table is another query.
    """
    query = canonical_query(parameters)
    return canonical.digest({**query, "among": list(among)} if among else query)


def _write(value: int, places: int) -> str:
    digits = str(value).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}".rstrip("0").rstrip(".")
