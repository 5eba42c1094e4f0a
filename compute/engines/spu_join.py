"""The circuit of `aby3_join/1`: sort both tables by keyed id, compare neighbours, add up; see `hidden_join`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.engines import identifiers, spu_stages
from compute.engines.base import StageContext, Table
from compute.engines.hidden_join import KEY_BITS, SPU_STAGE, JoinShape
from compute.engines.two_owners import GROUP_OWNER, VALUE_OWNER

Int64 = NDArray[np.int64]

_KEYS = ("left_keys", "right_keys")


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the rows of one owner go. Shapes: keys and rows (buckets, bucket rows); row -1 is filling."""

    keys: Int64
    rows: Int64


@dataclass(frozen=True, slots=True)
class OwnerColumns:
    """One owner's inputs. Shapes: keys (buckets, bucket rows); columns (buckets, numbers, bucket rows); totals
    (blocks,) persons of each block, at the group owner."""

    keys: Int64
    columns: Int64
    totals: Int64 | None


def place(ids: Sequence[str], key: bytes, shape: JoinShape, *, rank: int) -> Placed | None:
    """Keyed numbers of 59 bits in buckets; None when this key makes two of them equal or a bucket overfull.

    Filling has numbers of its own above 2^59, other ones for each owner, so that it matches nothing.
    """
    halves = np.frombuffer(b"".join(identifiers.keyed(ids, key)), dtype="<u8").reshape(-1, 2)
    numbers = (halves[:, 0] >> np.uint64(64 - KEY_BITS)).astype(np.int64)
    buckets = (halves[:, 1] % np.uint64(shape.buckets)).astype(np.int64)
    size = shape.bucket_rows(rank)
    order = np.lexsort((numbers, buckets))
    numbers, buckets = numbers[order], buckets[order]
    counts = np.bincount(buckets, minlength=shape.buckets)
    if counts.max() > size or ((numbers[1:] == numbers[:-1]) & (buckets[1:] == buckets[:-1])).any():
        return None
    filling = (np.int64(1 + rank) << KEY_BITS) + np.arange(size, dtype=np.int64)
    keys, rows = np.tile(filling, (shape.buckets, 1)), np.full((shape.buckets, size), -1, np.int64)
    inside = np.arange(order.size) - (np.cumsum(counts) - counts)[buckets]
    keys[buckets, inside], rows[buckets, inside] = numbers, order
    return Placed(keys, rows)


def owner_columns(table: Table, values: Sequence[str], placed: Placed, shape: JoinShape, *, rank: int) -> OwnerColumns:
    """The group owner's block digits, or the value owner's values and squares, in the order of the buckets."""
    is_real = placed.rows >= 0
    if rank == VALUE_OWNER:
        whole = spu_stages.limbs([table.values[name] for name in values], rows=table.blocks.size)
        columns = np.where(is_real[:, None, :], whole.T[placed.rows].transpose(0, 2, 1), 0)
        return OwnerColumns(placed.keys, columns, None)
    high, low = shape.digits
    blocks = table.blocks[placed.rows]
    digits = np.concatenate(
        [blocks[:, None, :] // low == np.arange(high)[:, None], blocks[:, None, :] % low == np.arange(low)[:, None]],
        axis=1,
    )
    totals = np.bincount(table.blocks, minlength=len(shape.group_of)).astype(np.int64)
    return OwnerColumns(placed.keys, (digits & is_real[:, None, :]).astype(np.int64), totals)


def circuit(context: StageContext, shape: JoinShape, *, columns: OwnerColumns | None) -> dict[str, Any]:
    """Run every bucket, suppress, and keep this party's share of the result; nothing is opened to anybody.

    Shapes: the shared result (1 + 3 x values, groups).
    """
    machine = spu_stages.Machine(context, stage=SPU_STAGE, parties=3)
    high, low = shape.digits
    shapes = {
        _KEYS[0]: (shape.bucket_rows(GROUP_OWNER),),
        "digits": (high + low, shape.bucket_rows(GROUP_OWNER)),
        _KEYS[1]: (shape.bucket_rows(VALUE_OWNER),),
        "values": (3 * shape.values, shape.bucket_rows(VALUE_OWNER)),
        "sums": (shape.numbers, high, low),
    }
    owners = {_KEYS[0]: GROUP_OWNER, "digits": GROUP_OWNER, _KEYS[1]: VALUE_OWNER, "values": VALUE_OWNER}
    machine.input("sums", None, shape=shapes["sums"], owner=GROUP_OWNER)
    add_bucket = machine.compile(_add_bucket(shape), shapes, "sums")
    for bucket in range(shape.buckets):
        context.progress("compute", 25 + 60 * bucket // shape.buckets)
        for name, owner in owners.items():
            own = None
            if columns is not None and owner == context.rank:
                own = (columns.keys if name in _KEYS else columns.columns)[bucket]
            machine.input(name, own, shape=shapes[name], owner=owner)
        machine.run(add_bucket)
    blocks = (len(shape.group_of),)
    machine.input("totals", None if columns is None else columns.totals, shape=blocks, owner=GROUP_OWNER)
    machine.run(machine.compile(_release(shape), {"sums": shapes["sums"], "totals": blocks}, "statistics"))
    context.progress("compute", 95)
    return machine.share("statistics")


def _add_bucket(shape: JoinShape) -> Any:
    """Persons and values of one bucket's matches for each pair of block digits, added to what came before."""
    import jax
    import jax.numpy as jnp

    high, low = shape.digits

    def add_bucket(left_keys: Any, digits: Any, right_keys: Any, values: Any, sums: Any) -> Any:
        left, right = jnp.zeros_like(left_keys), jnp.zeros_like(right_keys)
        columns = [jnp.concatenate([row, right]) for row in digits] + [jnp.concatenate([left, row]) for row in values]
        keys, *rest = jax.lax.sort([jnp.concatenate([left_keys, right_keys]), *columns], num_keys=1)
        is_match = (keys[1:] == keys[:-1]).astype(jnp.int64)
        # Of two equal neighbours one is the group owner's and one the value owner's, so the sum of both is the pair.
        pairs = jnp.stack([row[1:] + row[:-1] for row in rest])
        of_high, of_low, numbers = pairs[:high] * is_match[None, :], pairs[high : high + low], pairs[high + low :]
        counts = of_high @ of_low.T
        found = [(of_high * row[None, :]) @ of_low.T for row in numbers]
        return sums + jnp.stack([counts, *found])

    return add_bucket


def _release(shape: JoinShape) -> Any:
    """Zero for blocks of fewer than k matches or with an unmatched rest of 1 to k - 1; the others into groups."""
    import jax.numpy as jnp

    into = spu_stages.into_groups(shape)

    def release(sums: Any, totals: Any) -> Any:
        flat = sums.reshape(shape.numbers, -1)[:, : len(shape.group_of)]
        counts = flat[0]
        rest = totals - counts
        is_large = (counts >= shape.k).astype(jnp.int64)
        is_told_by_rest = (rest >= 1).astype(jnp.int64) * (1 - (rest >= shape.k).astype(jnp.int64))
        return (flat * (is_large * (1 - is_told_by_rest))[None, :]) @ jnp.asarray(into)

    return release
