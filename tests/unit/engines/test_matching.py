"""What a matching tells and does not tell, piece by piece; whole runs are in tests/spec/matching."""

import base64
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest

from compute.engines import blind, identifiers, matching, metadata, registry, spu_join
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.hidden_join import ATTEMPTS, BUCKET_ROWS, JoinShape
from compute.node import distinct
from ledger.proofs import statements
from tests.factories.engines import schema

VECTORS = Path(__file__).parents[2] / "vectors" / "psi"
CANONICAL = json.loads((VECTORS / "canonical_ids.json").read_text(encoding="utf-8"))
EDGES = json.loads((VECTORS / "edge_cases.json").read_text(encoding="utf-8"))["cases"]
RECEIVER = "urn:hengshu:org:01JD00000000000000000000A1"


class Pair:
    """Two ends of a wire in memory, with the mesh's one method that the blind matching uses."""

    def __init__(self, send: "Queue[bytes]", receive: "Queue[bytes]") -> None:
        self.send, self.receive = send, receive
        self.sent: list[bytes] = []

    def exchange(self, outgoing: dict[int, bytes]) -> dict[int, bytes]:
        (peer, message), *_ = outgoing.items()
        self.sent.append(message)
        self.send.put(message)
        return {peer: self.receive.get(timeout=20)}


def blindly(left: Sequence[bytes], right: Sequence[bytes]) -> tuple[tuple[int, int], int, Pair, Pair]:
    there: Queue[bytes] = Queue()
    back: Queue[bytes] = Queue()
    ends = Pair(there, back), Pair(back, there)
    with ThreadPoolExecutor(2) as pool:
        receiver: Any = pool.submit(blind.receive, ends[0], 1, left, tick=lambda _: None)  # type: ignore[arg-type]
        other: Any = pool.submit(blind.answer, ends[1], 0, right, tick=lambda _: None)  # type: ignore[arg-type]
        return receiver.result(60), other.result(60), *ends


def keyed(first: int, past: int) -> list[bytes]:
    return identifiers.keyed([f"person {number}" for number in range(first, past)], b"k" * 32)


@pytest.mark.parametrize(("one", "other"), CANONICAL["same"])
def test_forms_of_one_identifier_are_one_person_here_and_a_duplicate_at_the_node(one: str, other: str) -> None:
    assert identifiers.keyed([one], b"k" * 32) == identifiers.keyed([other], b"k" * 32)
    assert identifiers.canonical(one) == distinct.folded(one) == distinct.folded(other)


@pytest.mark.parametrize(("one", "other"), CANONICAL["different"])
def test_identifiers_that_only_look_alike_are_two_persons(one: str, other: str) -> None:
    assert identifiers.keyed([one], b"k" * 32) != identifiers.keyed([other], b"k" * 32)


def test_the_short_cut_for_plain_identifiers_gives_what_the_long_way_gives() -> None:
    plain = ["11010519491231002X", "a", "P-01", "~"]
    strange = [*plain, "１", "a b", "tab\there", "line\nbreak", ""]

    assert identifiers.keyed(plain, b"k" * 32) == identifiers.keyed(strange, b"k" * 32)[: len(plain)]
    assert identifiers.keyed(strange, b"k" * 32) == [identifiers.keyed([one], b"k" * 32)[0] for one in strange]
    assert identifiers.keyed([], b"k" * 32) == []


@pytest.mark.parametrize("case", EDGES, ids=lambda case: case["name"])
def test_what_is_told_of_a_match(case: dict[str, Any]) -> None:
    tables_ = [set(range(*case["receiver"])), *(set(range(*one)) for one in case["others"])]
    count = len(set.intersection(*tables_))

    is_told = matching.is_released(count, [len(table) for table in tables_], k=10)

    assert (count if is_told else None) == case["count"]


@pytest.mark.parametrize("case", EDGES, ids=lambda case: case["name"])
def test_the_blind_count_is_the_size_of_the_intersection(case: dict[str, Any]) -> None:
    (left, past), (first, last) = case["receiver"], case["others"][0]

    (count, theirs), ours, *_ = blindly(keyed(left, past), keyed(first, last))

    assert count == len(set(range(left, past)) & set(range(first, last)))
    assert (ours, theirs) == (past - left, last - first)


