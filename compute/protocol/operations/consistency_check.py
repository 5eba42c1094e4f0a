"""Consistency check: whether two offices hold the same values of the same persons, and not what they hold."""

from typing import Any

from compute.protocol import shapes
from compute.protocol.operations.base import CALLS, INPUT, PER_ROW, Operation, Parameters

CODE = "consistency_check"
MINIMUM_ROWS, ROWS_STEP, MAX_ROWS, MAX_FIELDS = 1000, 1000, 1_000_000, 8
KINDS = ("text", "code", "integer", "money", "date")

_FIELD = shapes.members({"own": shapes.COLUMN, "theirs": shapes.COLUMN, "kind": shapes.choice(*KINDS)})


def parameters(
    *,
    input: dict[str, str],  # noqa: A002 - the member's name in every requester operation
    person: str,
    key: str,
    fields: list[dict[str, str]],
    rows: int,
    period: str,
    minimum_rows: int = MINIMUM_ROWS,
) -> dict[str, Any]:
    """Parameters of consistency_check, checked.

    Args:
        person: the requester's column that names the person; key: the other office's.
        fields: pairs of columns to compare, each with the kind by which both are brought into one form.
        rows: the requester's rows rounded up to a thousand; it fills up to this number, which is all that is seen.
        period: the month, `2026-11`, within which one value of a person and field may be compared.
        minimum_rows: the smallest batch, a thousand or more.
    """
    found = {
        "input": input,
        "person": person,
        "key": key,
        "fields": fields,
        "rows": rows,
        "period": period,
        "minimum_rows": minimum_rows,
    }
    OPERATION.shape(found, "parameters")
    OPERATION.check(found)
    return found


def check(parameters: Parameters) -> None:
    """The batch is not below its minimum; no column is compared twice, and no person's key is a field."""
    if parameters["rows"] % ROWS_STEP or parameters["rows"] < parameters["minimum_rows"]:
        raise shapes.refuse("parameters.rows", f"must be a multiple of {ROWS_STEP} and not below minimum_rows")
    for side, name in (("own", "person"), ("theirs", "key")):
        named = [parameters[name], *(field[side] for field in parameters["fields"])]
        if len(set(named)) != len(named):
            raise shapes.refuse("parameters.fields", "must name each column once")


def _columns(parameters: Parameters, provider: str) -> list[str]:
    del provider  # there is one
    return [parameters["key"], *(field["theirs"] for field in parameters["fields"])]


def _rows(parameters: Parameters) -> int:
    return int(parameters["rows"])


OPERATION = Operation(
    code=CODE,
    engine="keyed_consistency/1",
    engine_zh="双盲密钥一致性核对（第 1 版）",
    engine_en="Doubly blinded keyed comparison, version 1",
    result="consistency_check/v1",
    title_zh="一致性核对",
    title_en="Consistency check",
    task_kind="consistency",
    technique="psi",
    techniques=("psi",),
    why_zh="以双方密钥下的群运算代替裸 MD5：双方都看不到对方的值，截获者用已知证件号枚举也一无所获。",
    why_en="Instead of bare MD5, group operations under keys of both sides: neither side sees the other's values, and "
    "whoever listens finds nothing by trying known identity numbers.",
    shape=shapes.members(
        {
            "input": INPUT,
            "person": shapes.COLUMN,
            "key": shapes.COLUMN,
            "fields": shapes.list_of(_FIELD, low=1, high=MAX_FIELDS, distinct=True),
            "rows": shapes.integer(ROWS_STEP, MAX_ROWS),
            "period": shapes.pattern(r"20[0-9]{2}-(0[1-9]|1[0-2])", "a month such as 2026-11"),
            "minimum_rows": shapes.integer(MINIMUM_ROWS, MAX_ROWS),
        }
    ),
    check=check,
    columns=_columns,
    providers=(1, 1),
    has_requester=True,
    names_text=True,
    units={**CALLS, PER_ROW: _rows},
)
