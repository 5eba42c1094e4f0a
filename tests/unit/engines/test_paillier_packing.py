"""Packing and weighted sums: no declared sum leaves its slot, negative numbers included, and overflow is refused."""

import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.engines.paillier import keys, linear, noise, packing, products, vectors
from compute.engines.paillier.packing import Packing, PackingOverflow

BOUNDS = st.lists(st.integers(1, 2**40), min_size=1, max_size=6)


@cache
def owner():
    return keys.generate(512, small_for_tests=True)


@cache
def source():
    return noise.Owner(owner(), draws=1_000)


@given(data=st.data(), bounds=BOUNDS, rows=st.integers(1, 50))
def test_slots_add_up_to_the_sums_of_their_rows(data, bounds, rows):
    slots = Packing(tuple(bounds), rows)
    table = [[data.draw(st.integers(-bound, bound)) for bound in bounds] for _ in range(rows)]

    assert slots.unpack(sum(map(slots.pack, table))) == [sum(column) for column in zip(*table, strict=True)]


@given(bounds=BOUNDS, rows=st.integers(1, 2**40), signs=st.lists(st.sampled_from([-1, 1]), min_size=6, max_size=6))
def test_the_extreme_sum_of_every_slot_stays_within_it(bounds, rows, signs):
    slots = Packing(tuple(bounds), rows)
    extreme = [bound * sign for bound, sign in zip(bounds, signs, strict=False)]

    found = slots.unpack(slots.pack(extreme) * rows)

    assert found == [number * rows for number in extreme]
    assert abs(slots.pack(extreme) * rows) < 1 << (slots.bits - 1)


def test_without_guard_bits_a_sum_would_carry_over():
    """The sister: slots made for one row, thirty rows added; the reader notices or the neighbour is wrong."""
    narrow, table = Packing((100, 100), 1), [[90, 0]] * 30

    try:
        found = narrow.unpack(sum(map(narrow.pack, table)))
    except PackingOverflow:
        found = None

    assert found != [2700, 0]
    wide = Packing((100, 100), 30)
    assert wide.unpack(sum(map(wide.pack, table))) == [2700, 0]


@pytest.mark.parametrize("numbers", [[101, 0], [0, -101], [1, 2, 3]])
def test_numbers_beyond_their_bound_or_slots_are_refused(numbers):
    with pytest.raises(PackingOverflow) as refused:
        Packing((100, 100), 10).pack(numbers)

    assert "101" not in str(refused.value)


@pytest.mark.parametrize("packed", [1 << 60, -(1 << 60), 1001, 1001 << 11])
def test_what_is_no_sum_of_packed_rows_is_refused(packed):
    with pytest.raises(PackingOverflow):
        Packing((100, 100), 10).unpack(packed)


def test_slots_that_do_not_fit_the_plaintext_are_refused():
    with pytest.raises(PackingOverflow):
        Packing((2**1010, 2**1010), 2**20).check_fits(2047)
    with pytest.raises(PackingOverflow):
        packing.uniform(bound=2**2048, rows=1, plaintext_bits=2047)

    whole = packing.uniform(bound=2**31 - 1, rows=10**6, plaintext_bits=2047)
    assert len(whole.bounds) == 39  # 31 + 20 bits and a sign
    whole.check_fits(2047)


@settings(max_examples=15, deadline=None)
@given(numbers=st.lists(st.integers(-999, 999), max_size=60))
def test_a_packed_column_sums_under_encryption(numbers):
    public = owner().public
    slots = packing.uniform(bound=999, rows=60, plaintext_bits=public.plaintext_bits)

    encrypted = vectors.encrypt(packing.pack_all(numbers, slots), source())
    found = slots.unpack(owner().decrypt_signed(vectors.total(public, encrypted)))

    assert sum(found) == sum(numbers)
    assert len(encrypted) == -(-len(numbers) // len(slots.bounds))


@settings(max_examples=20, deadline=None)
@given(weights=st.lists(st.integers(-(2**40), 2**40), max_size=40), seed=st.integers(0, 2**32))
def test_buckets_equal_one_by_one_and_the_plain_weighted_sum(weights, seed):
    drawn = random.Random(seed)
    numbers = [drawn.randint(-(2**40), 2**40) for _ in weights]
    encrypted = vectors.encrypt(numbers, source())
    public = owner().public

    found = products.weighted(public, encrypted, weights)

    assert found == products.one_by_one(public, encrypted, weights)
    assert owner().decrypt_signed(found) == sum(w * x for w, x in zip(weights, numbers, strict=True))


def test_digits_widen_with_the_number_of_weights():
    assert products.best_width(1, 31) < products.best_width(1_000, 31) < products.best_width(10**6, 31)


FEATURES = [[3, -1, 4, 1, -5], [9, 2, -6, 5, 3], [0, 0, 7, -9, 3]]  # three features of five rows
WEIGHTS = [2, -7, 1]
SCORES = [-57, -16, 57, -42, -28]


def test_packed_rows_are_scored_and_the_owner_sees_a_mask_instead():
    public = owner().public
    slots = packing.uniform(bound=10, rows=linear.weight_rows(WEIGHTS), plaintext_bits=40)
    encrypted = linear.encrypt_columns(FEATURES, slots, source())
    batches = len(encrypted[0])
    masks = linear.draw_masks(public, batches)

    scored = linear.score_columns(public, encrypted, WEIGHTS)
    masked = linear.score_columns(public, encrypted, WEIGHTS, masks=masks)

    assert batches == 2  # four rows to a plaintext of forty bits
    assert [n for one in scored for n in slots.unpack(owner().decrypt_signed(one))][:5] == SCORES
    shares = [
        (owner().decrypt(one), linear.share_of_mask(public, mask)) for one, mask in zip(masked, masks, strict=True)
    ]
    joined = [keys.signed(sum(pair), int(public.n)) for pair in shares]
    assert [n for one in joined for n in slots.unpack(one)][:5] == SCORES
    assert all(first != keys.signed(sum(pair), int(public.n)) for pair in shares for first in pair)


def test_packed_models_score_one_row_each():
    public = owner().public
    models = [WEIGHTS, [1, 1, 1], [0, 0, -3]]
    rows = list(zip(*FEATURES, strict=True))
    slots = Packing((10, 10, 10), rows=max(linear.weight_rows(row) for row in rows))

    encrypted = linear.encrypt_models(models, slots, source())
    found = [slots.unpack(owner().decrypt_signed(linear.score_row(public, encrypted, row))) for row in rows]

    assert [scores[0] for scores in found] == SCORES
    assert found == [[sum(w * x for w, x in zip(model, row, strict=True)) for model in models] for row in rows]
