"""membership: two real processes, the table delivered once for a version and requester, against a plain search."""

from pathlib import Path
from typing import Any

import pytest

from compute.engines import metadata, registry
from compute.engines.errors import EngineRefused
from compute.protocol import operations
from tests.factories.engines import Job, schema, write_dataset

pytestmark = pytest.mark.engine

PARAMETERS = operations.membership(input={"dataset": "list", "commitment": "a" * 64}, id_column="person_id")


def table(path: Path, persons: range, *, case: str = "X") -> Path:
    rows = [{"person_id": f"99010119800101{number:03d}{case}"} for number in persons]
    return write_dataset(path, rows, blocks={}, values={})


def ask(root: Path, asked: Path, provider: Path, states: list[Path]) -> dict[str, Any]:
    """One run of both parties with what they kept; the opened result."""
    job = Job(root, operations.MEMBERSHIP, PARAMETERS, [asked, provider])
    runs = [job.start(rank, state=states[rank]) for rank in range(2)]
    for run in runs:
        run.wait()
    return job.engine.open([run.part() for run in runs], job=job.job, request=job.request).describe()


def test_the_second_list_finds_its_rows_by_what_was_delivered_for_the_first(tmp_path: Path) -> None:
    provider = table(tmp_path / "provider", range(300))
    states = [tmp_path / "state0", tmp_path / "state1"]

    first = ask(tmp_path / "1", table(tmp_path / "list1", range(290, 310), case="x"), provider, states)
    made = sorted((path.relative_to(tmp_path), path.read_bytes()) for path in states[1].rglob("ready.json"))
    second = ask(tmp_path / "2", table(tmp_path / "list2", range(299, 301)), provider, states)

    assert first == {"type": "membership/v1", "rows": list(range(1, 11))}
    assert second["rows"] == [1]
    # The same key and salt, and so the same cache, served both; nothing that was kept holds an identifier.
    assert sorted((path.relative_to(tmp_path), path.read_bytes()) for path in states[1].rglob("ready.json")) == made
    kept = b"".join(path.read_bytes() for state in states for path in state.rglob("*") if path.is_file())
    assert b"9901011980" not in kept


def test_a_list_too_long_or_another_column_is_refused_from_the_descriptions() -> None:
    engine = registry.get("ub_psi/1")
    long = metadata.from_schema(schema(rows=20_000, blocks={}, values={}))

    engine.check(PARAMETERS, {1: long}, min_group=10)
    for rank, parameters, code in (
        (0, PARAMETERS, "PARTITION_TOO_LARGE"),
        (1, {**PARAMETERS, "id_column": "name"}, "COLUMN_UNKNOWN"),
    ):
        with pytest.raises(EngineRefused) as refused:
            engine.check(parameters, {rank: long}, min_group=10)
        assert refused.value.code == code
