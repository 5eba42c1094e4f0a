"""The aligned statistics of tables of any size: who is in both, bucket by bucket, and sums from dealt shares.

Rows that match are taken in one order common to both owners, in chunks, from where the matching left them: memory is
that of one bucket or one chunk. The group owner counts the matched persons of each of its blocks, as it can anyhow;
blocks with fewer than k of them, or with an unmatched rest of 1 to k - 1, go into no group, once and for all chunks.
Values become shares by `dealt_sums`: the value owner learns nothing of groups, the group owner nothing of values, the
compute party as many rows as the next power of two. At the end the two owners' shares become those that the circuit of
smaller tables leaves, so that parts and their opening are the same.
"""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.engines import (
    buckets,
    dealt_sums,
    gate,
    greeting,
    identifiers,
    keeping,
    link,
    loading,
    spu_links,
    spu_matching,
)
from compute.engines.base import StageContext, Table
from compute.engines.metadata import DatasetMeta
from compute.engines.two_owners import COMPUTE_PARTY, GROUP_OWNER, LIMB_BITS, OWNERS, VALUE_OWNER, Shape

PSI_STAGE = 1

Int64 = NDArray[np.int64]
Words = NDArray[np.uint64]


class Blocks:
    """What the group owner keeps of a row: its block."""

    width = 1
    columns: Mapping[str, Any] = {"values": (), "blocks": True}

    def __init__(self, meta: DatasetMeta) -> None:
        self._totals = np.zeros(gate.blocks(meta.dimensions()), np.int64)

    def take(self, chunk: Table, first: int) -> Int64:
        """See buckets.Payload."""
        del first
        self._totals += np.bincount(chunk.blocks, minlength=len(self._totals))
        return chunk.blocks[:, None]

    def summary(self) -> list[int]:
        """See buckets.Payload: how many persons each block has."""
        found: list[int] = self._totals.tolist()
        return found


class Values:
    """What the value owner keeps of a row: the values that are asked for."""

    def __init__(self, names: Sequence[str]) -> None:
        self.width = len(names)
        self.columns: Mapping[str, Any] = {"values": tuple(names), "blocks": False}

    def take(self, chunk: Table, first: int) -> Int64:
        """See buckets.Payload."""
        del first
        return np.stack([chunk.values[name].astype(np.int64) for name in self.columns["values"]], axis=1)

    def summary(self) -> list[int]:
        """See buckets.Payload."""
        return []


@dataclass(frozen=True, slots=True)
class Found:
    """The persons in both tables: how many, a digest of their order, and this owner's columns of them.

    `totals` are the persons of each block, matched or not, at the group owner; `parts` gives arrays (m, width).
    """

    rows: int
    order: str
    totals: Sequence[int]
    parts: Callable[[], Iterator[Int64]]

    def all(self) -> Int64:
        """All columns at once."""
        return np.concatenate(list(self.parts()))


def match(context: StageContext, mesh: link.Mesh, meta: DatasetMeta) -> Found:
    """Find who is in both tables, in memory or by bucket; both owners learn it, nobody else does."""
    payload = Blocks(meta) if context.rank == GROUP_OWNER else Values(context.parameters["values"])
    many = buckets.agree(context, mesh, meta, ranks=OWNERS)
    mesh.exchange({COMPUTE_PARTY: greeting.dump({"buckets": many})})
    if many > 1:
        work = buckets.prepare(context, mesh, meta, payload, buckets=many, ranks=OWNERS)
        buckets.match(context, mesh, work, ranks=OWNERS, protocol="rr22", broadcast=True)
        return Found(work.matched_rows(), work.order(), work.summary, work.matched)
    key = greeting.job_key(context, mesh, ranks=OWNERS)
    mesh.watch(spu_links.leave_as_lost(context))
    table = loading.load_table(context.own_dataset, meta, ids=True, **payload.columns)
    context.progress("match", 20)
    keys = identifiers.keyed(table.ids or (), key)
    places, order = spu_matching.match(context, keys, stage=PSI_STAGE, ranks=OWNERS)
    matched = payload.take(table, 0)[places]
    return Found(len(places), order, payload.summary(), lambda: iter([matched]))


