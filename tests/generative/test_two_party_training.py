"""Random columns against numpy; a curious agency and a curious bank, each with the guard off as its sister."""

from itertools import product
from types import SimpleNamespace
from typing import Any

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from compute.engines.paillier import noise, vectors
from compute.engines.paillier.packing import PackingOverflow
from compute.engines.scoring import descents, moments
from compute.engines.scoring.moments import LARGEST, RING
from tests.factories import pair_training as pair

ONE = 1 << moments.VALUE_BITS


def _columns(drawn: Any, theirs: int, own: int, *, rows: int, met: int) -> tuple[Any, Any, Any, Any]:
    """Columns of both, labels, and the places of the rows that met."""
    return (
        drawn.integers(-2 * ONE, 2 * ONE, (theirs, rows)),
        np.concatenate([drawn.integers(-2 * ONE, 2 * ONE, (own, met)), np.full((1, met), ONE)]),
        drawn.choice([-1, 1], met),
        drawn.permutation(rows)[:met],
    )


@pytest.mark.parametrize(("theirs", "own", "met"), [(1, 0, 20), (3, 2, 40), (5, 1, 1)])
def test_moments_and_weights_are_those_in_the_clear(theirs: int, own: int, met: int) -> None:
    table, mine, labels, places = _columns(np.random.default_rng(theirs), theirs, own, rows=48, met=met)

    done = pair.run(table, mine, labels, places.tolist(), steps=6)

    x = np.concatenate([table[:, places], mine])
    assert done.matrix() == (x @ x.T).tolist()
    assert done.vector() == (x @ labels).tolist()
    weights = before = np.zeros(len(x))
    for _ in range(6):
        slope = (x @ (x.T @ weights) / 4 / ONE**2 - x @ labels / 2 / ONE) / 64 + 0.001 * weights
        weights, before = weights - 0.3 * slope + 0.8 * (weights - before), weights
    assert np.abs(done.model() - weights).max() < 0.002


def test_the_largest_values_in_every_row_stay_in_their_slots() -> None:
    table = np.full((2, 64), LARGEST) * np.array([[1], [-1]])
    own = np.full((1, 64), -LARGEST)

    done = pair.run(table, own, [1] * 64, list(range(64)), steps=1)

    most = 64 * LARGEST * LARGEST
    assert done.matrix() == [[most, -most, -most], [-most, most, most], [-most, most, most]]
    with pytest.raises(PackingOverflow):
        moments.packed([LARGEST + 1, 0], done.plan, done.plan.packing(LARGEST), done.plan.packing(LARGEST * LARGEST))


@given(number=st.integers(-(2**70), 2**70), share=st.integers(2**90, RING - 2**90), bits=st.integers(1, 40))
def test_a_truncated_share_is_off_by_one_at_most(number: int, share: int, bits: int) -> None:
    one = descents.truncated(share, bits, is_first=True)
    two = descents.truncated((number - share) % RING, bits, is_first=False)

    assert abs(pair.signed(one + two) - (number >> bits)) <= 1
    assert descents.truncated(0, bits, is_first=False) == 0


def test_the_agency_decrypts_no_moment_and_without_masks_every_one(monkeypatch: pytest.MonkeyPatch) -> None:
    table, own, labels, places = _columns(np.random.default_rng(3), 2, 1, rows=32, met=12)
    x = np.concatenate([table[:, places], own])

    masked = pair.run(table, own, labels, places.tolist(), steps=1).shares[1]
    distances = [abs(pair.signed(one - int(two))) for one, two in zip(masked.vector[:2], x @ labels, strict=False)]
    assert all(one > 1 << 90 for one in distances)

    lift = 1 << moments.Plan(2, 2, 32, 64, 512).sum_bits
    monkeypatch.setattr(moments.Summer, "_drawn", lambda self: [lift] * self._plan.places)
    bare = pair.run(table, own, labels, places.tolist(), steps=1).shares[1]
    assert [one - lift for one in bare.vector[:2]] == (x @ labels).tolist()[:2]


def _sets_that_fit(done: pair.Run, candidates: list[int]) -> list[tuple[int, ...]]:
    """The agency tries every set of its rows: is the noise of the sum of squares that of these rows' ciphertexts?"""
    public, plan = done.owner.public, done.plan
    first, second = plan.chunks
    square = public.n_square

    def bare(ciphertext: mpz) -> mpz:
        return ciphertext * gmpy2.invert(1 + done.owner.decrypt(ciphertext) * public.n, square) % square

    sent = vectors.read(public, done.sent[1][1], count=plan.rows * (first + second))
    rows = {row: bare(sent[first * plan.rows + row]) for row in candidates}
    reply = next(data for data in done.sent[0] if data)
    wanted = bare(vectors.read(public, reply, count=(plan.own + 1) * first + second)[-1])
    found = []
    for chosen in product((False, True), repeat=len(candidates)):
        total = mpz(1)
        for row, is_in in zip(candidates, chosen, strict=True):
            total = total * rows[row] % square if is_in else total
        if total == wanted:
            found.append(tuple(row for row, is_in in zip(candidates, chosen, strict=True) if is_in))
    return found


def test_the_agency_cannot_try_who_met_and_without_fresh_noise_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    table, own, labels, _ = _columns(np.random.default_rng(5), 1, 0, rows=6, met=3)
    places = [1, 2, 4]

    assert _sets_that_fit(pair.run(table, own, labels, places, steps=1), list(range(6))) == []

    monkeypatch.setattr(noise.Wide, "draw", lambda self: mpz(1))
    assert _sets_that_fit(pair.run(table, own, labels, places, steps=1), list(range(6))) == [(1, 2, 4)]


def test_what_the_bank_sends_is_as_long_whoever_met() -> None:
    table, own, labels, _ = _columns(np.random.default_rng(6), 2, 1, rows=32, met=20)

    runs = [pair.run(table, own[:, :count], labels[:count], list(range(count)), steps=2) for count in (1, 20)]

    assert len({tuple(len(data) for data in done.sent[0]) for done in runs}) == 1


def test_a_step_is_masked_anew_and_without_masks_the_agency_reads_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    table, own, labels, places = _columns(np.random.default_rng(7), 2, 0, rows=32, met=20)
    seen: list[int] = []
    unpacked = moments.unpacked

    def watched(number: int, *, width: int, places: int) -> list[int]:
        found = unpacked(number, width=width, places=places)
        seen.extend(found)
        return found

    monkeypatch.setattr(descents, "unpacked", watched)
    first, second = (pair.run(table, own, labels, places.tolist(), steps=2) for _ in range(2))
    assert np.abs(first.model() - second.model()).max() < 0.001
    assert len(set(seen)) == len(seen) == 12
    assert all(abs(pair.signed(one)) > 1 << 60 for one in seen)

    # The sister: the weights are zero before the first step, and so is what the agency decrypts.
    seen.clear()
    monkeypatch.setattr(descents, "secrets", SimpleNamespace(randbits=lambda bits: 0))
    pair.run(table, own, labels, places.tolist(), steps=2)
    assert seen[:3] == [0, 0, 0]
