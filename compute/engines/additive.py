"""Joint statistics over people that are split among n owners: `additive_sharing/1`.

Each owner sums its own released blocks (n, sum of x, sum of x squared for each group), splits these few
numbers into n random shares and sends share j to party j. What party j adds up is its part. The buyer adds
all parts and has the totals over all owners; who contributed how much, nobody but the owner ever knows.

Before that the parties tell each other what their schemas declare: categories of the grouped dimensions,
scales and bounds of the values, and the magnitude of the row count as a power of two. So two cities with
different districts can be put side by side, and a total that could wrap is refused before anything is shared.

Source: Benaloh 1986 (sharing); Bonawitz et al., Practical Secure Aggregation, CCS 2017 (setting).
"""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from compute.engines import gate, link, shares
from compute.engines.base import (
    Engine,
    GroupedStatistics,
    Learned,
    SecurityCard,
    StageContext,
    Total,
    finish,
    read_parts,
    write_part,
)
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.metadata import DatasetMeta
from compute.protocol import operations
from ledger.proofs import statements

MAX_PARTIES = 16


@dataclass(frozen=True, slots=True)
class Layout:
    """What the parties agreed on: the groups, the scales, and so the order of the shared numbers."""

    group_by: tuple[tuple[str, tuple[str, ...]], ...]
    values: tuple[tuple[str, int], ...]

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The categories of each group."""
        return gate.labels([categories for _, categories in self.group_by])

    @property
    def size(self) -> int:
        """How many numbers are shared."""
        return len(self.groups) * (1 + 2 * len(self.values))

    def describe(self) -> dict[str, Any]:
        """The layout as plain values."""
        return {
            "group_by": [[name, list(categories)] for name, categories in self.group_by],
            "values": [[name, scale] for name, scale in self.values],
        }


class AdditiveSharing(Engine):
    """n owners, no helper, any number of them curious: only all of them together know more than the buyer."""

    id: ClassVar[str] = "additive_sharing/1"
    operation: ClassVar[str] = operations.JOINT_STATISTICS
    link_stages: ClassVar[int] = 1
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "numpy", "pandas")
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="mpc",
        protocol="additive secret sharing of local aggregates mod 2^128",
        adversary_model="semi-honest, all but one data party may collude",
        assumption_zh="各方按协议执行；即使除一方外的所有数据方串通，也只能得到总计减去它们自己的部分。",
        assumption_en="Parties follow the protocol; even all data parties but one together learn no more than the "
        "released totals minus their own contributions.",
        precision_zh="精确：整数求和，均值与方差只在最后舍入一次（六位小数，四舍六入五成双）。",
        precision_en="Exact: integer totals; mean and variance are rounded once, to six places, half to even.",
        learned=(
            Learned(
                "data_party",
                "其他数据方声明的类别、取值范围与行数的数量级（2的幂）；不知道结果，也不知道其他方的任何汇总。",
                "The categories and bounds that the other data parties declare and the magnitude of their row counts "
                "(a power of two); neither the result nor any other party's aggregate.",
            ),
            Learned(
                "buyer",
                "每个已放行分组在所有数据方合计的人数、总和、均值与方差，以及各方声明的类别；不知道各方各占多少。",
                "Count, sum, mean and variance of each released group over all data parties together, and the "
                "declared categories; not how much any one party contributed.",
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
                _check_range(name, largest * largest * meta.magnitude * MAX_PARTIES)

    def run(self, context: StageContext) -> bytes:
        """See Engine.run."""
        from compute.engines import aggregates, loading  # numeric: only here, in the run's own process

        if context.dataset is None or not 2 <= context.parties <= MAX_PARTIES:
            raise EngineRefused("JOB_DIFFERS", "This operation needs two or more data parties and no other.")
        meta = loading.load_meta(context.dataset)
        k = gate.effective_k([meta], min_group=context.k)
        self.check(context.parameters, {context.rank: meta}, min_group=k)
        context.progress("link", 5)
        with link.connect(context) as mesh:
            context.progress("link", 20)
            hello = _hello(context, meta)
            layout = agree(context, {context.rank: hello, **_read_hellos(mesh.broadcast(json.dumps(hello).encode()))})
            context.progress("compute", 30)
            table = loading.load_table(
                context.dataset, meta, values=context.parameters["values"], blocks=True, ids=False
            )
            context.progress("compute", 60)
            selection = gate.select(meta.dimensions(), group_by=layout.group_by, filters=context.parameters["filters"])
            counts = aggregates.block_counts(table)
            sums = {name: aggregates.block_sums(table, name) for name, _ in layout.values}
            numbers = local_totals(layout, selection, counts=counts, sums=sums, meta=meta, k=k)
            context.progress("share", 80)
            vectors = shares.split(numbers, parties=context.parties, random_bytes=secrets.token_bytes)
            outgoing = {rank: shares.pack(vectors[rank]) for rank in range(context.parties) if rank != context.rank}
            received = [_vector(data, layout) for data in mesh.exchange(outgoing).values()]
            own = shares.add([vectors[context.rank], *received])
            mesh.broadcast(b"done")  # everybody has its part: hanging up is no loss from here on
        context.progress("part", 100)
        content = {"layout": layout.describe(), "shares": base64.b64encode(shares.pack(own)).decode()}
        return write_part(engine=self.id, context=context, content=content)

    def open(self, parts: Sequence[bytes], *, job: Mapping[str, Any], request: Mapping[str, Any]) -> GroupedStatistics:
        """See Engine.open."""
        found = read_parts(parts, engine=self.id, job_digest=statements.digest(job), ranks=len(job["parties"]))
        if any(part.get("layout") != found[0].get("layout") for part in found):
            raise PartInvalid("The parts do not agree on the groups; report the run to the exchange.")
        try:
            layout = _layout(found[0]["layout"])
            numbers = shares.join([_vector(base64.b64decode(part["shares"], validate=True), layout) for part in found])
        except (KeyError, TypeError, ValueError):
            raise PartInvalid("A part is damaged; fetch the result again.") from None
        group_by, values = request["parameters"]["group_by"], request["parameters"]["values"]
        if [name for name, _ in layout.group_by] != group_by or [name for name, _ in layout.values] != values:
            raise PartInvalid("The parts answer another question; report the run to the exchange.")
        return finish(_totals(layout, numbers), group_by=group_by, values=values, min_group=job["min_group"])


def local_totals(
    layout: Layout,
    selection: gate.Selection,
    *,
    counts: Sequence[int],
    sums: Mapping[str, tuple[Sequence[int], Sequence[int]]],
    meta: DatasetMeta,
    k: int,
) -> list[int]:
    """Add this party's released blocks into the groups: n, then sum and squares of each value, group by group."""
    width = 1 + 2 * len(layout.values)
    numbers = [0] * layout.size
    for block, is_released in enumerate(gate.released(counts, k=k)):
        group = selection.group_of[block]
        if not is_released or group == gate.FILTERED:
            continue
        place = group * width
        numbers[place] += counts[block]
        for index, (name, scale) in enumerate(layout.values):
            raised: int = 10 ** (scale - meta.numeric(name).scale)
            numbers[place + 1 + 2 * index] += sums[name][0][block] * raised
            numbers[place + 2 + 2 * index] += sums[name][1][block] * raised * raised
    return numbers


