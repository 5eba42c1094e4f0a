"""What the engines for two owners share: one owner has the groups, the other the values of the same persons.

The question, the gate, the shape of the circuit and the opening of the parts are the same whether the match is known to
the owners (`aligned`, `two_party`) or to nobody (`hidden_join`). Pure Python: a buyer opens with it.
"""

import base64
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from compute.engines import gate, greeting, link
from compute.engines.base import Engine, GroupedStatistics, Level, StageContext, Total, finish, read_parts
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.metadata import DatasetMeta, magnitude
from compute.protocol.operations import MINIMUM_GROUP
from ledger.proofs import statements

GROUP_OWNER, VALUE_OWNER, COMPUTE_PARTY = 0, 1, 2
OWNERS = (GROUP_OWNER, VALUE_OWNER)
MAX_BLOCKS = 4_096  # the one-hot input has rows x blocks secret numbers
LIMB_BITS = 31  # squares enter as two limbs, so that a sum of 2^31 of them stays within the ring
MAX_VALUE = (1 << LIMB_BITS) - 1
MIN_PADDED = 64
MAX_ROWS = 1 << 31


@dataclass(frozen=True, slots=True)
class Shape:
    """What all parties must know to run the same circuit: numbers without names."""

    rows: int  # padded
    group_of: tuple[int, ...]
    groups: int
    values: int
    k: int

    @property
    def numbers(self) -> int:
        """Numbers shared for each group: persons, and for each value its sum and two limbs of squares."""
        return 1 + 3 * self.values

    def describe(self) -> dict[str, Any]:
        """The shape as a message."""
        return {**asdict(self), "group_of": list(self.group_of)}

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read a shape as a party that has no data, bounded; EngineRefused JOB_DIFFERS."""
        value = greeting.load(data)
        try:
            group_of = tuple(int(item) for item in value.pop("group_of"))
            shape = cls(group_of=group_of, **{name: int(number) for name, number in value.items()})
        except (KeyError, TypeError, ValueError):
            raise greeting.differs("The circuit's shape cannot be read; check the versions.") from None
        if (
            not 1 <= len(group_of) <= MAX_BLOCKS
            or not 1 <= shape.groups <= gate.MAX_GROUPS
            or not all(gate.FILTERED <= group < shape.groups for group in group_of)
            or not 1 <= shape.values <= 8
            or shape.k < MINIMUM_GROUP
            or shape.rows != magnitude(shape.rows)
            or not 1 <= shape.rows <= MAX_ROWS
        ):
            raise greeting.differs("The circuit's shape is outside its bounds; check the versions.")
        return shape


class TwoOwnerStatistics(Engine):
    """Statistics of the value owner's columns by the group owner's blocks; see the engines for how."""

    parts: ClassVar[int]  # how many parties hold a share of the result
    storage: ClassVar[str]  # what the library calls such a share

    def check(self, parameters: Mapping[str, Any], metas: Mapping[int, DatasetMeta], *, min_group: int) -> None:
        """See Engine.check; rank 0 owns the groups, rank 1 the values."""
        gate.check_min_group(min_group)
        for rank, meta in metas.items():
            meta.check_id()
            if rank == GROUP_OWNER:
                gate.check_query(
                    meta, group_by=parameters["group_by"], filters=parameters["filters"], min_group=min_group
                )
                if gate.blocks(meta.dimensions()) > MAX_BLOCKS:
                    raise EngineRefused(
                        "PARTITION_TOO_LARGE", f"More than {MAX_BLOCKS} blocks; declare fewer block dimensions."
                    )
            else:
                for name in parameters["values"]:
                    meta.check_range(name, MAX_VALUE)

    def derive(self, parameters: Mapping[str, Any], *, rank: int) -> dict[str, Level]:
        """See Engine.derive; rank 0 gives the groups, rank 1 the values, rank 2 nothing."""
        if rank == GROUP_OWNER:
            grouping = [*parameters["group_by"], *(item["column"] for item in parameters["filters"])]
            return dict.fromkeys(grouping, Level.PLAINTEXT_AFTER_GROUP_BY)
        return dict.fromkeys(parameters["values"] if rank == VALUE_OWNER else (), Level.PLAINTEXT_AFTER_AGGREGATE)

    def greet(
        self, context: StageContext, mesh: link.Mesh, *, tells_size: bool = False
    ) -> tuple[DatasetMeta, dict[int, dict[str, Any]]]:
        """An owner's dataset, checked, and what both owners declare of theirs; `tells_size` adds the magnitude."""
        from compute.engines import loading  # numeric: only in the run's own process

        meta = loading.load_meta(context.own_dataset)
        self.check(context.parameters, {context.rank: meta}, min_group=context.k)
        own = hello(context, meta)
        if tells_size:
            own["rows"] = meta.magnitude
        peer = 1 - context.rank
        return meta, {context.rank: own, peer: greeting.tell(mesh, peer, own)}

    @abstractmethod
    def join_shares(self, shares: Sequence[Sequence[int]], *, count: int) -> list[int]:
        """The `count` numbers behind the parties' words of 64 bits; PartInvalid."""

    def open(self, parts: Sequence[bytes], *, job: Mapping[str, Any], request: Mapping[str, Any]) -> GroupedStatistics:
        """See Engine.open; needs neither SPU nor numpy."""
        found = read_parts(parts, engine=self.id, job_digest=statements.digest(job), ranks=self.parts)
        group_by, values = request["parameters"]["group_by"], request["parameters"]["values"]
        layout = found[GROUP_OWNER].get("layout")
        if not isinstance(layout, dict) or layout != found[VALUE_OWNER].get("layout"):
            raise PartInvalid("The parts do not agree on the groups; report the run to the exchange.")
        try:
            groups = gate.labels([categories for _, categories in layout["group_by"]])
            scales = [int(scale) for _, scale in layout["values"]]
            if [name for name, _ in layout["group_by"]] != group_by or [name for name, _ in layout["values"]] != values:
                raise PartInvalid("The parts answer another question; report the run to the exchange.")
            words = [self._words(part) for part in found]
            numbers = self.join_shares(words, count=len(groups) * (1 + 3 * len(values)))
        except (KeyError, TypeError, ValueError):
            raise PartInvalid("A part is damaged; fetch the result again.") from None
        return finish(_totals(numbers, groups, scales), group_by=group_by, values=values, min_group=job["min_group"])

    def _words(self, part: Mapping[str, Any]) -> list[int]:
        data = base64.b64decode(part["shares"], validate=True)
        if part["storage"] != self.storage or len(data) % 8:
            raise PartInvalid("A part is not an arithmetic share; report the run to the exchange.")
        return [int.from_bytes(data[place : place + 8], "little") for place in range(0, len(data), 8)]