def test_the_receiver_cannot_say_which_of_its_persons_match(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its guess: the n-th point that comes back is its n-th. True without the shuffle, and nothing with it."""
    left, right = keyed(0, 60), keyed(30, 90)
    actual = set(range(30, 60))

    def guess() -> set[int]:
        *_, receiver, other = blindly(left, right)
        twice = other.sent[3]  # count, nothing; count, points times both secrets; count, own points
        points = [twice[place : place + 32] for place in range(0, len(twice), 32)]
        del receiver
        return {place for place, point in enumerate(points) if point in secret["both"]}

    secret: dict[str, set[bytes]] = {}
    multiplied = blind._multiplied

    def noted(points: Sequence[bytes], scalar: bytes) -> list[bytes]:
        found = multiplied(points, scalar)
        if len(points) == len(right) and "first" in secret:
            secret["both"] = set(found)
        secret["first"] = set(found)
        return found

    monkeypatch.setattr(blind, "_multiplied", noted)
    secret["both"] = set()
    assert guess() != actual
    secret.clear()
    monkeypatch.setattr(blind, "shuffled", lambda points: points)
    assert guess() == actual


def test_points_that_are_none_or_too_many_end_the_run() -> None:
    for answer in (b"\x01" * 32, bytes(32)):
        there: Queue[bytes] = Queue()
        back: Queue[bytes] = Queue()
        for message in ((0).to_bytes(8, "big"), (1).to_bytes(8, "big"), answer, (1).to_bytes(8, "big"), answer):
            back.put(message)
        with pytest.raises(EngineRefused) as refused:
            blind.receive(Pair(there, back), 1, keyed(0, 1), tick=lambda _: None)  # type: ignore[arg-type]
        assert refused.value.code == "JOB_DIFFERS"


def parts(contents: Sequence[dict[str, str]], job: dict[str, Any]) -> list[bytes]:
    digest = statements.digest(job)
    return [
        json.dumps(
            {"type": "hengshu/part/v1", "engine": "psi_matching/1", "job": digest, "rank": rank, **content}
        ).encode()
        for rank, content in enumerate(contents)
    ]


def test_a_part_that_contradicts_itself_or_the_others_is_refused() -> None:
    job, request = {"parties": [{}, {}], "min_group": 10}, {"parameters": {"form": "list"}}
    rows = base64.b64encode(b"\xff\x0f").decode()
    good = {"outcome": "released", "count": "000000000012", "rows": rows}
    empty = {"outcome": "withheld", "count": "000000000000", "rows": ""}
    engine = registry.get("psi_matching/1")

    assert engine.open(parts([good, empty], job), job=job, request=request).describe()["rows"] == list(range(1, 13))
    for changed in ([{**good, "count": "000000000013"}, empty], [good, good], [{**good, "outcome": "maybe"}, empty]):
        with pytest.raises(PartInvalid):
            engine.open(parts(changed, job), job=job, request=request)
    few = {"outcome": "released", "count": "000000000004", "rows": base64.b64encode(b"\x0f").decode()}
    with pytest.raises(PartInvalid):
        engine.open(parts([few, empty], job), job=job, request=request)


def test_a_blind_matching_of_a_table_too_large_is_refused_from_its_description() -> None:
    engine = registry.get("psi_matching/1")
    parameters = {"form": "cardinality", "protocol": "blind", "receiver": RECEIVER, "min_group": 10}
    large = metadata.from_schema(schema(rows=matching.MAX_BLIND_ROWS + 1, blocks={}, values={}))

    with pytest.raises(EngineRefused) as refused:
        engine.check(parameters, {0: large}, min_group=10)
    assert refused.value.code == "PARTITION_TOO_LARGE"
    engine.check({**parameters, "protocol": "rr22"}, {0: large}, min_group=10)


def shape(rows: int, *, blocks: int = 6) -> JoinShape:
    return JoinShape(rows=rows, group_of=(0,) * blocks, groups=1, values=1, k=10, left=rows, right=rows)


@pytest.mark.parametrize("rows", [64, BUCKET_ROWS, 4 * BUCKET_ROWS])
def test_every_id_has_its_place_and_filling_matches_nothing(rows: int) -> None:
    ids = [f"person {number}" for number in range(rows if rows == 64 else rows * 3 // 4)]
    left = spu_join.place(ids, b"k" * 32, shape(rows), rank=0)
    right = spu_join.place(list(reversed(ids)), b"k" * 32, shape(rows), rank=1)

    assert left is not None
    assert right is not None
    assert sorted(left.rows[left.rows >= 0].tolist()) == list(range(len(ids)))
    for bucket in range(shape(rows).buckets):
        same = np.intersect1d(left.keys[bucket], right.keys[bucket])
        assert set(same) == set(left.keys[bucket][left.rows[bucket] >= 0])
        assert len(set(left.keys[bucket])) == left.keys.shape[1]
        assert left.keys[bucket].max() < 1 << 62  # what the sort can take


def test_equal_numbers_or_an_overfull_bucket_ask_for_another_key() -> None:
    assert spu_join.place(["a", "A"], b"k" * 32, shape(64), rank=0) is None
    assert spu_join.place([str(one) for one in range(65)], b"k" * 32, shape(64), rank=0) is None
    assert ATTEMPTS > 1


@pytest.mark.parametrize("blocks", [1, 2, 6, 30, 4096])
def test_two_digits_number_every_block(blocks: int) -> None:
    high, low = shape(64, blocks=blocks).digits

    assert high * low >= blocks
    assert high + low <= 2 * blocks**0.5 + 2


def test_the_compute_party_reads_no_shape_beyond_bounds() -> None:
    good = shape(64).describe()

    assert JoinShape.read(json.dumps(good).encode()) == shape(64)
    for changed in ({"k": 9}, {"left": None}, {"rows": 65}, {"rows": 1 << 40}, {"more": 1}, {"group_of": [7]}):
        with pytest.raises(EngineRefused) as refused:
            JoinShape.read(json.dumps({**good, **changed}).encode())
        assert refused.value.code == "JOB_DIFFERS"


def test_an_order_drawn_by_the_system_is_not_the_order_of_the_table() -> None:
    points = [number.to_bytes(4, "big") for number in range(200)]

    assert blind.shuffled(list(points)) != points
    assert sorted(blind.shuffled(list(points))) == points


def test_matched_keys_are_found_again_even_where_their_first_words_meet() -> None:
    spu_matching = pytest.importorskip("compute.engines.spu_matching")
    own = np.array([[1, 5], [1, 7], [1, 9], [2, 1], [3, 3]], np.uint64)

    assert spu_matching._places(own, own[[1, 2, 4]]).tolist() == [1, 2, 4]
    assert spu_matching._places(own, own[:0]).tolist() == []
    for absent in ([1, 8], [3, 4]):
        with pytest.raises((EngineRefused, IndexError)):
            spu_matching._places(own, np.array([absent], np.uint64))


def test_keys_survive_the_way_through_the_library_s_files(tmp_path: Path) -> None:
    spu_matching = pytest.importorskip("compute.engines.spu_matching")
    own = np.frombuffer(b"".join(keyed(0, 500)), ">u8").reshape(-1, 2)
    spu_matching.write(tmp_path / "keys.csv", own)

    places = spu_matching.find(own, tmp_path / "keys.csv")

    assert sorted(places.tolist()) == list(range(500))
    assert (np.diff(own[places, 0].astype(object)) > 0).all()
    assert all(len(line) == 16 for line in (tmp_path / "keys.csv").read_text().splitlines()[1:])
    assert spu_matching.find(own, tmp_path / "none.csv").tolist() == []


def test_what_a_stopped_run_kept_goes_after_a_day(tmp_path: Path) -> None:
    buckets = pytest.importorskip("compute.engines.buckets")
    for name, age in (("old", buckets.KEPT_SECONDS + 10), ("new", 10.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.bucket").write_bytes(b"keyed")
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))

    buckets.clear(tmp_path, before=1e9 - buckets.KEPT_SECONDS)
    buckets.clear(tmp_path / "none", before=1e9)

    assert [path.name for path in tmp_path.iterdir()] == ["new"]
