"""How many persons the tables of two or more owners share, or which rows of one: `psi_matching/1`.

Every id is made canonical and keyed for this job before anything else (`identifiers`, `greeting`): no bare hash leaves
a node, and equal key sets of two jobs do not look equal. Then, by the request's `protocol`:

- `blind` (the default): two owners, `blind.py`; the receiver learns the number and nobody learns which persons match.
- `rr22`, `kkrt`, `ecdh`, `sm2`: the library's protocols; the receiver learns which of its persons are in all tables.
  Three owners and more: `ecdh`.

The receiver's node releases the number only when at least k persons match and the rest of every table is nobody or at
least k; else the outcome is `withheld`, the same for nobody, one and k - 1. A list is a bit for each row of the
receiver's table, so that its size says nothing. Nothing but rank 0's part holds an answer; all parts are of one form.

With `privacy` the receiver's node adds discrete Laplace noise of scale 1 / epsilon to the number: one person more in
either table moves it by at most one. Both nodes spend epsilon from their tables' budgets first. The number is then told
whatever it is, since its noise protects it; the buyer's software hides it below k. The receiver's node itself knows the
exact number, so the noise is no protection from the receiver, nor from a receiver that adds none.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, ClassVar

from compute.engines import gate, greeting, identifiers, keeping, link
from compute.engines.base import (
    BUCKET_ROWS,
    Engine,
    Estimate,
    Learned,
    Level,
    SecurityCard,
    StageContext,
    read_parts,
    write_part,
)
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.metadata import DatasetMeta, magnitude
from compute.engines.privacy import noised, sensitivity
from compute.protocol import operations, privacy
from compute.protocol.operations.matching import BLIND, MULTI_PARTY
from ledger.proofs import canonical, statements

RESULT_TYPE = "matching/v1"
RECEIVER = 0
PSI_STAGE = 1
MAX_BLIND_ROWS = 1 << 20  # some 100 s of one core at each party, by 50 microseconds a step
MAX_LIST_ROWS = 1 << 24  # two megabytes of bits: below MAX_PART_BYTES
RELEASED, WITHHELD = "released", "withheld"  # of one length


@dataclass(frozen=True, slots=True)
class Matched:
    """The result: how many persons all tables share, and for a list the receiver's rows, counted from 1."""

    form: str
    min_group: int
    count: int | None  # None when withheld
    rows: tuple[int, ...] | None = None
    privacy: Mapping[str, Any] | None = None  # with noise: mechanism, epsilon and the count's standard deviation

    def describe(self) -> dict[str, Any]:
        """The result document of schema matching/v1."""
        found: dict[str, Any] = {
            "type": RESULT_TYPE,
            "form": self.form,
            "min_group": self.min_group,
            "outcome": WITHHELD if self.count is None else RELEASED,
            "count": self.count,
        }
        if self.privacy is not None:
            found["privacy"] = dict(self.privacy)
        return found if self.rows is None else {**found, "rows": list(self.rows)}

    def to_bytes(self) -> bytes:
        """The result document as canonical JSON."""
        return canonical.encode(self.describe())


