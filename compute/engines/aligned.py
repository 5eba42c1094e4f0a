"""Statistics over people whose columns lie with two owners: `aby3_aligned/1`.

Stage 0, own link: the two owners draw a key for this job that nobody else can know, and agree on shapes.
Stage 1, RR22 PSI between the two: person ids enter only as keyed values under that key. Both owners learn who
    is in both datasets, in one common order; nobody else does. (`aby3_join/1` keeps it from the owners as well.)
    By bucket where a table is large (`buckets`).
Stage 2, ABY3 with the neutral compute party: the group owner inputs which block each person is in, the value
    owner the values and their squares. Inside the circuit: persons and sums for each block, blocks with fewer
    than k persons become zero, the others are added into the requested groups. A block whose unmatched rest is
    smaller than k, and not nobody, is left out by the group owner. Nothing is opened: each party
    keeps its share, and that is its part. The buyer puts any two of the three replicated shares together.

The intersection is padded with persons in no block to a power of two, so that the compute party learns its
magnitude and not its size.

Source: Rindal and Raghuraman, Blazing Fast PSI, CCS 2022; Mohassel and Rindal, ABY3, CCS 2018.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from compute.engines import greeting, keeping, link
from compute.engines.base import BUCKET_ROWS, Estimate, Learned, SecurityCard, StageContext, write_part
from compute.engines.errors import EngineRefused
from compute.engines.two_owners import (
    COMPUTE_PARTY,
    GROUP_OWNER,
    VALUE_OWNER,
    Shape,
    TwoOwnerStatistics,
    agree,
    check_order,
    pairs,
    reconstruct,
)
from compute.protocol import operations

CIRCUIT_CELLS = 1 << 24  # secret numbers of the one-hot input, 128 MB; sums of more rows come from dealt shares

AnyShape = TypeVar("AnyShape", bound=Shape)


class AlignedStatistics(TwoOwnerStatistics):
    """Two owners and a neutral compute party; safe while no two of the three collude."""

    id: ClassVar[str] = "aby3_aligned/1"
    operation: ClassVar[str] = operations.ALIGNED_STATISTICS
    roles: ClassVar[tuple[str, ...]] = ("data", "data", "compute")
    link_stages: ClassVar[int] = 3
    goes_on: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "numpy", "pandas", "spu")
    parts: ClassVar[int] = 3
    storage: ClassVar[str] = "aby3.AShr<FM64>"
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="mpc",
        protocol="PSI RR22 on job-keyed BLAKE2b ids, by bucket above 2,097,152 rows; SPU ABY3 FM64, out-shares only; "
        "above 2^24 matched rows times blocks sums of shares mod 2^64 that the compute party deals",
        adversary_model="semi-honest, three parties, at most one corrupted",
        assumption_zh="三方按协议执行且任意两方不串通；计算方须独立于两个数据方。",
        assumption_en="The three parties follow the protocol and no two collude; the compute party must be independent "
        "of both data parties.",
        precision_zh="精确：环上整数运算，均值与方差只在最后舍入一次（六位小数，四舍六入五成双）。",
        precision_en="Exact: integer arithmetic in the ring; mean and variance are rounded once, to six places, "
        "half to even.",
        cost_zh="每方十万人、6 个分块、两个数值列：两核机器上三方共用约 7 秒，数据方各 0.55 GB；"
        "每方一亿人（分桶、一个数值列）：数据方各约 600 秒处理器时间。",
        cost_en="100,000 persons a side, 6 blocks and two values: 7 seconds with all three on one two-core "
        "machine, 0.55 GB at each data party; 10^8 a side by bucket, one value: 600 seconds of processor time at each.",
        learned=(
            Learned(
                "data_party",
                "两个数据方互相知道哪些人同时在双方数据中、对方声明的类别与取值范围、对方的行数（分桶时为每桶的行数）；"
                "不知道对方的任何取值、分组、人数合计或结果。",
                "The two data parties learn which persons are in both datasets, the categories and bounds the other "
                "declares and its row count (by bucket: that of each); no value, grouping, group size or result of the "
                "other.",
            ),
            Learned(
                "compute_party",
                "交集人数的数量级（补齐到2的幂）、桶数、分块数、分组数、数值列数与最小人数；没有标识、名称、取值或结果。",
                "The magnitude of the intersection (padded to a power of two), the numbers of buckets, blocks, groups "
                "and value columns and k; no identifier, name, value or result.",
            ),
            Learned(
                "buyer",
                "每个已放行分组的人数、总和、均值与方差，以及分组方声明的类别；人数不足的分块在电路内已归零"
                "（超大运行中由分组方略去）。",
                "Count, sum, mean and variance of each released group and the categories the group owner declares; "
                "blocks that are too small were set to zero inside the circuit (in the largest runs left out by the "
                "group owner).",
            ),
            Learned("exchange", "只见到密封的份额与其大小。", "Only sealed shares and their size."),
        ),
    )

    def estimate(self, parameters: Mapping[str, Any], *, rows: Sequence[int]) -> Estimate:
        """See Engine.estimate; from tests/benchmarks/compute_buckets.py; the bytes are a rough bound."""
        width, most = 1 + len(parameters["values"]), max(rows)
        in_circuit = min(most * width, CIRCUIT_CELLS // 16)
        return Estimate(
            seconds=4 + in_circuit / 30_000 + most * 16e-6,
            memory_mb=450 + in_circuit // 1_500 + min(most, BUCKET_ROWS) // 1_000,
            bytes_sent=600 * in_circuit + most * (70 + 48 * width),
        )

    def join_shares(self, shares: Sequence[Sequence[int]], *, count: int) -> list[int]:
        """See TwoOwnerStatistics.join_shares; replicated shares, compared with each other."""
        return reconstruct([pairs(words) for words in shares], count=count)

    def run(self, context: StageContext) -> bytes:
        """See Engine.run."""
        if context.parties != 3 or (context.dataset is None) != (context.rank == COMPUTE_PARTY):
            raise EngineRefused("JOB_DIFFERS", "This operation needs two data parties and one compute party.")
        from compute.engines import spu_stages  # numeric: only here, in the run's own process

        context.progress("link", 2)
        with link.connect(context) as mesh:
            context.progress("link", 10)
            if context.dataset is None:
                content = self._compute(context, mesh, spu_stages)
            else:
                content = self._contribute(context, mesh, spu_stages)
            mesh.conclude()
        keeping.forget(context, context.job_digest)
        context.progress("part", 100)
        return write_part(engine=self.id, context=context, content=content)

    def _compute(self, context: StageContext, mesh: link.Mesh, spu_stages: Any) -> dict[str, Any]:
        from compute.engines import aligned_sums

        greeting.check_jobs(context, mesh)
        mesh.watch(spu_stages.leave_as_lost(context))
        context.progress("match", 20)
        aligned_sums.stand_by(context, mesh)
        shape = receive_shape(context, mesh, Shape)
        context.progress("compute", 40)
        if shape.rows * len(shape.group_of) <= CIRCUIT_CELLS:
            return {"layout": None, **spu_stages.circuit(context, shape, one_hot=None, inputs=None)}
        return {"layout": None, "storage": self.storage, "shares": aligned_sums.deal(context, mesh, shape)}

    def _contribute(self, context: StageContext, mesh: link.Mesh, spu_stages: Any) -> dict[str, Any]:
        from compute.engines import aligned_sums

        parameters, rank, peer = context.parameters, context.rank, 1 - context.rank
        greeting.check_jobs(context, mesh)
        meta, hellos = self.greet(context, mesh)
        found = aligned_sums.match(context, mesh, meta)
        layout, shape = agree(parameters, hellos, rows=found.rows)
        check_order(mesh, peer, found.order, shape)
        mesh.exchange({COMPUTE_PARTY: greeting.dump(shape.describe())})
        context.progress("compute", 40)
        if shape.rows * len(shape.group_of) > CIRCUIT_CELLS:
            shares = aligned_sums.add_up(context, mesh, found, shape)
            return {"layout": layout, "storage": self.storage, "shares": shares}
        payload = found.all()
        if rank == GROUP_OWNER:
            released = spu_stages.released_blocks(payload[:, 0], found.totals, shape)
            one_hot = spu_stages.one_hot(released, shape)
            return {"layout": layout, **spu_stages.circuit(context, shape, one_hot=one_hot, inputs=None)}
        inputs = spu_stages.value_inputs(list(payload.T), shape)
        return {"layout": layout, **spu_stages.circuit(context, shape, one_hot=None, inputs=inputs)}


def receive_shape(context: StageContext, mesh: link.Mesh, kind: type[AnyShape]) -> AnyShape:
    """The circuit's shape as both owners tell it to the compute party; EngineRefused JOB_DIFFERS."""
    told = mesh.exchange({GROUP_OWNER: b"", VALUE_OWNER: b""})
    if told[GROUP_OWNER] != told[VALUE_OWNER]:
        raise greeting.differs("The data parties do not agree on the circuit; submit again.")
    shape = kind.read(told[GROUP_OWNER])
    if shape.k < int(context.job["min_group"]):
        raise greeting.differs("The data parties chose a smaller k than the job's; submit again.")
    return shape
