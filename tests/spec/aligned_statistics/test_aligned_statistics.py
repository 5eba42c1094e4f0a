"""aligned_statistics: one table of expectations, run by three real processes, against the reference."""

import json
import re
from pathlib import Path

import pytest

from compute.engines import reference
from compute.protocol.operations import ALIGNED_STATISTICS
from tests.factories.engines import Job
from tests.spec.cases import ALIGNED, Case

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("case", ALIGNED, ids=str)
def test_parts_open_to_what_the_reference_computes(tmp_path: Path, case: Case) -> None:
    datasets = [owner.write(tmp_path / f"data{rank}") for rank, owner in enumerate(case.owners)]
    job = Job(tmp_path, ALIGNED_STATISTICS, case.parameters, [*datasets, None], min_group=case.min_group)

    runs = job.run()
    parts = [run.part() for run in runs]
    found = job.engine.open(parts, job=job.job, request=job.request).describe()

    assert found == reference.statistics(
        ALIGNED_STATISTICS, parameters=case.parameters, datasets=datasets, min_group=case.min_group
    )
    assert len(found["cells"]) == case.cells
    assert not any(
        Path(name).exists()
        for name in re.findall(r"/tmp/psi_[^ ]+trace", (tmp_path / "party0" / "engine.log").read_text(errors="replace"))
    )
    # The compute party's part names nothing, and its whole directory holds no identifier and no category.
    assert json.loads(parts[2])["layout"] is None
    kept = b"".join(path.read_bytes() for path in (tmp_path / "party2").iterdir() if path.name != "job.json")
    assert b"9901011980" not in kept
    assert "东区".encode() not in kept
