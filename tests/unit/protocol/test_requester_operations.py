"""Parameters of the operations in which the buyer's own node takes part: what is refused before anybody is asked."""

from typing import Any

import pytest

from compute.protocol import operations
from compute.protocol.shapes import DocumentInvalid
from tests.factories.requester_jobs import Officers

INPUT = {"dataset": "own", "commitment": "a" * 64}


def _look_up(**changed: Any) -> dict[str, Any]:
    found = {
        "input": INPUT,
        "person": "pid",
        "declared": None,
        "key": "pid",
        "columns": ["unit_no"],
        "subjects": 45,
        "letter": Officers().letter(),
        "approved": "b" * 64,
        **changed,
    }
    return {name: value for name, value in found.items() if value != "left out"}


def _check(**changed: Any) -> dict[str, Any]:
    return {
        "input": INPUT,
        "person": "pid",
        "key": "pid",
        "fields": [{"own": "base", "theirs": "base", "kind": "money"}],
        "rows": 1000,
        "period": "2026-11",
        "minimum_rows": 1000,
        **changed,
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"letter": "left out"},  # A5
        {"letter": None},
        {"letter": {"number": "15"}},
        {"letter": {**Officers().letter(), "targets": ["x"]}},
        {"approved": "left out"},
        {"subjects": 0},
        {"subjects": 2001},
        {"columns": ["pid"]},
        {"input": {"dataset": "own"}},
    ],
)
def test_a_look_up_without_its_papers_is_no_request(changed: dict[str, Any]) -> None:
    operations.check_parameters("private_lookup", _look_up())
    with pytest.raises(DocumentInvalid):
        operations.check_parameters("private_lookup", _look_up(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": 999},  # C5
        {"rows": 1500},
        {"rows": 1000, "minimum_rows": 2000},
        {"minimum_rows": 10, "rows": 1000},
        {"period": "2026-13"},
        {"fields": []},
        {"fields": [{"own": "pid", "theirs": "base", "kind": "money"}]},
        {"fields": [{"own": "base", "theirs": "base", "kind": "md5"}]},
        {"fields": [{"own": one, "theirs": "base", "kind": "money"} for one in ("a", "b")]},
    ],
)
def test_a_check_below_its_minimum_is_no_request(changed: dict[str, Any]) -> None:
    operations.check_parameters("consistency_check", _check())
    with pytest.raises(DocumentInvalid):
        operations.check_parameters("consistency_check", _check(**changed))


def test_a_run_is_counted_by_what_its_request_names() -> None:
    look_up, check = operations.get("private_lookup"), operations.get("consistency_check")

    assert [look_up.quantity(_look_up(), unit=unit) for unit in ("per_call", "per_subject")] == [1, 45]
    assert [check.quantity(_check(), unit=unit) for unit in ("per_call", "per_row")] == [1, 1000]
    for one in operations.OPERATIONS.values():
        assert next(iter(one.units)) == "per_call"


@pytest.mark.parametrize(
    ("operation", "parameters", "columns"),
    [("private_lookup", _look_up(), ["pid", "unit_no"]), ("consistency_check", _check(), ["pid", "base"])],
)
def test_the_owner_s_columns_are_those_of_the_contract(
    operation: str, parameters: dict[str, Any], columns: list[str]
) -> None:
    assert operations.get(operation).columns(parameters, "urn:hengshu:org:x") == columns