def reconstruct(shares: Sequence[Sequence[tuple[int, int]]], *, count: int) -> list[int]:
    """Open ABY3's replicated shares: party i holds (x_i, x_i+1), so each x is held twice and compared.

    Raises:
        PartInvalid: the three parts do not hold the same shares, so that one of them is not genuine.
    """
    if any(len(vector) != count for vector in shares):
        raise PartInvalid("A part has another length than agreed; report the run to the exchange.")
    numbers = []
    for (first, second), (second_too, third), (third_too, first_too) in zip(*shares, strict=True):
        if (first, second, third) != (first_too, second_too, third_too):
            raise PartInvalid("The parts contradict each other: one party's share was changed; report the run.")
        numbers.append(signed(first + second + third))
    return numbers


def signed(total: int) -> int:
    """An element of the ring of 64 bits as a number."""
    total %= 1 << 64
    return total - (1 << 64) if total >> 63 else total


def pairs(words: Sequence[int]) -> list[tuple[int, int]]:
    """Two words to an element: ABY3's replicated share; ValueError for half of one."""
    return list(zip(words[::2], words[1::2], strict=True))


def hello(context: StageContext, meta: DatasetMeta) -> dict[str, Any]:
    """What one owner tells the other: declared metadata only, nothing that depends on a row."""
    k = gate.effective_k([meta], min_group=context.k)
    if context.rank == GROUP_OWNER:
        return {"k": k, "dimensions": [[name, list(found)] for name, found in meta.dimensions()]}
    columns = [meta.numeric(name) for name in context.parameters["values"]]
    return {"k": k, "values": [[column.name, column.scale] for column in columns]}


def check_order(mesh: link.Mesh, peer: int, order: str, shape: Shape) -> None:
    """Both owners have the matched persons in one order and will run one circuit; EngineRefused JOB_DIFFERS."""
    told = {"order": order, "shape": shape.describe()}
    if greeting.tell(mesh, peer, told) != told:
        raise greeting.differs("The data parties do not agree on the matched order; submit again.")


def agree(
    parameters: Mapping[str, Any], hellos: Mapping[int, Mapping[str, Any]], *, rows: int
) -> tuple[dict[str, Any], Shape]:
    """Derive groups and circuit shape at both owners from what both declared."""
    try:
        dimensions = [(str(name), [str(item) for item in found]) for name, found in hellos[GROUP_OWNER]["dimensions"]]
        declared = dict(dimensions)
        group_by = [(name, declared[name]) for name in parameters["group_by"]]
        values = [[str(name), int(scale)] for name, scale in hellos[VALUE_OWNER]["values"]]
        selection = gate.select(dimensions, group_by=group_by, filters=parameters["filters"])
        k = max(int(found["k"]) for found in hellos.values())
    except (KeyError, TypeError, ValueError):
        raise greeting.differs("A peer's greeting cannot be read; check the versions.") from None
    gate.check_min_group(k)
    layout = {"group_by": [[name, found] for name, found in group_by], "values": values}
    return layout, Shape(
        rows=max(MIN_PADDED, magnitude(rows)),
        group_of=selection.group_of,
        groups=selection.groups,
        values=len(values),
        k=k,
    )


def _totals(
    numbers: Sequence[int], groups: Sequence[tuple[str, ...]], scales: Sequence[int]
) -> dict[tuple[str, ...], list[Total]]:
    rows = [numbers[place : place + len(groups)] for place in range(0, len(numbers), len(groups))]
    return {
        labels: [
            Total(
                count=rows[0][group],
                total=rows[1 + 3 * index][group],
                squares=(rows[2 + 3 * index][group] << LIMB_BITS) + rows[3 + 3 * index][group],
                scale=scale,
            )
            for index, scale in enumerate(scales)
        ]
        for group, labels in enumerate(groups)
    }
