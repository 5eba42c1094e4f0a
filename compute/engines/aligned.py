"""Statistics over people whose columns lie with two owners: `aby3_aligned/1`.

Stage 0, own link: the two owners draw a key for this job that nobody else can know, and agree on shapes.
Stage 1, RR22 PSI between the two: person ids enter only as HMAC-SHA256 under that key. Both owners learn who
    is in both datasets, in one common order; nobody else does.
Stage 2, ABY3 with the neutral compute party: the group owner inputs which block each person is in, the value
    owner the values and their squares. Inside the circuit: persons and sums for each block, blocks with fewer
    than k persons become zero, the others are added into the requested groups. A block whose unmatched rest is
    smaller than k, and not nobody, is left out by the group owner. Nothing is opened: each party
    keeps its share, and that is its part. The buyer puts any two of the three replicated shares together.

The intersection is padded with persons in no block to a power of two, so that the compute party learns its
magnitude and not its size.

Source: Rindal and Raghuraman, Blazing Fast PSI, CCS 2022; Mohassel and Rindal, ABY3, CCS 2018.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from compute.engines import certificates, gate, link
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
from compute.engines.metadata import DatasetMeta, magnitude
from compute.protocol import operations
from ledger.proofs import statements

GROUP_OWNER, VALUE_OWNER, COMPUTE_PARTY = 0, 1, 2
MAX_BLOCKS = 4_096  # the one-hot input has rows x blocks secret numbers
LIMB_BITS = 31  # squares enter as two limbs, so that a sum of 2^31 of them stays within the ring
MAX_VALUE = (1 << LIMB_BITS) - 1
MIN_PADDED = 64
_INFO = b"hengshu/aligned-key/v1"
_SHARE_BYTES = 16  # two ring elements of 64 bits: ABY3's replicated shares


@dataclass(frozen=True, slots=True)
class Shape:
    """What all three parties must know to run the same circuit: numbers without names."""

    rows: int  # padded
    group_of: tuple[int, ...]
    groups: int
    values: int
    k: int

    @property
    def numbers(self) -> int:
        """Numbers shared for each group: persons, and for each value its sum and two limbs of squares."""
        return 1 + 3 * self.values


class AlignedStatistics(Engine):
    """Two owners and a neutral compute party; safe while no two of the three collude."""

    id: ClassVar[str] = "aby3_aligned/1"
    operation: ClassVar[str] = operations.ALIGNED_STATISTICS
    link_stages: ClassVar[int] = 3
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "numpy", "pandas", "spu")
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="mpc",
        protocol="PSI RR22 on job-keyed HMAC-SHA256 ids; SPU ABY3 FM64, out-shares only",
        adversary_model="semi-honest, three parties, at most one corrupted",
        assumption_zh="三方按协议执行且任意两方不串通；计算方须独立于两个数据方。",
        assumption_en="The three parties follow the protocol and no two collude; the compute party must be independent "
        "of both data parties.",
        precision_zh="精确：环上整数运算，均值与方差只在最后舍入一次（六位小数，四舍六入五成双）。",
        precision_en="Exact: integer arithmetic in the ring; mean and variance are rounded once, to six places, "
        "half to even.",
        learned=(
            Learned(
                "data_party",
                "两个数据方互相知道哪些人同时在双方数据中、对方声明的类别与取值范围、对方的行数；"
                "不知道对方的任何取值、分组、人数合计或结果。",
                "The two data parties learn which persons are in both datasets, the categories and bounds the other "
                "declares and its row count; no value, grouping, group size or result of the other.",
            ),
            Learned(
                "compute_party",
                "交集人数的数量级（补齐到2的幂）、分块数、分组数、数值列数与最小人数；没有标识、名称、取值或结果。",
                "The magnitude of the intersection (padded to a power of two), the numbers of blocks, groups and value "
                "columns and k; no identifier, name, value or result.",
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
        """See Engine.check; rank 0 owns the groups, rank 1 the values."""
        gate.check_min_group(min_group)
        for rank, meta in metas.items():
            if meta.id is None:
                raise EngineRefused("IDENTIFIER_MISSING", "The dataset declares no id column; add it with one.")
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
                    if meta.numeric(name).largest > MAX_VALUE:
                        raise EngineRefused(
                            "VALUE_RANGE_TOO_WIDE", f"The declared range of {name} is too wide; narrow its bounds."
                        )

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
            mesh.stop_watching()
            mesh.broadcast(b"done")  # everybody has its part: hanging up is no loss from here on
        context.progress("part", 100)
        return write_part(engine=self.id, context=context, content=content)

    def _compute(self, context: StageContext, mesh: link.Mesh, spu_stages: Any) -> dict[str, Any]:
        _check_jobs(context, mesh.broadcast(_dump({"job": context.job_digest})))
        mesh.watch(spu_stages.leave_as_lost(context))
        context.progress("match", 20)
        told = mesh.exchange({GROUP_OWNER: b"", VALUE_OWNER: b""})
        if told[GROUP_OWNER] != told[VALUE_OWNER]:
            raise EngineRefused("JOB_DIFFERS", "The data parties do not agree on the circuit; submit again.")
        shape = read_shape(told[GROUP_OWNER])
        if shape.k < int(context.job["min_group"]):
            raise EngineRefused("JOB_DIFFERS", "The data parties chose a smaller k than the job's; submit again.")
        context.progress("compute", 40)
        return {"layout": None, **spu_stages.circuit(context, shape, one_hot=None, inputs=None)}

    def _contribute(self, context: StageContext, mesh: link.Mesh, spu_stages: Any) -> dict[str, Any]:
        from compute.engines import loading

        parameters, rank, peer = context.parameters, context.rank, 1 - context.rank
        owns_groups = rank == GROUP_OWNER
        if context.dataset is None:
            raise EngineRefused("JOB_DIFFERS", "A data party needs its dataset.")
        meta = loading.load_meta(context.dataset)
        self.check(parameters, {rank: meta}, min_group=context.k)
        _check_jobs(context, mesh.broadcast(_dump({"job": context.job_digest})))
        secret = X25519PrivateKey.generate()
        hello = {**_hello(context, meta), "key": secret.public_key().public_bytes_raw().hex()}
        theirs = _load(mesh.exchange({peer: _dump(hello)})[peer])
        hellos = {rank: hello, peer: theirs}
        key = job_key(context, secret, str(theirs["key"]))
        mesh.watch(spu_stages.leave_as_lost(context))
        table = loading.load_table(
            context.dataset, meta, values=[] if owns_groups else parameters["values"], blocks=owns_groups, ids=True
        )
        context.progress("match", 20)
        places, digest = spu_stages.match(context, [keyed(item, key) for item in table.ids or ()])
        layout, shape = agree(parameters, hellos, matched=len(places))
        checked = mesh.exchange({peer: _dump({"order": digest, "shape": _describe(shape)})})[peer]
        if _load(checked) != {"order": digest, "shape": _describe(shape)}:
            raise EngineRefused("JOB_DIFFERS", "The data parties do not agree on the matched order; submit again.")
        mesh.exchange({COMPUTE_PARTY: _dump(_describe(shape))})
        context.progress("compute", 40)
        if owns_groups:
            one_hot = spu_stages.one_hot(spu_stages.released_blocks(table.blocks, places, shape), shape)
            return {"layout": layout, **spu_stages.circuit(context, shape, one_hot=one_hot, inputs=None)}
        inputs = spu_stages.value_inputs([table.values[name][places] for name in parameters["values"]], shape)
        return {"layout": layout, **spu_stages.circuit(context, shape, one_hot=None, inputs=inputs)}

    def open(self, parts: Sequence[bytes], *, job: Mapping[str, Any], request: Mapping[str, Any]) -> GroupedStatistics:
        """See Engine.open; needs neither SPU nor numpy."""
        found = read_parts(parts, engine=self.id, job_digest=statements.digest(job), ranks=3)
        layout, group_by, values = (
            found[0].get("layout"),
            request["parameters"]["group_by"],
            request["parameters"]["values"],
        )
        if not isinstance(layout, dict) or layout != found[1].get("layout"):
            raise PartInvalid("The parts do not agree on the groups; report the run to the exchange.")
        try:
            groups = gate.labels([categories for _, categories in layout["group_by"]])
            scales = [int(scale) for _, scale in layout["values"]]
            if [name for name, _ in layout["group_by"]] != group_by or [name for name, _ in layout["values"]] != values:
                raise PartInvalid("The parts answer another question; report the run to the exchange.")
            numbers = reconstruct([_elements(part) for part in found], count=len(groups) * (1 + 3 * len(values)))
        except (KeyError, TypeError, ValueError):
            raise PartInvalid("A part is damaged; fetch the result again.") from None
        rows = [numbers[place : place + len(groups)] for place in range(0, len(numbers), len(groups))]
        totals = {
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
        return finish(totals, group_by=group_by, values=values, min_group=job["min_group"])


def keyed(identifier: str, key: bytes) -> str:
    """The form in which an id enters the matching: HMAC-SHA256 under the job's key; x and X are one letter."""
    return hmac.digest(key, identifier.upper().encode(), "sha256").hex()


