"""What a node makes sure of before its engine starts: one refusal for each, and none of them needs a row."""

import builtins
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compute.node import admission, machine, preflight
from compute.protocol import codes
from compute.protocol.codes import Refused
from tests.factories.links import greeting
from tests.factories.node import Provider
from tests.unit.node.cases import case_of, genuine


@pytest.fixture
def admitted(fund: Provider) -> admission.Case:
    case = case_of(fund, genuine(fund))
    admission.admit(case)
    return case


def here(case: admission.Case, **changes: Any) -> str:
    """The code with which this node would stop, or nothing."""
    arguments: dict[str, Any] = {
        "job": case.job,
        "request": case.request,
        "rank": case.rank,
        "dataset": case.dataset,
        "min_group": 10,
        "work": case.config.work,
        "memory_mb": None,
        "skew_seconds": 0.0,
    }
    try:
        preflight.check_here(**{**arguments, **changes})
    except Refused as refused:
        return refused.code
    return ""


def described(case: admission.Case, **changes: Any) -> dict[str, Any]:
    return {**(case.dataset or {}), **changes}


def test_a_node_that_is_well_goes_on_and_opens_no_file(admitted: admission.Case, monkeypatch: Any) -> None:
    here(admitted)  # the engines' own source is read once, for the program's digest
    monkeypatch.setattr(builtins, "open", lambda *_, **__: pytest.fail("a file was opened"))

    assert here(admitted) == ""


@pytest.mark.parametrize("skew", [-61.0, 61.0, 86_400.0])
def test_a_clock_more_than_a_minute_off_stops_it(admitted: admission.Case, skew: float) -> None:
    assert here(admitted, skew_seconds=skew) == "JOB_OUT_OF_TIME"


@pytest.mark.parametrize("skew", [-60.0, 60.0, None])
def test_a_minute_is_allowed(admitted: admission.Case, skew: float | None) -> None:
    assert here(admitted, skew_seconds=skew) == ""


def test_more_memory_than_the_owner_allows_stops_it(admitted: admission.Case) -> None:
    estimate = preflight.engine_of(admitted.job).estimate(admitted.request["parameters"], rows=[64, 64]).memory_mb

    assert here(admitted, memory_mb=estimate - 1) == "ENGINE_FAILED"
    assert here(admitted, memory_mb=estimate) == ""


def test_a_full_disk_stops_it(admitted: admission.Case, monkeypatch: Any) -> None:
    monkeypatch.setattr(preflight, "SPARE_DISK_MB", 1 << 40)

    assert here(admitted) == "ENGINE_FAILED"


def test_a_table_that_no_group_of_can_be_released_stops_it_by_its_band_alone(admitted: admission.Case) -> None:
    assert {here(admitted, dataset=described(admitted, rows=rows)) for rows in range(1, 9)} == {
        "PARAMETERS_OUT_OF_TERMS"
    }
    assert {here(admitted, dataset=described(admitted, rows=rows)) for rows in range(9, 17)} == {""}


def test_a_column_that_is_gone_or_of_another_type_stops_it(admitted: admission.Case) -> None:
    columns = admitted.dataset["columns"] if admitted.dataset else []
    without = [column for column in columns if column["name"] != "base"]
    as_text = [*without, {"name": "base", "type": "text"}]

    assert here(admitted, dataset=described(admitted, columns=without)) == "PARAMETERS_OUT_OF_TERMS"
    assert here(admitted, dataset=described(admitted, columns=as_text)) == "PARAMETERS_OUT_OF_TERMS"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ""),
        ({"clock": 1_000_060}, ""),
        ({"clock": 1_000_061}, "JOB_OUT_OF_TIME"),
        ({"clock": 999_939}, "JOB_OUT_OF_TIME"),
        ({"job": "cd" * 32}, "REQUEST_MISMATCH"),
        ({"rank": 2}, "REQUEST_MISMATCH"),
        ({"columns": {"base": "number", "wage": "number"}}, ""),  # a column of its own is no disagreement
        ({"columns": {"base": "category"}}, "PARAMETERS_OUT_OF_TERMS"),
        ({"columns": {}}, ""),
        ({"program": "d" * 64}, ""),  # another release of the same engine: told in the reports, not refused
    ],
)
def test_what_a_peer_says_must_fit(changes: dict[str, Any], code: str) -> None:
    found = ""
    try:
        preflight.check_peers(greeting(0), {1: replace(greeting(1), **changes)})
    except Refused as refused:
        found = refused.code

    assert found == code


def test_how_long_a_run_takes_follows_from_declared_rows_alone(admitted: admission.Case) -> None:
    """The estimate goes into the consent, and from there into the run's deadline."""

    def expected(rows: int) -> int | None:
        return preflight.seconds(admitted.request, described(admitted, rows=rows), parties=2)

    assert expected(100) == expected(128)
    assert (expected(10**8) or 0) > (expected(10**6) or 0) >= 1
    assert expected(10**15) == 86_400, "as much as a job may have"
    assert preflight.seconds(admitted.request, None, parties=2) is None


def test_of_a_noised_answer_nothing_is_told_that_depends_on_the_size(admitted: admission.Case) -> None:
    parameters = {**admitted.request["parameters"], "privacy": {"mechanism": "discrete_laplace", "epsilon": "0.1"}}

    assert preflight.seconds({**admitted.request, "parameters": parameters}, admitted.dataset, parties=2) is None


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"job": 1}, {**greeting(0).describe(), "columns": 3}, {**greeting(0).describe(), "rows": -1}],
)
def test_noise_is_no_greeting(value: Any) -> None:
    with pytest.raises(ValueError, match="not a greeting"):
        preflight.read_greeting(value)


def test_a_greeting_says_kinds_and_a_band_and_nothing_else(admitted: admission.Case) -> None:
    said = preflight.greeting(
        job=admitted.job, digest="ab" * 32, request=admitted.request, rank=0, dataset=admitted.dataset, clock=1.9
    )

    assert said.describe() == {
        "job": "ab" * 32,
        "rank": 0,
        "clock": 1,
        "columns": {"district": "category", "base": "number"},
        "rows": 64,
        "program": preflight.program_digest(admitted.job, admitted.request),
    }
    assert preflight.read_greeting(said.describe()) == said


def test_the_program_is_the_same_for_the_same_question_only(admitted: admission.Case) -> None:
    other = {**admitted.request, "parameters": {**admitted.request["parameters"], "min_group": 11}}

    first = preflight.program_digest(admitted.job, admitted.request)
    assert first == preflight.program_digest(admitted.job, dict(admitted.request))
    assert first != preflight.program_digest(admitted.job, other)


@pytest.mark.parametrize("code", sorted(codes.AT_PREFLIGHT))
def test_what_to_do_before_anything_ran_is_said_in_both_languages(code: str) -> None:
    found = codes.get(code)

    for language in ("zh", "en"):
        assert found.sentence(language, stage="preflight") != found.sentence(language)
        assert found.sentence(language, stage="run") == found.sentence(language)


def test_a_control_group_lowers_what_is_left(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2048000 kB\n")
    (tmp_path / "memory.max").write_text("104857600\n")
    (tmp_path / "memory.current").write_text("52428800\n")

    assert machine._meminfo(tmp_path / "meminfo") == 2000
    assert machine._cgroup(tmp_path) == 50
    assert machine._cgroup(tmp_path / "none") is None