class Matching(Engine):
    """Private set intersection between two or more owners."""

    id: ClassVar[str] = "psi_matching/1"
    operation: ClassVar[str] = operations.MATCHING
    roles: ClassVar[tuple[str, ...]] = ("data",)
    link_stages: ClassVar[int] = 2
    goes_on: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "numpy", "pandas", "rbcl", "spu")
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="psi",
        protocol="on job-keyed BLAKE2b ids: double-blind DDH over ristretto255 (blind), or RR22, KKRT, ECDH over "
        "Curve25519 or SM2 (two parties), ECDH in a chain (three and more)",
        adversary_model="semi-honest, all parties but one may be corrupted; three and more: see what is learned",
        assumption_zh="各方按协议执行。接收方节点执行最小人数规则；恶意一方可在自己的表中加入不存在的人来试探，"
        "由合约、数据承诺与次数额度约束。",
        assumption_en="The parties follow the protocol. The receiver's node applies k. A party that cheats may add "
        "persons to its own table to probe the other; contract, dataset commitment and quota bound that.",
        precision_zh="精确计数，或按约定加噪（给出标准差）；两个不同标识被误认为相同的概率低于 n²/2^97。",
        precision_en="Exact, or with noise of a stated size where asked for; two different ids are taken for one with "
        "probability below n²/2^97.",
        cost_zh="RR22：每方百万人 8.4 秒、每方 0.87 GB。双盲方式：每个标识在每方约 0.1 毫秒处理器时间。",
        cost_en="RR22: a million persons a side in 8.4 seconds, 0.87 GB a party. Blind: about 0.1 ms of "
        "processor time per identifier at each party.",
        learned=(
            Learned(
                "data_party",
                "两方时互知对方行数。blind 方式：接收方只知道重合人数，谁都不知道是哪些人。"
                "其他方式：接收方知道自己的哪些人"
                "也在其余各表中，其余各方不知道。三方时，接收方与第二方还知道其两表重合的人数；更多方时，"
                "可能知道两表重合的人。",
                "Two parties learn each other's row count. blind: the receiver learns how many match, and nobody "
                "learns which. Otherwise: the receiver learns which of its persons are in all tables; the "
                "others do not. With three parties the first two learn besides how many persons their tables "
                "share; with more, parties may learn which.",
            ),
            Learned(
                "buyer",
                "达到最小人数时的重合人数，每对表只按一个版本给出精确值；或从双方隐私预算支付的加噪人数。"
                "合约约定名单时，接收方表的行号。不足时只知道“不予放行”，与无人重合无法区分。",
                "The number of matches when it is large enough, exactly for one version of each table only; or a "
                "noisy number, paid from both privacy budgets. Where the contract agrees on a list, row numbers of the "
                "receiver's table. Otherwise only `withheld`, the same as for no match at all.",
            ),
            Learned("exchange", "只见到密封且等长的结果。", "Only sealed parts whose size does not depend on a row."),
        ),
    )

    def check(self, parameters: Mapping[str, Any], metas: Mapping[int, DatasetMeta], *, min_group: int) -> None:
        """See Engine.check; rank 0 is the receiver."""
        gate.check_min_group(min_group)
        for rank, meta in metas.items():
            meta.check_id()
            if "privacy" in parameters:
                sensitivity.plan(meta, parameters)
            if parameters["protocol"] == BLIND and meta.magnitude > MAX_BLIND_ROWS:
                raise EngineRefused(
                    "PARTITION_TOO_LARGE", f"More than {MAX_BLIND_ROWS} rows for a blind matching; choose rr22."
                )
            if parameters["form"] == "list" and rank == RECEIVER:
                if parameters["id_column"] != meta.id:
                    raise EngineRefused("COLUMN_UNKNOWN", "The list's column is not the receiver's id column.")
                if meta.magnitude > MAX_LIST_ROWS:
                    raise EngineRefused("PARTITION_TOO_LARGE", f"More than {MAX_LIST_ROWS} rows for a list.")

    def derive(self, parameters: Mapping[str, Any], *, rank: int) -> dict[str, Level]:
        """See Engine.derive; a list opens the receiver's id column after the match, a cardinality no column."""
        if parameters["form"] == "list" and rank == RECEIVER:
            return {parameters["id_column"]: Level.PLAINTEXT_AFTER_JOIN}
        return {}

    def estimate(self, parameters: Mapping[str, Any], *, rows: Sequence[int]) -> Estimate:
        """See Engine.estimate; measured with tests/benchmarks/compute_matching.py."""
        most, total = max(rows), sum(rows)
        if parameters["protocol"] == BLIND:
            return Estimate(seconds=2 + total * 60e-6, memory_mb=300 + total // 3_000, bytes_sent=64 * total)
        bucket = min(most, BUCKET_ROWS)
        each = {"rr22": 6e-6, "kkrt": 8e-6, "ecdh": 100e-6, "sm2": 1e-3}[parameters["protocol"]]
        return Estimate(seconds=5 + total * each, memory_mb=250 + bucket // 1_000, bytes_sent=150 * most)

    def run(self, context: StageContext) -> bytes:
        """See Engine.run."""
        if context.dataset is None or context.parties < 2:
            raise EngineRefused("JOB_DIFFERS", "This operation needs at least two data parties and nobody else.")
        if context.parties > 2 and context.parameters["protocol"] != MULTI_PARTY:
            raise EngineRefused("JOB_DIFFERS", "This protocol is for two parties; more need ecdh.")
        from compute.engines import loading  # numeric: only here, in the run's own process

        context.progress("link", 2)
        with link.connect(context) as mesh:
            context.progress("link", 10)
            meta = loading.load_meta(context.dataset)
            self.check(context.parameters, {context.rank: meta}, min_group=context.k)
            noise = _noise(context, meta)
            greeting.check_jobs(context, mesh)
            own = {"k": gate.effective_k([meta], min_group=context.k)}
            hellos = mesh.broadcast(greeting.dump(own))
            k = max(own["k"], *(_number(greeting.load(told), "k") for told in hellos.values()))
            if context.parameters["protocol"] == BLIND:
                found = self._blind(context, mesh, meta)
            else:
                found = self._by_library(context, mesh, meta)
            mesh.conclude()
        keeping.forget(context, context.job_digest)
        context.progress("part", 100)
        content = _content(context.parameters["form"], found, k=k, size=meta.magnitude, noise=noise)
        return write_part(engine=self.id, context=context, content=content)

    def _blind(self, context: StageContext, mesh: link.Mesh, meta: DatasetMeta) -> "Found":
        from compute.engines import blind

        keys = _keys(context, mesh, meta)

        def tick(percent: int) -> None:
            context.progress("match", percent)

        if context.rank != RECEIVER:
            blind.answer(mesh, RECEIVER, keys, tick=tick)
            return Found(0, ())
        count, theirs = blind.receive(mesh, 1, keys, tick=tick)
        return Found(count, (len(keys), theirs))

    def _by_library(self, context: StageContext, mesh: link.Mesh, meta: DatasetMeta) -> "Found":
        from compute.engines import buckets, spu_links, spu_matching

        ranks, protocol = range(context.parties), context.parameters["protocol"]
        many = buckets.agree(context, mesh, meta, ranks=ranks)
        rows: tuple[int, ...] = ()
        if many > 1:
            work = buckets.prepare(context, mesh, meta, buckets.RowNumbers(), buckets=many, ranks=ranks)
            buckets.match(context, mesh, work, ranks=ranks, protocol=protocol, broadcast=False)
            size, count = work.rows, work.matched_rows()
            if context.parameters["form"] == "list":
                rows = tuple(sorted(row for part in work.matched() for row in part[:, 0].tolist()))
        else:
            keys = _keys(context, mesh, meta)
            mesh.watch(spu_links.leave_as_lost(context))
            found, _ = spu_matching.match(
                context, keys, stage=PSI_STAGE, ranks=ranks, protocol=protocol, broadcast=False
            )
            size, count, rows = len(keys), len(found), tuple(found.tolist())
        # Row counts are no secret of these protocols, and the receiver's k needs them.
        mesh.stop_watching()
        sizes = [_number(greeting.load(one), "rows") for one in mesh.broadcast(greeting.dump({"rows": size})).values()]
        return Found(count, (size, *sizes), rows) if context.rank == RECEIVER else Found(0, ())

    def open(self, parts: Sequence[bytes], *, job: Mapping[str, Any], request: Mapping[str, Any]) -> Matched:
        """See Engine.open; needs neither SPU nor numpy."""
        found = read_parts(parts, engine=self.id, job_digest=statements.digest(job), ranks=len(job["parties"]))
        form, part = request["parameters"]["form"], found[RECEIVER]
        try:
            count, bits = int(part["count"]), base64.b64decode(part["rows"], validate=True)
            is_released = {RELEASED: True, WITHHELD: False}[part["outcome"]]
        except (KeyError, TypeError, ValueError):
            raise PartInvalid("A part is damaged; fetch the result again.") from None
        rows = tuple(place for place, bit in enumerate(_bits(bits), start=1) if bit)
        if any(other.get("outcome") != WITHHELD for other in found[1:]) or (rows and len(rows) != count):
            raise PartInvalid("The parts contradict each other; report the run to the exchange.")
        asked = request["parameters"].get("privacy")
        if asked is not None:
            is_told = is_released and count >= job["min_group"]  # arithmetic after the noise: it protects nobody
            return Matched(form, job["min_group"], count if is_told else None, privacy=_stated(asked))
        if is_released and count < job["min_group"]:
            raise PartInvalid("A number below the agreed k was released; report the run to the exchange.")
        return Matched(form, job["min_group"], count if is_released else None, rows if form == "list" else None)


@dataclass(frozen=True, slots=True)
class Found:
    """What the receiver knows after the match: the number, every table's size, and maybe its rows."""

    count: int
    sizes: tuple[int, ...]
    rows: tuple[int, ...] = ()


def is_released(count: int, sizes: Sequence[int], *, k: int) -> bool:
    """Whether the number may be told: at least k match, and of no table 1 to k - 1 do not.

    A table of 100 persons of whom 95 match would tell of five who do not.
    """
    return count >= k and not any(gate.hidden_by_rest([count] * len(sizes), totals=sizes, k=k))


def _keys(context: StageContext, mesh: link.Mesh, meta: DatasetMeta) -> list[bytes]:
    """This party's keyed ids, all at once."""
    from compute.engines import loading

    key = greeting.job_key(context, mesh, ranks=range(context.parties))
    chunks = loading.chunks(context.own_dataset, meta, values=[], blocks=False, ids=True)
    ids = [one for chunk in chunks for one in chunk.ids or ()]
    context.progress("match", 20)
    return identifiers.keyed(ids, key)


def _noise(context: StageContext, meta: DatasetMeta) -> int | None:
    """What the receiver's node drew for this number; None where it is told exactly, or by nobody."""
    if "privacy" not in context.parameters or context.rank != RECEIVER:
        return None
    plan = sensitivity.plan(meta, context.parameters)
    return noised.read_noise(context.work_dir / noised.NOISE_FILE, plan)[0][0]


def _stated(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the buyer is told of the noise; Laplace of scale s has a standard deviation of the root of two, times s."""
    scale = privacy.MICRO / privacy.parse_epsilon(asked["epsilon"])
    return {**asked, "unit": "one person is one row of one owner", "count_deviation": str(ceil(sqrt(2) * scale))}


def _content(form: str, found: Found, *, k: int, size: int, noise: int | None = None) -> dict[str, str]:
    """A part's content: the same members and lengths whatever was found, at every party."""
    if noise is not None:
        return {"outcome": RELEASED, "count": str(max(0, found.count + noise)).rjust(12, "0"), "rows": ""}
    released = bool(found.sizes) and is_released(found.count, found.sizes, k=k)
    bits = bytearray(magnitude(size) // 8 + 1 if form == "list" else 0)
    for row in found.rows if released and form == "list" else ():
        bits[row // 8] |= 1 << row % 8
    return {
        "outcome": RELEASED if released else WITHHELD,
        "count": str(found.count if released else 0).rjust(12, "0"),
        "rows": base64.b64encode(bytes(bits)).decode(),
    }


def _bits(data: bytes) -> list[int]:
    return [byte >> place & 1 for byte in data for place in range(8)]


def _number(message: Mapping[str, Any], name: str) -> int:
    value = message.get(name)
    if not isinstance(value, int) or value < 0:
        raise greeting.differs("A peer's greeting cannot be read; check the versions.")
    return value
