"""Joint statistics over people that are split among n owners: `additive_sharing/1`.

Each owner sums its own released blocks (n, sum of x, sum of x squared for each group; where asked for, sums of
products and persons by declared bands), splits these few numbers into n random shares and sends share j to party j.
What party j adds up is its part. The buyer adds all parts and has the totals over all owners; how much of a total
came from whom, nobody but the owner ever knows.

Before that the parties tell each other what their schemas declare (`layout.py`): categories of the grouped
dimensions, scales, bounds and bands of the values, and the magnitude of the row count as a power of two. So two
cities with different districts can be put side by side, and a total that could wrap is refused before anything is
shared.

Source: Benaloh 1986 (sharing); Bonawitz et al., Practical Secure Aggregation, CCS 2017 (setting).
"""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from compute.engines import bands, gate, link, measures, shares
from compute.engines.base import (
    Engine,
    Estimate,
    Learned,
    Level,
    Result,
    SecurityCard,
    StageContext,
    finish,
    read_parts,
    write_part,
)
from compute.engines.blocks import BlockTotals
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.layout import (
    MAX_NUMBERS,
    Layout,
    agree,
    check_answers,
    check_bands,
    check_range,
    greeting,
    read_greetings,
)
from compute.engines.layout import read as read_layout
from compute.engines.metadata import DatasetMeta
from compute.engines.privacy import noised
from compute.protocol import operations
from ledger.proofs import statements

MAX_PARTIES = 16
_START_SECONDS = 3.0  # starting Python and numpy, and the links
_CELLS_A_SECOND = 10e6
_MEMORY_MB = 512  # a chunk of every column and the counters of the largest partition
_GREETING_BYTES = 64 * 1024


