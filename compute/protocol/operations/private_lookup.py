"""Private look-up: one side's persons in the other side's register, and the register's owner does not learn which."""

from typing import Any

from compute.protocol import letters, shapes
from compute.protocol.operations.base import CALLS, INPUT, PER_SUBJECT, Operation, Parameters

CODE = "private_lookup"
MAX_SUBJECTS = 2000  # at 1 KB each the part may still double below documents.MAX_PART_BYTES


def parameters(
    *,
    input: dict[str, str],  # noqa: A002 - the member's name in every requester operation
    person: str,
    declared: str | None,
    key: str,
    columns: list[str],
    subjects: int,
    letter: dict[str, Any],
    approved: str,
) -> dict[str, Any]:
    """Parameters of private_lookup, checked.

    Args:
        person: column of the requester's own table that names whom to look up; declared: integer column with the number
            of records that person has declared, to compare with; None without.
        key: the register's column that names the person; columns: what is told of each record.
        subjects: how many evaluations are made and metered; the requester fills up to it, so it is all that is seen.
        letter: the purpose letter (`letters.LETTER`); approved: digest of the approved list.
    """
    found = {
        "input": input,
        "person": person,
        "declared": declared,
        "key": key,
        "columns": columns,
        "subjects": subjects,
        "letter": letter,
        "approved": approved,
    }
    OPERATION.shape(found, "parameters")
    OPERATION.check(found)
    return found


def check(parameters: Parameters) -> None:
    """The letter's times and keys are in order; the key is not told a second time."""
    letters.check_letter(parameters["letter"])
    if parameters["key"] in parameters["columns"]:
        raise shapes.refuse("parameters.columns", "must not repeat the key")


def _columns(parameters: Parameters, provider: str) -> list[str]:
    del provider  # there is one
    return [parameters["key"], *parameters["columns"]]


def _subjects(parameters: Parameters) -> int:
    return int(parameters["subjects"])


OPERATION = Operation(
    code=CODE,
    engine="oprf_lookup/1",
    engine_zh="不经意伪随机函数查询（RFC 9497，第 1 版）",
    engine_en="Look-up by oblivious pseudorandom function (RFC 9497), version 1",
    result="private_lookup/v1",
    title_zh="不动产密查",
    title_en="Private look-up",
    task_kind="pir",
    technique="pir",
    techniques=("pir",),
    why_zh="以整部登记簿为匿名集：加密表按数据版本送达一次，每人一次盲求值；登记方不知查了谁，查询方只打开所查之人。",
    why_en="The whole register is the anonymity set: an encrypted table is delivered once for each data version, and "
    "one blinded evaluation opens one person; the owner cannot tell whom, the requester opens nobody else.",
    shape=shapes.members(
        {
            "input": INPUT,
            "person": shapes.COLUMN,
            "declared": shapes.optional(shapes.COLUMN),
            "key": shapes.COLUMN,
            "columns": shapes.list_of(shapes.COLUMN, low=1, high=16, distinct=True),
            "subjects": shapes.integer(1, MAX_SUBJECTS),
            "letter": letters.LETTER,
            "approved": shapes.HEX64,
        }
    ),
    check=check,
    columns=_columns,
    providers=(1, 1),
    has_requester=True,
    names_text=True,
    units={**CALLS, PER_SUBJECT: _subjects},
)
