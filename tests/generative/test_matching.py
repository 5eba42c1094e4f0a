"""Random tables: the join's circuit in the clear equals the reference, the blind count is a set's, the gate holds."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from compute.engines import gate, hidden_join, matching, metadata, reference, spu_join
from compute.engines.base import GroupedStatistics, Table, finish
from compute.engines.hidden_join import JoinShape
from compute.engines.two_owners import _totals
from compute.protocol.operations import JOINED_STATISTICS
from tests.factories.engines import schema, write_dataset

BLOCKS = {"district": ("东", "西"), "band": ("a", "b")}
VALUES = {"base": (0, -(2**31) + 1, 2**31 - 1)}
BIG = st.integers(-(2**31) + 1, 2**31 - 1)


def in_the_clear(group_rows: Any, value_rows: Any, parameters: dict[str, Any]) -> GroupedStatistics:
    """The whole of the join but its processes, shares and sockets, which tests/spec runs."""
    import jax

    jax.config.update("jax_enable_x64", True)
    owner = metadata.from_schema(schema(rows=len(group_rows), blocks=BLOCKS, values={}))
    other = metadata.from_schema(schema(rows=len(value_rows), blocks={}, values=VALUES))
    numbers = [BLOCKS["district"].index(d) * 2 + BLOCKS["band"].index(b) for _, d, b in group_rows]
    left = Table(owner, np.array(numbers, np.int64), {}, [one for one, *_ in group_rows])
    column = np.array([value for _, value in value_rows], np.int64)
    right = Table(other, np.zeros(len(value_rows), np.int64), {"base": column}, [one for one, _ in value_rows])
    hellos = {
        0: {
            "k": 10,
            "dimensions": [[name, list(found)] for name, found in owner.dimensions()],
            "rows": owner.magnitude,
        },
        1: {"k": 10, "values": [["base", 0]], "rows": other.magnitude},
    }
    layout, shape = hidden_join.agree_join(parameters, hellos)
    columns = []
    for rank, table in enumerate((left, right)):
        placed = spu_join.place(table.ids or (), b"k" * 32, shape, rank=rank)
        assert placed is not None
        columns.append(spu_join.owner_columns(table, ["base"], placed, shape, rank=rank))
    sums = np.zeros((shape.numbers, *shape.digits), np.int64)
    add_bucket, release = spu_join._add_bucket(shape), spu_join._release(shape)
    for bucket in range(shape.buckets):
        inputs = [part for one in columns for part in (one.keys[bucket], one.columns[bucket])]
        sums = add_bucket(*inputs, sums)
    found = np.asarray(release(sums, columns[0].totals)).reshape(-1).tolist()
    groups = gate.labels([categories for _, categories in layout["group_by"]])
    return finish(_totals(found, groups, [0]), group_by=parameters["group_by"], values=["base"], min_group=10)


@pytest.mark.parametrize("bucket_rows", [hidden_join.BUCKET_ROWS, 16])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_the_join_s_circuit_equals_the_reference(bucket_rows: int, data: st.DataObject) -> None:
    size, missing = (
        data.draw(st.one_of(st.integers(1, 64), st.integers(50, 64))),
        data.draw(st.sampled_from([0, 1, 9, 30])),
    )
    left = list(range(size))
    right = left[missing:] + list(range(100, 100 + max(missing - size + 1, data.draw(st.integers(0, 20)))))
    right = right[:64]
    districts, bands = data.draw(st.integers(0, 2**63)), data.draw(st.integers(0, 2**63))
    group_rows = [
        (f"p{n}X", BLOCKS["district"][districts >> n % 60 & 1], BLOCKS["band"][bands % (n + 2) % 2]) for n in left
    ]
    value_rows = [(f"p{n}x", data.draw(BIG)) for n in right]
    parameters = {
        "group_by": data.draw(st.sampled_from([[], ["district"], ["band", "district"]])),
        "values": ["base"],
        "filters": data.draw(st.sampled_from([[], [{"column": "band", "in": ["a"]}]])),
        "min_group": 10,
    }
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patched:
        patched.setattr(hidden_join, "BUCKET_ROWS", bucket_rows)
        datasets = [
            write_dataset(
                Path(directory) / "0",
                [{"person_id": one, "district": d, "band": b} for one, d, b in group_rows],
                blocks=BLOCKS,
                values={},
            ),
            write_dataset(
                Path(directory) / "1",
                [{"person_id": one, "base": str(value)} for one, value in value_rows],
                blocks={},
                values=VALUES,
            ),
        ]
        expected = reference.statistics(JOINED_STATISTICS, parameters=parameters, datasets=datasets, min_group=10)

        event(f"cells: {len(expected['cells'])}")
        assert in_the_clear(group_rows, value_rows, parameters).describe() == expected


def test_without_the_rule_in_the_circuit_a_block_of_nine_is_told() -> None:
    """The sister: the same sums released with k = 1 show nine persons, with k = 10 nobody."""
    import jax

    jax.config.update("jax_enable_x64", True)
    sums = np.zeros((4, 1, 1), np.int64)
    sums[:, 0, 0] = (9, 900, 0, 90_000)

    def released(k: int, total: int) -> list[int]:
        shape = JoinShape(rows=64, group_of=(0,), groups=1, values=1, k=k, left=64, right=64)
        return np.asarray(spu_join._release(shape)(sums, np.array([total]))).reshape(-1).tolist()

    assert released(10, 9) == [0, 0, 0, 0]
    assert released(1, 9) == [9, 900, 0, 90_000]
    assert released(9, 12) == [0, 0, 0, 0]  # three of the block's twelve do not match
    assert released(9, 18) == [9, 900, 0, 90_000]


@given(count=st.integers(0, 200), rests=st.lists(st.integers(0, 200), min_size=2, max_size=5), k=st.integers(10, 40))
def test_a_number_that_is_told_never_speaks_of_fewer_than_k(count: int, rests: list[int], k: int) -> None:
    sizes = [count + rest for rest in rests]

    if matching.is_released(count, sizes, k=k):
        assert count >= k
        assert all(size - count == 0 or size - count >= k for size in sizes)
    else:
        assert count < k or any(0 < rest < k for rest in rests)