def job_key(context: StageContext, secret: X25519PrivateKey, public_hex: str) -> bytes:
    """The key that only the two owners of this job can derive.

    The public halves crossed a connection on which both sides had shown their pinned certificates; job and
    certificates are bound into the key as well.
    """
    try:
        shared = secret.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(public_hex)))
    except ValueError:
        raise EngineRefused("JOB_DIFFERS", "A peer's greeting cannot be read; check the versions.") from None
    bound = [
        certificates.fingerprint(context.certificate_paths[rank].read_text()) for rank in (GROUP_OWNER, VALUE_OWNER)
    ]
    salt = hashlib.sha256(bytes.fromhex(context.job_digest) + b"".join(bound)).digest()
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=_INFO).derive(shared)


def agree(
    parameters: Mapping[str, Any], hellos: Mapping[int, Mapping[str, Any]], *, matched: int
) -> tuple[dict[str, Any], Shape]:
    """Derive groups and circuit shape at both owners from what both declared."""
    try:
        dimensions = [(str(name), [str(item) for item in found]) for name, found in hellos[GROUP_OWNER]["dimensions"]]
        declared = dict(dimensions)
        group_by = [(name, declared[name]) for name in parameters["group_by"]]
        values = [[str(name), int(scale)] for name, scale in hellos[VALUE_OWNER]["values"]]
        selection = gate.select(dimensions, group_by=group_by, filters=parameters["filters"])
        k = max(int(hello["k"]) for hello in hellos.values())
    except (KeyError, TypeError, ValueError):
        raise EngineRefused("JOB_DIFFERS", "A peer's greeting cannot be read; check the versions.") from None
    gate.check_min_group(k)
    layout = {"group_by": [[name, found] for name, found in group_by], "values": values}
    shape = Shape(
        rows=max(MIN_PADDED, magnitude(matched)),
        group_of=selection.group_of,
        groups=selection.groups,
        values=len(values),
        k=k,
    )
    return layout, shape


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
        total = (first + second + third) % (1 << 64)
        numbers.append(total - (1 << 64) if total >> 63 else total)
    return numbers


