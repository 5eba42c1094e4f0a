"""Random tables and questions: shares add up, one share says nothing, the gate's unions hold, results equal."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.engines import gate, metadata, registry, shares, two_owners
from compute.engines.base import Total
from compute.engines.errors import PartInvalid
from ledger.proofs import statements
from tests.factories.engines import schema

NUMBERS = st.lists(st.integers(-shares.LIMIT // 16, shares.LIMIT // 16), min_size=1, max_size=20)
BLOCKS = {"district": ("东", "西"), "band": ("a", "b", "c")}
VALUES = {"base": (2, -999, 999)}


@given(numbers=NUMBERS, parties=st.integers(2, 6), seed=st.integers(0, 2**32))
def test_shares_add_up_to_the_numbers_and_survive_the_wire(numbers, parties, seed):
    vectors = shares.split(numbers, parties=parties, random_bytes=random.Random(seed).randbytes)

    assert shares.join([shares.unpack(shares.pack(vector)) for vector in vectors]) == numbers


@given(left=NUMBERS, seed=st.integers(0, 2**32))
def test_all_shares_but_one_do_not_depend_on_the_numbers(left, seed):
    # The same randomness with other numbers: every share but the last is the same.
    right = [0] * len(left)
    first = shares.split(left, parties=3, random_bytes=random.Random(seed).randbytes)
    second = shares.split(right, parties=3, random_bytes=random.Random(seed).randbytes)

    assert first[:2] == second[:2]


def test_a_number_that_could_wrap_is_not_split():
    with pytest.raises(OverflowError):
        shares.split([shares.LIMIT], parties=2, random_bytes=random.Random(1).randbytes)


@given(numbers=st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=9), seed=st.integers(0, 2**32))
def test_replicated_shares_open_and_a_changed_one_is_found(numbers, seed):
    drawn = random.Random(seed)
    triples = []
    for number in numbers:
        first, second = drawn.getrandbits(64), drawn.getrandbits(64)
        triples.append((first, second, (number - first - second) % 2**64))
    parts = [[(triple[i], triple[(i + 1) % 3]) for triple in triples] for i in range(3)]

    assert two_owners.reconstruct(parts, count=len(numbers)) == numbers
    parts[1][0] = (parts[1][0][0] ^ 1, parts[1][0][1])
    with pytest.raises(PartInvalid):
        two_owners.reconstruct(parts, count=len(numbers))


@given(
    group_by=st.lists(st.sampled_from(list(BLOCKS)), unique=True),
    wanted=st.lists(st.sampled_from(BLOCKS["band"]), unique=True, min_size=1),
    counts=st.lists(st.integers(0, 30), min_size=6, max_size=6),
)
def test_any_two_answers_differ_by_nobody_or_by_whole_blocks_of_at_least_k(group_by, wanted, counts):
    meta = metadata.from_schema(schema(rows=100, blocks=BLOCKS, values=VALUES))
    grouping = [(name, BLOCKS[name]) for name in group_by]
    everything = gate.select(meta.dimensions(), group_by=grouping, filters=[])
    fewer = gate.select(meta.dimensions(), group_by=grouping, filters=[{"column": "band", "in": wanted}])
    is_released = gate.released(counts, k=10)

    for group in range(everything.groups):
        blocks = {b for b in range(6) if is_released[b] and everything.group_of[b] == group}
        kept = {b for b in range(6) if is_released[b] and fewer.group_of[b] == group}
        assert kept <= blocks
        difference = sum(counts[block] for block in blocks - kept)
        assert difference == 0 or difference >= 10


@given(total=st.integers(-(10**20), 10**20), count=st.integers(1, 10**6), scale=st.integers(0, 9))
def test_the_mean_is_the_nearest_decimal(total, count, scale):
    found = Total(count=count, total=total, squares=total * total, scale=scale)

    digits = found.describe()["mean"].replace(".", "")
    exact = found.mean * 10**6
    assert abs(int(digits) - exact) * 2 <= 1


def test_parts_of_another_job_or_too_few_are_refused():
    engine = registry.get("additive_sharing/1")
    job = {"parties": [{}, {}], "min_group": 10}
    part = {"type": "hengshu/part/v1", "engine": engine.id, "job": "0" * 64, "rank": 0, "layout": {}, "shares": ""}
    request = {"parameters": {"group_by": [], "values": ["base"]}}
    own = {**part, "job": statements.digest(job)}

    for parts in ([part, part], [own], [own, own], [b"{", b"{"], [own, {**own, "rank": 1}]):
        data = [item if isinstance(item, bytes) else json.dumps(item).encode() for item in parts]
        with pytest.raises(PartInvalid):
            engine.open(data, job=job, request=request)
