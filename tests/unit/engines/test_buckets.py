"""Buckets on disk: answers replace each other, and a peer may ask for one bucket again and not for more."""

import json
import types
from pathlib import Path

import numpy as np
import pytest

from compute.engines.errors import EngineRefused

buckets = pytest.importorskip("compute.engines.buckets")


class OnePeer:
    """A mesh with one peer, which says what it is made to say."""

    def __init__(self, told: dict) -> None:
        self.told = told
        self.watched = False

    def exchange(self, outgoing):
        return dict.fromkeys(outgoing, json.dumps(self.told).encode())

    def watch(self, on_lost) -> None:
        self.watched = True


def work(directory: Path, *, done: int = 0) -> "buckets.Work":
    made = buckets.Work(directory, 4, 100, b"k" * 32, 1, ())
    for bucket in range(done):
        made.write_down(bucket, np.arange(bucket + 1)[:, None], order="ab" * 32)
    return made


def match(made, *, lacks: int, monkeypatch) -> list[int]:
    """The buckets that are matched where the peer has not the last ones of ours."""
    matched: list[int] = []
    monkeypatch.setattr(buckets.spu_links, "connect", lambda *_, **__: None)

    def match_words(context, words, connection, **_):
        matched.append(len(words))
        return np.zeros(0, np.int64), ""

    monkeypatch.setattr(buckets.spu_matching, "match_words", match_words)
    context = types.SimpleNamespace(rank=0, progress=lambda *_: None, work_dir=made.directory)
    peer = OnePeer({"done": sorted(made.done())[: len(made.done()) - lacks]})
    buckets.match(context, peer, made, ranks=(0, 1), protocol="rr22", broadcast=False)
    assert peer.watched
    return matched


@pytest.mark.parametrize(("lacks", "again"), [(0, 1), (1, 2)])
def test_a_peer_may_lack_the_bucket_at_which_it_was_stopped(tmp_path: Path, monkeypatch, lacks, again) -> None:
    made = work(tmp_path, done=3)

    assert len(match(made, lacks=lacks, monkeypatch=monkeypatch)) == again
    assert made.done() == {0, 1, 2, 3}


def test_a_peer_that_lacks_more_is_refused(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(EngineRefused) as refused:
        match(work(tmp_path, done=3), lacks=2, monkeypatch=monkeypatch)
    assert refused.value.code == "JOB_DIFFERS"


def test_an_answer_replaces_the_earlier_one_of_its_bucket(tmp_path: Path) -> None:
    made = work(tmp_path, done=4)
    assert made.matched_rows() == 1 + 2 + 3 + 4

    for _ in range(2):
        made.write_down(1, np.array([[7], [8]]), order="cd" * 32)

    assert made.matched_rows() == 1 + 2 + 3 + 4
    assert [part[:, 0].tolist() for part in made.matched()][1] == [7, 8]


def test_another_order_has_another_digest(tmp_path: Path) -> None:
    made = work(tmp_path, done=4)
    first = made.order()
    made.write_down(1, np.array([[0], [1]]), order="cd" * 32)

    assert made.order() != first


@pytest.mark.parametrize(
    "told",
    [{}, {"magnitude": 64}, {"magnitude": 64, "bucket_rows": 0}, {"magnitude": 64, "bucket_rows": 48}],
    ids=["nothing", "no bucket", "no rows", "no power of two"],
)
def test_what_a_peer_says_of_its_buckets_is_looked_at(told) -> None:
    context = types.SimpleNamespace(rank=0, bucket_rows=64)
    with pytest.raises(EngineRefused) as refused:
        buckets.agree(context, OnePeer(told), types.SimpleNamespace(magnitude=128), ranks=(0, 1))
    assert refused.value.code == "JOB_DIFFERS"


def test_the_larger_table_and_the_smaller_bucket_decide() -> None:
    context = types.SimpleNamespace(rank=0, bucket_rows=16)
    ours = types.SimpleNamespace(magnitude=128)

    assert buckets.agree(context, OnePeer({"magnitude": 1024, "bucket_rows": 64}), ours, ranks=(0, 1)) == 64
    assert buckets.agree(context, OnePeer({"magnitude": 8, "bucket_rows": 8}), ours, ranks=(0, 1)) == 16