def read_shape(data: bytes) -> Shape:
    """Read the circuit's shape as a compute party, bounded."""
    value = _load(data)
    try:
        group_of = tuple(int(item) for item in value["group_of"])
        shape = Shape(int(value["rows"]), group_of, int(value["groups"]), int(value["values"]), int(value["k"]))
    except (KeyError, TypeError, ValueError):
        raise EngineRefused("JOB_DIFFERS", "The circuit's shape cannot be read; check the versions.") from None
    if (
        not 1 <= len(group_of) <= MAX_BLOCKS
        or not 1 <= shape.groups <= gate.MAX_GROUPS
        or not all(gate.FILTERED <= group < shape.groups for group in group_of)
        or not 1 <= shape.values <= 8
        or shape.k < operations.MINIMUM_GROUP
        or shape.rows != magnitude(shape.rows)
    ):
        raise EngineRefused("JOB_DIFFERS", "The circuit's shape is outside its bounds; check the versions.")
    return shape


def _hello(context: StageContext, meta: DatasetMeta) -> dict[str, Any]:
    """What one owner tells the other: declared metadata only, nothing that depends on a row."""
    k = gate.effective_k([meta], min_group=context.k)
    if context.rank == GROUP_OWNER:
        return {"k": k, "dimensions": [[name, list(found)] for name, found in meta.dimensions()]}
    columns = [meta.numeric(name) for name in context.parameters["values"]]
    return {"k": k, "values": [[column.name, column.scale] for column in columns]}


def _check_jobs(context: StageContext, received: Mapping[int, bytes]) -> None:
    if any(_load(data) != {"job": context.job_digest} for data in received.values()):
        raise EngineRefused("JOB_DIFFERS", "A peer runs another job; the exchange dispatches it again.")


def _describe(shape: Shape) -> dict[str, Any]:
    return {
        "rows": shape.rows,
        "group_of": list(shape.group_of),
        "groups": shape.groups,
        "values": shape.values,
        "k": shape.k,
    }


def _elements(part: Mapping[str, Any]) -> list[tuple[int, int]]:
    data = base64.b64decode(part["shares"], validate=True)
    if part["storage"] != "aby3.AShr<FM64>" or len(data) % _SHARE_BYTES:
        raise PartInvalid("A part is not an arithmetic share; report the run to the exchange.")
    words = [int.from_bytes(data[place : place + 8], "little") for place in range(0, len(data), 8)]
    return list(zip(words[::2], words[1::2], strict=True))


def _dump(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _load(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise EngineRefused("JOB_DIFFERS", "A peer's greeting cannot be read; check the versions.")
    return value