class AdditiveSharing(Engine):
    """n owners, no helper, any number of them curious: only all of them together know more than the buyer."""

    id: ClassVar[str] = "additive_sharing/1"
    operation: ClassVar[str] = operations.JOINT_STATISTICS
    roles: ClassVar[tuple[str, ...]] = ("data",)
    link_stages: ClassVar[int] = 1
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "numpy", "pandas")
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="mpc",
        protocol="additive secret sharing of local aggregates mod 2^128",
        adversary_model="semi-honest, all but one data party may collude",
        assumption_zh="各方按协议执行；即使除一方外的所有数据方串通，也只能得到总计减去它们自己的部分。",
        assumption_en="Parties follow the protocol; even all data parties but one together learn no more than the "
        "released totals minus their own contributions.",
        precision_zh="精确：整数求和，均值、方差与协方差只在最后舍入一次（六位小数，四舍六入五成双）；分位数只给出所在分段。",
        precision_en="Exact: integer totals; mean, variance and covariance are rounded once, to six places, half to "
        "even; of a quantile only its declared band is told.",
        cost_zh="每方百万行、两方的一次运行不到 1 秒、每方发送约 1 KB；一亿行在列文件上约 4 秒、95 MB。",
        cost_en="Under 1 second for two owners of a million rows each, about 1 KB sent a party; 10^8 rows from "
        "column files about 4 seconds and 95 MB.",
        learned=(
            Learned(
                "data_party",
                "其他数据方声明的类别、取值范围、分段与行数的数量级（2的幂）；不知道结果，也不知道其他方的任何汇总。",
                "The categories, bounds and bands that the other data parties declare and the magnitude of their row "
                "counts (a power of two); neither the result nor any other party's aggregate.",
            ),
            Learned(
                "buyer",
                "每个已放行分组在所有数据方合计的人数、总和、均值与方差，以及各方声明的类别；如另行请求，还有协方差、"
                "按声明分段的人数及分位数所在分段，由此可知有多少人所在分块的分段人数未被告知；不知道各方各占多少。",
                "Count, sum, mean and variance of each released group over all data parties together, and the "
                "declared categories; where asked for, covariance, persons by declared bands and the bands of "
                "quantiles, and so how many persons are in blocks that are not told by bands; not how much any one "
                "party contributed.",
            ),
            Learned(
                "exchange",
                "只见到密封的份额与其大小。",
                "Only sealed shares and their size.",
            ),
        ),
    )

    def check(self, parameters: Mapping[str, Any], metas: Mapping[int, DatasetMeta], *, min_group: int) -> None:
        """See Engine.check; each party's dataset is checked for itself, agreement among them comes in the run."""
        if noised.is_asked(parameters):
            noised.check(parameters, metas, min_group=min_group)
            return
        for meta in metas.values():
            gate.check_query(
                meta,
                group_by=parameters["group_by"],
                filters=parameters["filters"],
                min_group=min_group,
                values_declared_elsewhere=True,
            )
            for name in parameters["values"]:
                largest = meta.numeric(name).largest
                check_range(name, largest * largest * meta.magnitude * MAX_PARTIES)
            check_bands(meta, measures.read(parameters), parameters["values"])

    def derive(self, parameters: Mapping[str, Any], *, rank: int) -> dict[str, Level]:
        """See Engine.derive; every party gives the same columns. A column counted by bands is a group of its own."""
        if noised.is_asked(parameters):
            return noised.derive(parameters)
        grouping = [*parameters["group_by"], *(item["column"] for item in parameters["filters"])]
        banded = measures.read(parameters).banded(parameters["values"])
        return {
            **dict.fromkeys(parameters["values"], Level.PLAINTEXT_AFTER_AGGREGATE),
            **dict.fromkeys([*grouping, *banded], Level.PLAINTEXT_AFTER_GROUP_BY),
        }

    def estimate(self, parameters: Mapping[str, Any], *, rows: Sequence[int]) -> Estimate:
        """See Engine.estimate: reading, checking and adding up grow with the rows; what is sent only with the groups.

        Measured by `make bench BENCH=compute_joint`; the slower of two runs at once on two cores.
        """
        asked, values = measures.read(parameters), len(parameters["values"])
        banded = len(asked.banded(parameters["values"]))
        width = 1 + 2 * values + len(asked.covariance) + 64 * banded
        numbers = min(MAX_NUMBERS, width * (gate.MAX_GROUPS if parameters["group_by"] else 1))
        columns = 1 + values + len(asked.covariance) + 2 * banded
        return Estimate(
            seconds=_START_SECONDS + max(rows) * columns / _CELLS_A_SECOND,
            memory_mb=_MEMORY_MB,
            bytes_sent=(len(rows) - 1) * (numbers * shares.WIDTH_BYTES + _GREETING_BYTES),
        )

    def run(self, context: StageContext) -> bytes:
        """See Engine.run."""
        if noised.is_asked(context.parameters):
            return noised.run(context, engine=self.id)
        from compute.engines import aggregates, loading  # numeric: only here, in the run's own process

        if context.dataset is None or not 2 <= context.parties <= MAX_PARTIES:
            raise EngineRefused("JOB_DIFFERS", "This operation needs two or more data parties and no other.")
        meta = loading.load_meta(context.dataset)
        k = gate.effective_k([meta], min_group=context.k)
        self.check(context.parameters, {context.rank: meta}, min_group=k)
        context.progress("link", 5)
        with link.connect(context) as mesh:
            context.progress("link", 20)
            own = greeting(context, meta)
            layout = agree(context, {context.rank: own, **read_greetings(mesh.broadcast(json.dumps(own).encode()))})
            context.progress("compute", 30)
            rows = json.loads((context.dataset / "schema.json").read_text(encoding="utf-8"))["rows"]
            aggregator = aggregates.Aggregator(
                meta,
                values=context.parameters["values"],
                products=layout.products,
                is_banded=bool(layout.cuts),
            )
            for table in loading.chunks(context.dataset, meta, values=aggregator.columns, blocks=True):
                aggregator.add(table)
                context.progress("compute", 30 + 45 * aggregator.rows // rows)  # of all rows: it always ends at 75
            selection = gate.select(meta.dimensions(), group_by=layout.group_by, filters=context.parameters["filters"])
            withheld = gate.read_withheld(context.work_dir, context.parameters["values"])
            numbers = local_totals(layout, selection, totals=aggregator.totals(), meta=meta, k=k, withheld=withheld)
            context.progress("share", 80)
            vectors = shares.split(numbers, parties=context.parties, random_bytes=secrets.token_bytes)
            outgoing = {rank: shares.pack(vectors[rank]) for rank in range(context.parties) if rank != context.rank}
            received = [_vector(data, layout) for data in mesh.exchange(outgoing).values()]
            share = shares.add([vectors[context.rank], *received])
            mesh.broadcast(b"done")  # everybody has its part: hanging up is no loss from here on
        context.progress("part", 100)
        content = {"layout": layout.describe(), "shares": base64.b64encode(shares.pack(share)).decode()}
        return write_part(engine=self.id, context=context, content=content)

    def open(self, parts: Sequence[bytes], *, job: Mapping[str, Any], request: Mapping[str, Any]) -> Result:
        """See Engine.open."""
        if noised.is_asked(request["parameters"]):
            return noised.open_parts(parts, engine=self.id, job=job, request=request)
        found = read_parts(parts, engine=self.id, job_digest=statements.digest(job), ranks=len(job["parties"]))
        if any(part.get("layout") != found[0].get("layout") for part in found):
            raise PartInvalid("The parts do not agree on the groups; report the run to the exchange.")
        try:
            layout = read_layout(found[0]["layout"])
            numbers = shares.join([_vector(base64.b64decode(part["shares"], validate=True), layout) for part in found])
        except (KeyError, TypeError, ValueError):
            raise PartInvalid("A part is damaged; fetch the result again.") from None
        check_answers(layout, request["parameters"])
        groups, asked = layout.totals(numbers), measures.read(request["parameters"])
        group_by = request["parameters"]["group_by"]
        return finish(
            {labels: list(group.values.values()) for labels, group in groups.items()},
            group_by=group_by,
            values=request["parameters"]["values"],
            min_group=job["min_group"],
            measures=measures.describe(asked, groups, group_by=group_by, cuts=dict(layout.cuts)),
        )


def local_totals(
    layout: Layout,
    selection: gate.Selection,
    *,
    totals: BlockTotals,
    meta: DatasetMeta,
    k: int,
    withheld: frozenset[int] = frozenset(),
) -> list[int]:
    """Add this party's released blocks into the groups, in the layout's order: everything that leaves, and in clear.

    Whatever is taken out of, or drawn onto, the numbers of a party is done here, before they are shared.
    """
    numbers = [0] * layout.size
    raised = {name: 10 ** (scale - meta.numeric(name).scale) for name, scale in layout.values}
    bands_of = {name: meta.column(name).bands for name in meta.banded}
    for block, is_released in enumerate(gate.released(totals.counts, k=k)):
        group = selection.group_of[block]
        if is_released and block not in withheld and group != gate.FILTERED:
            start = group * layout.width
            for place, number in enumerate(
                _of_block(layout, block, totals=totals, raised=raised, bands_of=bands_of, k=k), start
            ):
                numbers[place] += number
    return numbers


def _of_block(
    layout: Layout, block: int, *, totals: BlockTotals, raised: Mapping[str, int], bands_of: Mapping[str, int], k: int
) -> list[int]:
    """One released block's numbers, each raised to the agreed scale."""
    numbers = [totals.counts[block]]
    for name, _ in layout.values:
        numbers += [totals.sums[name][block] * raised[name], totals.squares[name][block] * raised[name] ** 2]
    for left, right in layout.products:
        numbers.append(totals.products[left, right][block] * raised[left] * raised[right])
    if layout.cuts:
        cells, places = bands.told(totals.cells[block], k=k), list(bands_of)
        for name, _ in layout.cuts:
            numbers += bands.histogram(cells, widths=list(bands_of.values()), place=places.index(name))
    return numbers


def _vector(data: bytes, layout: Layout) -> list[int]:
    vector = shares.unpack(data)
    if len(vector) != layout.size:
        raise PartInvalid("A share has another length than agreed; the run is void.")
    return vector
