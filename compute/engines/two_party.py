"""Aligned statistics where only the two owners may compute: `cheetah_aligned/1`.

As `aligned` without a compute party. The owners match by RR22 under a key for this job, and compute in CHEETAH:
products of shares by lattice encryption, comparisons by oblivious transfer. Squares are taken at their owner in the
clear, and everything in the circuit is an integer of the ring: nothing is truncated, which is where CHEETAH's products
of fractions lose digits.

Costs far more memory than three parties do, so tables are bounded. Both owners learn who matches, as in `aligned`.

Sources: Rindal and Raghuraman, Blazing Fast PSI, CCS 2022; Huang, Lu, Hong and Ding, Cheetah, USENIX Security 2022.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from compute.engines import gate, greeting, identifiers, link
from compute.engines.base import Estimate, Learned, SecurityCard, StageContext, write_part
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.metadata import DatasetMeta
from compute.engines.two_owners import GROUP_OWNER, OWNERS, TwoOwnerStatistics, agree, check_order, signed
from compute.protocol import operations

PSI_STAGE, SPU_STAGE = 1, 2
MAX_ROWS = 1 << 16
MAX_CELLS = 1 << 21  # rows x blocks of the one-hot input: 0.9 GB a party were measured there, with two values


class TwoPartyStatistics(TwoOwnerStatistics):
    """Two owners and nobody else; each is safe against the other."""

    id: ClassVar[str] = "cheetah_aligned/1"
    operation: ClassVar[str] = operations.TWO_PARTY_STATISTICS
    roles: ClassVar[tuple[str, ...]] = ("data", "data")
    link_stages: ClassVar[int] = 3
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "numpy", "pandas", "spu")
    parts: ClassVar[int] = 2
    storage: ClassVar[str] = "cheetah.AShr<FM64>"
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="mpc",
        protocol="PSI RR22 on job-keyed BLAKE2b ids; SPU CHEETAH FM64 (lattice encryption and oblivious transfer), "
        "out-shares only",
        adversary_model="semi-honest, two parties, either one corrupted",
        assumption_zh="两方按协议执行；不需要第三方。安全性依赖格上困难问题（RLWE）与不经意传输。",
        assumption_en="Both parties follow the protocol; there is no third one. Security rests on ring learning "
        "with errors and oblivious transfer.",
        precision_zh="精确：平方由取值方在本地计算，电路内只有环上整数；均值与方差只在最后舍入一次（六位小数，"
        "四舍六入五成双）。",
        precision_en="Exact: squares are taken at their owner and the circuit holds integers of the ring only; "
        "mean and variance are rounded once, to six places, half to even.",
        cost_zh="每方 65,536 人、30 个分块：繁忙的两核机器上约 25 秒，每方 0.9 GB；更大的规模不予受理。",
        cost_en="65,536 persons a side and 30 blocks: 25 seconds on a busy two-core machine, 0.9 GB a party; "
        "larger ones are refused.",
        learned=(
            Learned(
                "data_party",
                "两个数据方互相知道哪些人同时在双方数据中、对方声明的类别与取值范围、对方的行数；"
                "不知道对方的任何取值、分组、人数合计或结果。",
                "The two data parties learn which persons are in both datasets, the categories and bounds the "
                "other declares and its row count; no value, grouping, group size or result of the other.",
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
        """See Engine.check; only small tables."""
        super().check(parameters, metas, min_group=min_group)
        for rank, meta in metas.items():
            blocks = gate.blocks(meta.dimensions()) if rank == GROUP_OWNER else 1
            if meta.magnitude > MAX_ROWS or meta.magnitude * blocks > MAX_CELLS:
                raise EngineRefused(
                    "PARTITION_TOO_LARGE",
                    f"Two parties alone compute over at most {MAX_ROWS} rows and {MAX_CELLS} rows times blocks; "
                    "use the aligned statistics with a compute party.",
                )

    def estimate(self, parameters: Mapping[str, Any], *, rows: Sequence[int]) -> Estimate:
        """See Engine.estimate; measured with tests/benchmarks/compute_matching.py, for up to 32 blocks."""
        numbers = max(rows) * (1 + 3 * len(parameters["values"]))
        return Estimate(
            seconds=8 + numbers / 20_000, memory_mb=650 + numbers // 1_000, bytes_sent=10**7 + 300 * numbers
        )

    def join_shares(self, shares: Sequence[Sequence[int]], *, count: int) -> list[int]:
        """See TwoOwnerStatistics.join_shares; the sum of both shares in the ring."""
        if any(len(vector) != count for vector in shares):
            raise PartInvalid("A part has another length than agreed; report the run to the exchange.")
        return [signed(sum(column)) for column in zip(*shares, strict=True)]

    def run(self, context: StageContext) -> bytes:
        """See Engine.run."""
        if context.parties != 2 or context.dataset is None:
            raise EngineRefused("JOB_DIFFERS", "This operation needs two data parties and nobody else.")
        from compute.engines import spu_links  # loads the library: only here, in the run's own process

        context.progress("link", 2)
        with link.connect(context) as mesh:
            context.progress("link", 10)
            greeting.check_jobs(context, mesh)
            mesh.watch(spu_links.leave_as_lost(context))
            content = self._contribute(context, mesh)
            mesh.conclude()
        context.progress("part", 100)
        return write_part(engine=self.id, context=context, content=content)

    def _contribute(self, context: StageContext, mesh: link.Mesh) -> dict[str, Any]:
        from compute.engines import loading, spu_matching, spu_stages

        parameters, rank, peer = context.parameters, context.rank, 1 - context.rank
        owns_groups = rank == GROUP_OWNER
        meta, hellos = self.greet(context, mesh)
        key = greeting.job_key(context, mesh, ranks=OWNERS)
        table = loading.load_table(
            context.own_dataset, meta, values=[] if owns_groups else parameters["values"], blocks=owns_groups, ids=True
        )
        context.progress("match", 20)
        keys = identifiers.keyed(table.ids or (), key)
        places, digest = spu_matching.match(context, keys, stage=PSI_STAGE, ranks=OWNERS)
        layout, shape = agree(parameters, hellos, rows=len(places))
        check_order(mesh, peer, digest, shape)
        context.progress("compute", 40)
        one_hot = inputs = None
        if owns_groups:
            totals = spu_stages.block_totals(table.blocks, shape)
            one_hot = spu_stages.one_hot(spu_stages.released_blocks(table.blocks[places], totals, shape), shape)
        else:
            inputs = spu_stages.value_inputs([table.values[name][places] for name in parameters["values"]], shape)
        share = spu_stages.circuit(context, shape, one_hot=one_hot, inputs=inputs, stage=SPU_STAGE, parties=2)
        return {"layout": layout, **share}
