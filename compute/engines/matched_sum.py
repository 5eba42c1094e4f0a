"""Sums over the persons two owners have in common, with nobody's help: `ddh_paillier_sum/1`.

One owner has a list of persons, the other the values of some of them. Neither learns who is in both: persons enter as
points of a group that each owner blinds with a scalar of its own, so that only points blinded by both can be compared,
and both come back shuffled. The values travel as Paillier ciphertexts beside their blinded points; the list's owner
multiplies those whose point it finds among its own, adds a random mask and sends one ciphertext back. What the values'
owner decrypts is its part, uniform because of the mask; the other part takes the mask away. The buyer adds the two.

    list owner (rank 0)                                value owner (rank 1)
    H(v)^a, shuffled                         ->        raises to b, shuffles
    {H(v)^ab}                                <-
                                             <-        H(w)^b with E(1 | x | x^2 | ...), shuffled
    raises to a, compares, adds up
    {H(w)^ab}, shuffled                      ->        compares: the same number of matches
    E(sum + mask), fresh noise               ->        decrypts: part 1
    part 0: -mask

Both owners learn how many persons match, and each decides by itself whether that may be told: k or more of them, and
of each table k or more, or nobody, who do not match. If not, both parts are shares of nothing, drawn from the job's
key, of the same size as ever. One answer over the whole match and no other: no groups, no filters.

Source: Ion, Kreuter, Nergiz, Patel, Saxena, Seth, Raykova, Shanahan and Yung, On Deploying Secure Computing: Private
Intersection-Sum-with-Cardinality, EuroS&P 2020; Paillier 1999; ristretto255, RFC 9496. Steps: `private_join.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from compute.engines import gate, greeting, link
from compute.engines.base import (
    Engine,
    Estimate,
    GroupedStatistics,
    Learned,
    Level,
    SecurityCard,
    StageContext,
    Total,
    finish,
    read_parts,
    write_part,
)
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.metadata import DatasetMeta, magnitude
from compute.engines.paillier.packing import Packing, PackingOverflow
from compute.protocol import operations
from ledger.proofs import statements

LIST_OWNER, VALUE_OWNER = 0, 1
KEY_BITS = 3072  # 128 bits of security, as much as ristretto255: what is encrypted today should outlast 2030
MAX_ROWS = 1 << 24  # a point and a ciphertext of 768 bytes each


class MatchedSum(Engine):
    """Two owners and no helper; each learns how many match, and nothing else of the other's rows."""

    id: ClassVar[str] = "ddh_paillier_sum/1"
    operation: ClassVar[str] = operations.MATCHED_SUM
    roles: ClassVar[tuple[str, ...]] = ("data", "data")
    link_stages: ClassVar[int] = 1
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "gmpy2", "numpy", "pandas", "phe", "rbcl")
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="mpc",
        protocol="Private Join and Compute: doubly blinded ristretto255 points of job-keyed ids, values under "
        "Paillier with 3072 bits and full noise, masked sum",
        adversary_model="semi-honest, two parties, either one corrupted",
        assumption_zh="双方按协议执行；ristretto255 上的判定性 Diffie-Hellman 假设，3072 位的合数剩余判定假设，"
        "以及视散列为随机预言机。",
        assumption_en="Both parties follow the protocol; decisional Diffie-Hellman in ristretto255, decisional "
        "composite residuosity modulo 3072 bits, and the hash into the group as a random oracle.",
        precision_zh="精确：整数求和，均值与方差只在最后舍入一次（六位小数，四舍六入五成双）。",
        precision_en="Exact: integer sums; mean and variance are rounded once, to six places, half to even.",
        cost_zh="数值方每千行约1.3秒处理器时间、发送0.8 MB；名单方每千行约0.2秒。",
        cost_en="1.3 s of processor time and 0.8 MB sent for a thousand rows of the value owner, 0.2 s for a thousand "
        "of the list owner.",
        learned=(
            Learned(
                "data_party",
                "双方共有多少人、对方的行数；数值方声明的列与取值范围。不知道哪些人共有，"
                "也不知道对方的任何取值、总和或结果。",
                "How many persons both have and the other's row count; the columns and bounds that the value owner "
                "declares. Not which persons both have, and no value, sum or result of the other.",
            ),
            Learned(
                "buyer",
                "共有人员的人数、总和、均值与方差，并且仅当人数及任一方未匹配的人数均不会过小时；"
                "否则只知道不予放行，不知道人数。还有本次作业的公钥。",
                "Count, sum, mean and variance over the persons both have, and only when neither they nor the others "
                "of either party are too few; otherwise only that nothing is released, not how many there were. Also "
                "the public key of this job.",
            ),
            Learned("exchange", "只见到密封的份额与其大小。", "Only sealed shares and their size."),
        ),
    )

    def check(self, parameters: Mapping[str, Any], metas: Mapping[int, DatasetMeta], *, min_group: int) -> None:
        """See Engine.check; rank 0 owns the list, rank 1 the values."""
        gate.check_min_group(min_group)
        for rank, meta in metas.items():
            meta.check_id()
            if meta.magnitude > MAX_ROWS:
                raise EngineRefused("PARTITION_TOO_LARGE", f"More than {MAX_ROWS} rows; use aligned statistics.")
            if rank == VALUE_OWNER:
                columns = [meta.numeric(name) for name in parameters["values"]]
                slots([column.largest for column in columns], rows=meta.magnitude)

    def derive(self, parameters: Mapping[str, Any], *, rank: int) -> dict[str, Level]:
        """See Engine.derive; the list owner shows no column, the value owner sums."""
        return dict.fromkeys(parameters["values"] if rank == VALUE_OWNER else (), Level.PLAINTEXT_AFTER_AGGREGATE)

    def estimate(self, parameters: Mapping[str, Any], *, rows: Sequence[int]) -> Estimate:
        """See Engine.estimate; one core, the value owner, whose encryptions are nearly all the work."""
        mine, theirs = rows[VALUE_OWNER], rows[LIST_OWNER]
        return Estimate(
            seconds=3 + mine / ENCRYPTIONS_PER_SECOND + (mine + 2 * theirs) / BLINDINGS_PER_SECOND,
            memory_mb=350 + (mine + theirs) // 1_500,
            bytes_sent=mine * (KEY_BITS // 4 + 32) + theirs * 32,
        )

    def run(self, context: StageContext) -> bytes:
        """See Engine.run."""
        if context.dataset is None or context.parties != 2:
            raise EngineRefused("JOB_DIFFERS", "This operation needs two data parties and no other.")
        from compute.engines import loading, private_join  # numeric: only here, in the run's own process

        owns_values = context.rank == VALUE_OWNER
        meta = loading.load_meta(context.dataset)
        self.check(context.parameters, {context.rank: meta}, min_group=context.k)
        context.progress("link", 2)
        with link.connect(context) as mesh:
            context.progress("link", 5)
            greeting.check_jobs(context, mesh)
            key = greeting.job_key(context, mesh, ranks=(LIST_OWNER, VALUE_OWNER))
            values = context.parameters["values"] if owns_values else []
            table = loading.load_table(context.dataset, meta, values=values, blocks=False, ids=True)
            own = hello(context, meta, rows=len(table.ids or ()))
            received = mesh.exchange({1 - context.rank: greeting.dump(own)})[1 - context.rank]
            question = agree(context.parameters, {context.rank: own, 1 - context.rank: greeting.load(received)})
            context.progress("match", 10)
            join = private_join.Join(mesh, rank=context.rank, key=key, question=question, progress=context.progress)
            share = join.give_values(table) if owns_values else join.look_up(table)
            mesh.broadcast(b"done")  # everybody has its part: hanging up is no loss from here on
        context.progress("part", 100)
        width = KEY_BITS // 4
        content = {
            "layout": question.describe(),
            "modulus": f"{share.modulus:0{width}x}",
            "share": f"{share.number:0{width}x}",
        }
        return write_part(engine=self.id, context=context, content=content)

    def open(self, parts: Sequence[bytes], *, job: Mapping[str, Any], request: Mapping[str, Any]) -> GroupedStatistics:
        """See Engine.open."""
        first, second = read_parts(parts, engine=self.id, job_digest=statements.digest(job), ranks=2)
        if first.get("layout") != second.get("layout") or first.get("modulus") != second.get("modulus"):
            raise PartInvalid("The parts do not agree on the sum; report the run to the exchange.")
        try:
            question = Question.read(first["layout"])
            modulus = int(first["modulus"], 16)
            packed = (int(first["share"], 16) + int(second["share"], 16)) % modulus
            numbers = question.slots.unpack(packed - modulus if 2 * packed > modulus else packed)
        except (KeyError, TypeError, ValueError, ZeroDivisionError, PackingOverflow, EngineRefused):
            raise PartInvalid("The parts are not shares of one sum; report the run to the exchange.") from None
        values = request["parameters"]["values"]
        if [name for name, _, _ in question.values] != values:
            raise PartInvalid("The parts answer another question; report the run to the exchange.")
        totals = question.totals(numbers)
        return finish({(): totals}, group_by=[], values=values, min_group=job["min_group"])


ENCRYPTIONS_PER_SECOND, BLINDINGS_PER_SECOND = 800, 8_000  # of one core, see docs/subsystems/paillier.md


class Question:
    """What both owners must agree on: the slots of a row, and who is too few.

    Args:
        values: name, scale and largest absolute value of each column; rows: of each owner, by rank.
        k: fewer persons than this are not told.
    """

    def __init__(self, values: Sequence[tuple[str, int, int]], rows: Sequence[int], k: int) -> None:
        self.values, self.rows, self.k = tuple(values), tuple(rows), k
        self.slots = slots([largest for _, _, largest in values], rows=magnitude(self.rows[VALUE_OWNER]))

    def describe(self) -> dict[str, Any]:
        """The question as it stands in a part: nothing that depends on a row but the magnitude of their number."""
        return {"values": [list(item) for item in self.values], "rows": self.slots.rows, "k": self.k}

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "Question":
        """Read what `describe` wrote; KeyError, TypeError or ValueError for anything else."""
        values = [(str(name), int(scale), int(largest)) for name, scale, largest in value["values"]]
        return cls(values, (0, int(value["rows"])), int(value["k"]))

    @property
    def is_hopeless(self) -> bool:
        """Whether a table is so small that no match could be told; then none is made, and nobody learns its size."""
        return min(self.rows) < self.k

    def may_tell(self, matched: int) -> bool:
        """Whether that many matches may be told: neither they nor the rest of either table are few but not nobody.

        The rests count because each owner's own total may be known from elsewhere: 30 less 25 speaks of five.
        """
        rests = gate.hidden_by_rest([matched] * len(self.rows), totals=self.rows, k=self.k)
        return all(gate.released([matched], k=self.k)) and not any(rests)

    def row(self, numbers: Sequence[int]) -> int:
        """One person's plaintext: a one to be counted, then each value and its square."""
        return self.slots.pack([1, *(power for number in numbers for power in (number, number * number))])

    def totals(self, numbers: Sequence[int]) -> list[Total]:
        """The totals in the slots; PartInvalid for what no run can give."""
        count, rest = numbers[0], numbers[1:]
        if (count and count < self.k) or (not count and any(rest)) or count < 0:
            raise PartInvalid("The parts are not shares of one sum; report the run to the exchange.")
        return [
            Total(count=count, total=rest[2 * place], squares=rest[2 * place + 1], scale=scale)
            for place, (_, scale, _) in enumerate(self.values)
        ]


def slots(largest: Sequence[int], *, rows: int) -> Packing:
    """A slot for the count, and two for each value; EngineRefused VALUE_RANGE_TOO_WIDE when they do not fit."""
    bounds = [bound for value in largest for bound in (max(1, value), max(1, value * value))]
    found = Packing((1, *bounds), rows)
    try:
        found.check_fits(KEY_BITS - 1)
    except PackingOverflow:
        raise EngineRefused(
            "VALUE_RANGE_TOO_WIDE", "The declared ranges are too wide to be summed at once; ask for fewer columns."
        ) from None
    return found


def hello(context: StageContext, meta: DatasetMeta, *, rows: int) -> dict[str, Any]:
    """What one owner tells the other: its k and row count, and of the values what is declared."""
    told = {"k": gate.effective_k([meta], min_group=context.k), "rows": rows}
    if context.rank == LIST_OWNER:
        return told
    columns = [meta.numeric(name) for name in context.parameters["values"]]
    return {**told, "values": [[column.name, column.scale, column.largest] for column in columns]}


def agree(parameters: Mapping[str, Any], hellos: Mapping[int, Mapping[str, Any]]) -> Question:
    """The same question at both owners, from what both declared; EngineRefused JOB_DIFFERS."""
    try:
        values = [(str(name), int(scale), int(largest)) for name, scale, largest in hellos[VALUE_OWNER]["values"]]
        rows = [int(hellos[rank]["rows"]) for rank in (LIST_OWNER, VALUE_OWNER)]
        k = max(int(found["k"]) for found in hellos.values())
    except (KeyError, TypeError, ValueError):
        raise greeting.differs("A peer's greeting cannot be read; check the versions.") from None
    if [name for name, _, _ in values] != list(parameters["values"]) or not all(0 <= one <= MAX_ROWS for one in rows):
        raise greeting.differs("A peer's greeting is not that of this job; check the versions.")
    gate.check_min_group(k)
    return Question(values, rows, k)
