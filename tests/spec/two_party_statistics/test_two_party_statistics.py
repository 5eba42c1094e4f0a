"""two_party_statistics: two real processes and no third, against the reference."""

from pathlib import Path

import pytest

from compute.engines import metadata, reference, registry
from compute.engines.errors import EngineRefused
from compute.protocol.operations import TWO_PARTY_STATISTICS
from tests.factories.engines import Job, schema
from tests.spec.cases import ALIGNED

pytestmark = pytest.mark.engine

CASE = ALIGNED[0]  # groups of one side over values of the other, x and X the same person, a rare block withheld


def test_parts_open_to_what_the_reference_computes(tmp_path: Path) -> None:
    datasets = [owner.write(tmp_path / f"data{rank}") for rank, owner in enumerate(CASE.owners)]
    job = Job(tmp_path, TWO_PARTY_STATISTICS, CASE.parameters, [*datasets], min_group=CASE.min_group)

    assert job.result() == reference.statistics(
        TWO_PARTY_STATISTICS, parameters=CASE.parameters, datasets=datasets, min_group=CASE.min_group
    )


@pytest.mark.parametrize(("rows", "blocks", "is_refused"), [(65_536, 32, False), (65_537, 1, True), (65_536, 33, True)])
def test_tables_that_two_parties_alone_cannot_hold_are_refused(rows: int, blocks: int, is_refused: bool) -> None:
    engine = registry.get("cheetah_aligned/1")
    names = [str(number) for number in range(blocks)]
    meta = metadata.from_schema(schema(rows=rows, blocks={"block": names}, values={}))
    parameters = {"group_by": ["block"], "values": ["wage"], "filters": []}

    if is_refused:
        with pytest.raises(EngineRefused) as refused:
            engine.check(parameters, {0: meta}, min_group=10)
        assert refused.value.code == "PARTITION_TOO_LARGE"
    else:
        engine.check(parameters, {0: meta}, min_group=10)
