"""Statistics over people of two owners, where nobody learns who is in both tables: `aby3_join/1`.

Stage 0, own link: as in `aligned`, the owners draw a key for this job; nothing of a table but the magnitude of its row
count is told. Stage 1, ABY3 with the neutral compute party. Each owner turns its ids into numbers of 59 bits under the
key and inputs them together with its columns. Inside the circuit both tables are put one under the other and sorted by
that number, so that the two rows of one person become neighbours; a bit says whether two neighbours are equal; products
with that bit add up persons and values for each block. Blocks with fewer than k persons, or with an unmatched rest of 1
to k - 1, become zero, the others are added into the requested groups. Not even the number of matches is opened.

The sort runs over buckets: both owners put an id into one of B buckets by other bits of its keyed value, and fill every
bucket with rows that match nothing up to one public size. So memory is that of one bucket, and sizes say nothing but
the magnitudes. An overfull bucket, or two ids of one owner with the same number, is a matter of chance with the key:
both owners then derive the next key (`greeting.again`) and the others learn only that this happened.

Block b enters as two short one-hot rows, for b div g and b mod g with g near the square root of the blocks, because all
that is wanted of a block is bilinear in the two: 64 + 64 secret numbers for 4,096 blocks instead of 4,096.

Chance of a false match: below n * m / 2^59, which is 2^-25 for two tables of 131,072.
Sources: Mohassel and Rindal, ABY3, CCS 2018; sort and compare as in Huang, Evans and Katz, NDSS 2012; radix sort over
    shares: Chida et al., 2019.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from compute.engines import greeting, link
from compute.engines.aligned import receive_shape
from compute.engines.base import Estimate, Learned, SecurityCard, StageContext, write_part
from compute.engines.errors import EngineRefused
from compute.engines.metadata import DatasetMeta, magnitude
from compute.engines.two_owners import (
    COMPUTE_PARTY,
    GROUP_OWNER,
    MIN_PADDED,
    OWNERS,
    Shape,
    TwoOwnerStatistics,
    agree,
    pairs,
    reconstruct,
)
from compute.protocol import operations

SPU_STAGE = 1
KEY_BITS = 59
BUCKET_ROWS = 16_384  # of the larger table: some 0.7 GB a party with 30 blocks and two values
MAX_JOIN_ROWS = 1 << 21
ATTEMPTS = 8
_SIGMAS = 8  # a bucket overflows with probability below e^-26 (Chernoff), and then the key is drawn again


@dataclass(frozen=True, slots=True)
class JoinShape(Shape):
    """The circuit's shape with the magnitude of each table; `rows` is the larger."""

    left: int
    right: int

    @property
    def buckets(self) -> int:
        """How many buckets both tables fall into."""
        return max(1, self.rows // BUCKET_ROWS)

    def bucket_rows(self, rank: int) -> int:
        """Rows of one bucket of one owner, filling included."""
        mean = (self.left, self.right)[rank] / self.buckets
        return math.ceil(mean if self.buckets == 1 else mean + _SIGMAS * math.sqrt(mean) + _SIGMAS)

    @property
    def digits(self) -> tuple[int, int]:
        """How many values b div g and b mod g have."""
        low = math.isqrt(len(self.group_of) - 1) + 1
        return -(-len(self.group_of) // low), low


class JoinedStatistics(TwoOwnerStatistics):
    """Two owners and a neutral compute party; the match is nobody's; safe while no two of the three collude."""

    id: ClassVar[str] = "aby3_join/1"
    operation: ClassVar[str] = operations.JOINED_STATISTICS
    roles: ClassVar[tuple[str, ...]] = ("data", "data", "compute")
    link_stages: ClassVar[int] = 2
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "numpy", "pandas", "spu")
    parts: ClassVar[int] = 3
    storage: ClassVar[str] = "aby3.AShr<FM64>"
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="mpc",
        protocol="oblivious sort and compare of 59-bit job-keyed BLAKE2b ids; SPU ABY3 FM64, out-shares only",
        adversary_model="semi-honest, three parties, at most one corrupted",
        assumption_zh="三方按协议执行且任意两方不串通；计算方须独立于两个数据方。",
        assumption_en="The three parties follow the protocol and no two collude; the compute party must be independent "
        "of both data parties.",
        precision_zh="环上整数运算，精确；两人标识被误认为同一人的概率低于两表行数之积除以2的59次方；"
        "均值与方差只在最后舍入一次（六位小数，四舍六入五成双）。",
        precision_en="Exact integer arithmetic in the ring; two persons are taken for one with probability below the "
        "product of the row counts over 2^59; mean and variance are rounded once, to six places, half to even.",
        cost_zh="每方十万人、30 个分块、两个数值列：两核机器上三方共用约 42 秒，每方 0.7 GB。",
        cost_en="100,000 persons a side, 30 blocks and two values: 42 seconds with all three on one two-core "
        "machine, 0.7 GB a party.",
        learned=(
            Learned(
                "data_party",
                "对方行数的数量级（2的幂）、声明的类别与取值范围；不知道哪些人重合，也不知道重合的人数。",
                "The magnitude of the other's row count (a power of two) and the categories and bounds it declares; "
                "neither which persons are in both datasets nor how many.",
            ),
            Learned(
                "compute_party",
                "两表行数的数量级、分块数、分组数、数值列数与最小人数；没有标识、重合人数、名称、取值或结果。",
                "The magnitudes of both row counts, the numbers of blocks, groups and value columns and k; no "
                "identifier, "
                "no size of the match, no name, value or result.",
            ),
            Learned(
                "buyer",
                "每个已放行分组的人数、总和、均值与方差，以及分组方声明的类别；人数不足的分块在电路内已归零。",
                "Count, sum, mean and variance of each released group and the categories the group owner declares; "
                "blocks that are too small were set to zero inside the circuit.",
            ),
            Learned("exchange", "只见到密封的份额与其大小。", "Only sealed shares and their size."),
        ),
    )

    def check(self, parameters: Mapping[str, Any], metas: Mapping[int, DatasetMeta], *, min_group: int) -> None:
        """See Engine.check; the oblivious sort bounds the rows as well."""
        super().check(parameters, metas, min_group=min_group)
        if any(meta.magnitude > MAX_JOIN_ROWS for meta in metas.values()):
            raise EngineRefused(
                "PARTITION_TOO_LARGE", f"More than {MAX_JOIN_ROWS} rows; use the aligned statistics for this table."
            )

    def estimate(self, parameters: Mapping[str, Any], *, rows: Sequence[int]) -> Estimate:
        """See Engine.estimate; measured with tests/benchmarks/compute_matching.py."""
        most = max(MIN_PADDED, *rows)
        columns = 20 + 3 * len(parameters["values"])
        bucket = min(most, BUCKET_ROWS)
        return Estimate(
            seconds=8 + most * (30 + columns) / 120_000,
            memory_mb=350 + bucket * (40 + columns) // 2_500,
            bytes_sent=most * 2 * (4_000 + 80 * columns),
        )

    def join_shares(self, shares: Sequence[Sequence[int]], *, count: int) -> list[int]:
        """See TwoOwnerStatistics.join_shares; replicated shares, compared with each other."""
        return reconstruct([pairs(words) for words in shares], count=count)

    def run(self, context: StageContext) -> bytes:
        """See Engine.run."""
        if context.parties != 3 or (context.dataset is None) != (context.rank == COMPUTE_PARTY):
            raise EngineRefused("JOB_DIFFERS", "This operation needs two data parties and one compute party.")
        from compute.engines import spu_links  # loads the library: only here, in the run's own process

        context.progress("link", 2)
        with link.connect(context) as mesh:
            context.progress("link", 10)
            greeting.check_jobs(context, mesh)
            mesh.watch(spu_links.leave_as_lost(context))
            content = self._compute(context, mesh) if context.dataset is None else self._contribute(context, mesh)
            mesh.conclude()
        context.progress("part", 100)
        return write_part(engine=self.id, context=context, content=content)

    def _compute(self, context: StageContext, mesh: link.Mesh) -> dict[str, Any]:
        from compute.engines import spu_join

        shape = receive_shape(context, mesh, JoinShape)
        check_shape(shape)
        context.progress("compute", 20)
        return {"layout": None, **spu_join.circuit(context, shape, columns=None)}

    def _contribute(self, context: StageContext, mesh: link.Mesh) -> dict[str, Any]:
        from compute.engines import loading, spu_join

        parameters, rank, peer = context.parameters, context.rank, 1 - context.rank
        owns_groups = rank == GROUP_OWNER
        meta, hellos = self.greet(context, mesh, tells_size=True)
        layout, shape = agree_join(parameters, hellos)
        key = greeting.job_key(context, mesh, ranks=OWNERS)
        told = greeting.dump(shape.describe())
        if mesh.exchange({peer: told})[peer] != told:
            raise greeting.differs("The data parties do not agree on the circuit; submit again.")
        mesh.exchange({COMPUTE_PARTY: told})
        table = loading.load_table(
            context.own_dataset, meta, values=[] if owns_groups else parameters["values"], blocks=owns_groups, ids=True
        )
        placed = self._place(mesh, peer, table.ids or (), key, shape, rank=rank)
        context.progress("compute", 20)
        columns = spu_join.owner_columns(table, parameters["values"], placed, shape, rank=rank)
        return {"layout": layout, **spu_join.circuit(context, shape, columns=columns)}

    def _place(self, mesh: link.Mesh, peer: int, ids: Sequence[str], key: bytes, shape: JoinShape, *, rank: int) -> Any:
        """Put this owner's ids into buckets, under the first key with which both owners' ids fit."""
        from compute.engines import spu_join

        for attempt in range(ATTEMPTS):
            found = spu_join.place(ids, greeting.again(key, attempt), shape, rank=rank)
            fits = {"fits": found is not None}
            theirs = greeting.tell(mesh, peer, fits)
            if found is not None and theirs == fits:
                return found
        raise EngineRefused("ENGINE_ERROR", "Two ids of a dataset are the same; add the dataset again.")


def agree_join(
    parameters: Mapping[str, Any], hellos: Mapping[int, Mapping[str, Any]]
) -> tuple[dict[str, Any], JoinShape]:
    """Groups and circuit shape at both owners, from declarations and the magnitudes of both tables."""
    try:
        left, right = (max(MIN_PADDED, magnitude(int(hellos[rank]["rows"]))) for rank in OWNERS)
    except (KeyError, TypeError, ValueError):
        raise greeting.differs("A peer's greeting cannot be read; check the versions.") from None
    layout, shape = agree(parameters, hellos, rows=max(left, right))
    found = JoinShape(
        rows=shape.rows,
        group_of=shape.group_of,
        groups=shape.groups,
        values=shape.values,
        k=shape.k,
        left=left,
        right=right,
    )
    check_shape(found)
    return layout, found


def check_shape(shape: JoinShape) -> None:
    """The magnitudes are powers of two within bounds, and `rows` is the larger; EngineRefused JOB_DIFFERS."""
    sizes = (shape.left, shape.right)
    if shape.rows != max(sizes) or any(
        size != magnitude(size) or not MIN_PADDED <= size <= MAX_JOIN_ROWS for size in sizes
    ):
        raise greeting.differs("The circuit's shape is outside its bounds; check the versions.")