def stand_by(context: StageContext, mesh: link.Mesh) -> None:
    """The compute party's side of `match`: whether the owners go by bucket, so that it, too, may be started again."""
    told = mesh.exchange({GROUP_OWNER: b"", VALUE_OWNER: b""})
    many = greeting.load(told[GROUP_OWNER]).get("buckets")
    if told[GROUP_OWNER] != told[VALUE_OWNER] or not isinstance(many, int):
        raise greeting.differs("The data parties do not agree on the buckets; submit again.")
    if many > 1 and context.state is not None:
        keeping.directory(context, context.job_digest)


def add_up(context: StageContext, mesh: link.Mesh, found: Found, shape: Shape) -> str:
    """An owner's share of the statistics, as the member of its part."""
    width = 3 * shape.values
    size, done = dealt_sums.chunk_rows(shape.rows, width=width), 0
    total: Words = np.zeros((shape.groups, width), np.uint64)
    persons = np.zeros(shape.groups, np.uint64)
    adder: dealt_sums.Mapper | dealt_sums.Owner
    if context.rank == GROUP_OWNER:
        group_of, persons = _groups(found, shape)
        adder = dealt_sums.Mapper(mesh, owner=VALUE_OWNER, dealer=COMPUTE_PARTY, groups=shape.groups, width=width)
        chunks = (group_of[chunk[:, 0]] for chunk in dealt_sums.rechunked(found.parts(), rows=shape.rows, size=size))
    else:
        adder = dealt_sums.Owner(mesh, mapper=GROUP_OWNER, dealer=COMPUTE_PARTY, groups=shape.groups, width=width)
        chunks = (_limbs(chunk) for chunk in dealt_sums.rechunked(found.parts(), rows=shape.rows, size=size))
    for chunk in chunks:
        context.progress("compute", 40 + 55 * done // shape.rows)
        total += adder.sums(chunk)
        done += size
    return _share(context, mesh, np.concatenate([persons, total.T.ravel()]), shape)


def deal(context: StageContext, mesh: link.Mesh, shape: Shape) -> str:
    """The compute party's share of the statistics, after dealing for the owners."""
    width = 3 * shape.values
    size = dealt_sums.chunk_rows(shape.rows, width=width)
    dealt_sums.deal(
        mesh,
        mapper=GROUP_OWNER,
        owner=VALUE_OWNER,
        chunks=shape.rows // size,
        rows=size,
        groups=shape.groups,
        width=width,
    )
    return _share(context, mesh, None, shape)


def _share(context: StageContext, mesh: link.Mesh, own: Words | None, shape: Shape) -> str:
    count = shape.groups * shape.numbers
    return base64.b64encode(dealt_sums.replicated(mesh, own, rank=context.rank, owners=OWNERS, count=count)).decode()


def _groups(found: Found, shape: Shape) -> tuple[Int64, Words]:
    """The group of each block, FILTERED where it is not released, and behind them FILTERED for no block (-1); and how
    many persons each group has."""
    counts = np.zeros(len(shape.group_of), np.int64)
    for part in found.parts():
        counts += np.bincount(part[:, 0], minlength=len(counts))
    hidden = np.array(gate.hidden_by_rest(counts.tolist(), totals=found.totals, k=shape.k), bool)
    is_released = np.array(gate.released(counts.tolist(), k=shape.k), bool) & ~hidden
    group_of = np.where(is_released, np.array(shape.group_of, np.int64), gate.FILTERED)
    persons = np.zeros(shape.groups, np.uint64)
    chosen = group_of != gate.FILTERED
    np.add.at(persons, group_of[chosen], counts[chosen].astype(np.uint64))
    return np.append(group_of, gate.FILTERED), persons


def _limbs(values: Int64) -> Int64:
    """x, and x squared as high and low limb, of every value; shapes (n, values) and (n, 3 x values)."""
    squares = values * values  # below 2^62: |x| < 2^31
    found: Int64 = np.stack([values, squares >> LIMB_BITS, squares & ((1 << LIMB_BITS) - 1)], axis=2)
    return found.reshape(len(values), 3 * values.shape[1])
