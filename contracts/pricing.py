"""From terms and usage to money: what a run costs, who gets what, and the statement of a period.

Pure, without Django: the exchange charges with it and the members' own tool recomputes with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts import money
from exchange.kernel.errors import InvalidInput
from ledger.proofs import canonical

STATEMENT = "hengshu/statement/v1"
WHOLE_TERM = "all"

Statement = dict[str, Any]


class PriceUnsupported(InvalidInput):
    """The price clause asks for something this version cannot charge."""

    code = "PRICE_UNSUPPORTED"


class StatementWrong(InvalidInput):
    """A statement's figures do not follow from its terms and inputs."""

    code = "STATEMENT_WRONG"


@dataclass(frozen=True, slots=True)
class Charge:
    """What one released run costs, in fen; the shares add up to the amount."""

    unit_price_fen: int
    units: int
    amount_fen: int
    shares: dict[str, int]


@dataclass(frozen=True, slots=True)
class Record:
    """One counted run: the inputs of its charge. `reports` are the digests of the nodes' signed reports."""

    subject: str
    units: int
    reports: tuple[str, ...]
    counted: str


def check_price(terms: Mapping[str, Any]) -> None:
    """Raise PriceUnsupported for a price that this version does not charge."""
    price = terms["price"]
    if price["currency"] != money.CURRENCY or price["tax_included"] is not True:
        raise PriceUnsupported(f"Prices are in {money.CURRENCY} and include tax; state the price with tax.")


def price_of(terms: Mapping[str, Any], units: int) -> int:
    """Unit price times units, in fen: exact, nothing to round."""
    return int(terms["price"]["unit_price_fen"]) * units


def charge(terms: Mapping[str, Any], units: int) -> Charge:
    """What `units` cost under these terms, shared by the contract's split."""
    check_price(terms)
    amount_fen = price_of(terms, units)
    lines = [(line["account"], line["basis_points"]) for line in terms["money"]["split"]]
    shares = money.split(amount_fen, lines, remainder_to=terms["money"]["remainder_to"])
    return Charge(int(terms["price"]["unit_price_fen"]), units, amount_fen, shares)


def statement(terms: Mapping[str, Any], *, period: str, records: Iterable[Record]) -> Statement:
    """The unsigned statement of a period: inputs, a line for each run, totals and shares.

    Args:
        period: `2026-11`, or `all` for the whole term.
        records: the runs counted in it; their order does not matter.
    """
    counted = sorted(records, key=lambda record: (record.counted, record.subject))
    charges = [charge(terms, record.units) for record in counted]
    total_fen = sum(item.amount_fen for item in charges)
    price, clause = terms["price"], terms["money"]
    net_fen, tax_fen = money.tax_included(total_fen, rate_basis_points=price["tax_rate_basis_points"])
    shares = money.add_up([{line["account"]: 0 for line in clause["split"]}, *(item.shares for item in charges)])
    return {
        "type": STATEMENT,
        "contract": terms["id"],
        "number": terms["number"],
        "terms_digest": canonical.digest({name: value for name, value in terms.items() if name != "proof"}),
        "period": period,
        "price": dict(price),
        "split": [dict(line) for line in clause["split"]],
        "remainder_to": clause["remainder_to"],
        "lines": [
            {
                "subject": record.subject,
                "reports": sorted(record.reports),
                "counted": record.counted,
                "units": record.units,
                "unit_price_fen": item.unit_price_fen,
                "amount_fen": item.amount_fen,
            }
            for record, item in zip(counted, charges, strict=True)
        ],
        "totals": {
            "units": sum(record.units for record in counted),
            "amount_fen": total_fen,
            "net_fen": net_fen,
            "tax_fen": tax_fen,
        },
        "shares": [{"account": account, "amount_fen": amount_fen} for account, amount_fen in shares.items()],
    }


def verify_statement(document: Mapping[str, Any], *, terms: Mapping[str, Any]) -> None:
    """Work every figure of a statement out again from the terms and its own inputs.

    Raises:
        StatementWrong: with the member that does not follow.
    """
    try:
        records = [
            Record(line["subject"], line["units"], tuple(line["reports"]), line["counted"])
            for line in document["lines"]
        ]
        expected = statement(terms, period=document["period"], records=records)
    except (KeyError, TypeError) as error:
        raise StatementWrong("The statement lacks a member; ask for it again.") from error
    found = {name: value for name, value in document.items() if name != "proof"}
    if len({record.subject for record in records}) != len(records):
        raise StatementWrong("The statement counts a run twice; dispute it.")
    for name in sorted(set(expected) | set(found)):
        if expected.get(name) != found.get(name):
            raise StatementWrong(f"The statement's {name} does not follow from the terms; dispute it.")
