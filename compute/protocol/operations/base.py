"""What an operation is to contract, exchange and node alike: parameters, engine, and who takes part in which rank."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from compute.protocol import shapes
from exchange.kernel.errors import DomainError

MINIMUM_GROUP = 10  # the floor of every gate: no statistic over fewer persons, whatever a contract says

Parameters = Mapping[str, Any]
Terms = Mapping[str, Any]


class OperationUnknown(DomainError):
    """No operation of this name in this version."""

    code = "OPERATION_UNKNOWN"
    status = 400


class ParametersOutOfTerms(DomainError):
    """The parameters ask for something that the contract does not offer."""

    code = "PARAMETERS_OUT_OF_TERMS"
    status = 400


def every_object(terms: Terms, parameters: Parameters) -> list[dict[str, Any]]:
    """One data party for each object of the terms, in their order."""
    del parameters
    return list(terms["objects"])


def nothing_more(parameters: Parameters) -> None:
    """The shape of the parameters says all there is to say."""


PER_CALL, PER_SUBJECT, PER_ROW = "per_call", "per_subject", "per_row"
UNITS = (PER_CALL, PER_SUBJECT, PER_ROW)


def one_call(parameters: Parameters) -> int:
    """A run is one call, whatever it asks."""
    del parameters
    return 1


CALLS: Mapping[str, Callable[[Parameters], int]] = MappingProxyType({PER_CALL: one_call})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: what a contract may allow and a request may ask for.

    Args:
        code: its name in contracts and requests; engine: which engine runs it, engine_zh and engine_en in words.
        result: type of the result document, and the contract's output schema.
        task_kind, technique: what the policy table is asked; techniques: what a contract must name, `technique` among
            them.
        why_zh, why_en: why this engine is the one that fits, for the plan's page.
        providers: the least and the most providers of one contract.
        has_compute_party: a neutral party without data takes part. has_requester: the buyer's own node takes part,
            with a table of its own, named in `parameters["input"]`. names_text: a contract may name columns of
            free text, such as keys and records; statistics never need one. notifies: the persons in the requester's
            table are told of each run, by notices that only they open (`compute.protocol.notices`).
        shape: the closed shape of the parameters; check: what a shape cannot say.
        columns: the columns of one provider's data that a request touches, by its URN; objects: the objects of the
            terms that take part, in order of rank.
        units: what a contract may meter it in, the usual one first, each with how many a request's parameters make: the
            persons (人次) or rows that it names. It follows from the signed request before anybody computes, so what is
            counted never depends on what is found.
    """

    code: str
    engine: str
    engine_zh: str
    engine_en: str
    result: str
    title_zh: str
    title_en: str
    task_kind: str
    technique: str
    techniques: tuple[str, ...]
    why_zh: str
    why_en: str
    shape: shapes.Shape
    columns: Callable[[Parameters, str], list[str]]
    providers: tuple[int, int] = (2, 16)
    has_compute_party: bool = False
    has_requester: bool = False
    names_text: bool = False
    notifies: bool = False
    check: Callable[[Parameters], None] = nothing_more
    units: Mapping[str, Callable[[Parameters], int]] = field(default_factory=lambda: CALLS)
    objects: Callable[[Terms, Parameters], list[dict[str, Any]]] = every_object

    @property
    def is_costly(self) -> bool:
        """Whether a run is worth a transaction of its own before it starts: several machines work on it for long."""
        return self.has_compute_party

    def quantity(self, parameters: Parameters, *, unit: str) -> int:
        """Units that one run of these parameters uses, at least 1."""
        return self.units[unit](parameters)


FILTER = shapes.members(
    {"column": shapes.COLUMN, "in": shapes.list_of(shapes.text(0, 200), low=1, high=64, distinct=True)}
)
STATISTICS: Mapping[str, shapes.Shape] = {
    "group_by": shapes.list_of(shapes.COLUMN, low=0, high=3, distinct=True),
    "values": shapes.list_of(shapes.COLUMN, low=1, high=8, distinct=True),
    "filters": shapes.list_of(FILTER, low=0, high=4),
    "min_group": shapes.integer(MINIMUM_GROUP, 1_000_000),
}
INPUT = shapes.members({"dataset": shapes.COLUMN, "commitment": shapes.HEX64})  # the requester's own table


def check_filters(parameters: Parameters) -> None:
    """Each column is filtered once."""
    filtered = filtered_columns(parameters)
    if len(set(filtered)) != len(filtered):
        raise shapes.refuse("parameters.filters", "must name each column once")


def filtered_columns(parameters: Parameters) -> list[str]:
    """The columns that the filters name."""
    return [item["column"] for item in parameters["filters"]]


def object_of(terms: Terms, provider: str) -> dict[str, Any]:
    """The one object that a provider supplies; ParametersOutOfTerms without it."""
    found = [item for item in terms["objects"] if item["provider"] == provider]
    if len(found) != 1:
        raise ParametersOutOfTerms("The contract holds no data of that provider; choose one of its providers.")
    item: dict[str, Any] = found[0]
    return item


def check_columns(item: Mapping[str, Any], wanted: Sequence[str]) -> None:
    """Every column is one that the contract offers of this object; ParametersOutOfTerms names the first other."""
    for column in wanted:
        if column not in item["columns"]:
            raise ParametersOutOfTerms(
                f"Column {column} is not among the contract's columns of {item['number']}; choose from its list."
            )