def agree(context: StageContext, hellos: Mapping[int, Mapping[str, Any]]) -> Layout:
    """Derive the same layout at every party from what all declared.

    Raises:
        EngineRefused: JOB_DIFFERS when a peer runs another job, FILTER_NOT_A_BLOCK for a category that no
            party declares, VALUE_RANGE_TOO_WIDE, PARTITION_TOO_LARGE.
    """
    parameters = context.parameters
    try:
        if any(hello["job"] != context.job_digest for hello in hellos.values()):
            raise EngineRefused("JOB_DIFFERS", "A peer runs another job; the exchange dispatches it again.")
        for item in parameters["filters"]:
            if not set(item["in"]) <= _declared(hellos, item["column"]):
                raise EngineRefused(
                    "FILTER_NOT_A_BLOCK", f"The filter on {item['column']} names a category that no party declares."
                )
        group_by = tuple((name, tuple(sorted(_declared(hellos, name)))) for name in parameters["group_by"])
        gate.check_groups([categories for _, categories in group_by])
        values = []
        for name in parameters["values"]:
            scale = max(int(hello["values"][name][0]) for hello in hellos.values())
            bound = 0
            for hello in hellos.values():
                largest = int(hello["values"][name][1]) * 10 ** (scale - int(hello["values"][name][0]))
                bound += largest * largest * int(hello["magnitude"])
            _check_range(name, bound)
            values.append((name, scale))
    except (KeyError, TypeError, ValueError, IndexError):
        raise EngineRefused("JOB_DIFFERS", "A peer's greeting cannot be read; check the versions.") from None
    return Layout(group_by, tuple(values))


def _declared(hellos: Mapping[int, Mapping[str, Any]], name: str) -> set[str]:
    return {str(category) for hello in hellos.values() for category in hello["categories"][name]}


def _hello(context: StageContext, meta: DatasetMeta) -> dict[str, Any]:
    """What a party tells its peers: declared metadata only, nothing that depends on a row."""
    parameters = context.parameters
    named = {*parameters["group_by"], *(item["column"] for item in parameters["filters"])}
    columns = [meta.numeric(name) for name in parameters["values"]]
    return {
        "job": context.job_digest,
        "categories": {name: list(meta.column(name).categories) for name in sorted(named)},
        "values": {column.name: [column.scale, max(1, column.largest)] for column in columns},
        "magnitude": meta.magnitude,
    }


def _read_hellos(received: Mapping[int, bytes]) -> dict[int, dict[str, Any]]:
    try:
        return {rank: json.loads(data) for rank, data in received.items()}
    except ValueError:
        raise EngineRefused("JOB_DIFFERS", "A peer's greeting cannot be read; check the versions.") from None


def _check_range(name: str, bound: int) -> None:
    if bound >= shares.LIMIT:
        raise EngineRefused(
            "VALUE_RANGE_TOO_WIDE", f"The declared range of {name} is too wide for exact sums; narrow its bounds."
        )


def _layout(value: Mapping[str, Any]) -> Layout:
    group_by = tuple((str(name), tuple(map(str, categories))) for name, categories in value["group_by"])
    layout = Layout(group_by, tuple((str(name), int(scale)) for name, scale in value["values"]))
    gate.check_groups([categories for _, categories in group_by])
    return layout


def _vector(data: bytes, layout: Layout) -> list[int]:
    vector = shares.unpack(data)
    if len(vector) != layout.size:
        raise PartInvalid("A share has another length than agreed; the run is void.")
    return vector


def _totals(layout: Layout, numbers: Sequence[int]) -> dict[tuple[str, ...], list[Total]]:
    width = 1 + 2 * len(layout.values)
    found: dict[tuple[str, ...], list[Total]] = {}
    for group, labels in enumerate(layout.groups):
        count, *rest = numbers[group * width : (group + 1) * width]
        found[labels] = [
            Total(count=count, total=rest[2 * index], squares=rest[2 * index + 1], scale=scale)
            for index, (_, scale) in enumerate(layout.values)
        ]
    return found
