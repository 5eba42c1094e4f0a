"""Consistency check of one office's records against another's: `keyed_consistency/1`.

The arithmetic is `keyed_comparison.py`. Around it:

1. Same job, and the month of the request is this month at both sides.
2. The bank (the asking side) sends exactly `rows` rows of points; beyond its own rows they are random.
3. The office (the answering side) first keeps what is compared (`guesses.py`) and refuses the whole run when a
   person and field come with another value than before; then it answers, and sends the tags of its own rows,
   sorted, filled up with random ones to the next power of two.
4. The bank finds same, different or absent for each of its rows and fields. Its part holds them two bits each, so
   the part is as large for a batch without any difference as for one full of them.

Nobody is told the office's value, nor which value would have been the same. "Different" is an answer all the same:
a bank that may ask again and again learns the value by trial. So one value for each person and field is compared in
a month, in batches of at least a thousand rows.

Not covered: the office knows a person again only under the bank's own blind, so a bank's node that breaks the rules can
blind one person in two ways and try two values. What bounds it is the number of rows in a run and the contract's quota
of runs. Two banks are two: each may compare its own value once.

Source: see `keyed_comparison.py`.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from compute.engines import answers
from compute.engines.base import Engine, Estimate, Learned, Level, Result, SecurityCard, StageContext
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.metadata import DatasetMeta
from compute.protocol.operations import consistency_check
from ledger.proofs import statements

RESULT_TYPE, PACKED_TYPE = "consistency_check/v1", "consistency_check_packed/v1"
BANK, OFFICE = 0, 1
WORDS = ("same", "different", "absent")  # by the numbers of keyed_comparison
NOTICE = {
    "zh": "本核对只说明双方记录是否相同：不修复数据质量，也不说明哪一方正确。",
    "en": "This check says only whether both records agree: it does not repair data quality, nor say who is right.",
}


class KeyedConsistency(Engine):
    """Two parties, no helper; the office learns how many rows, the bank where its own rows differ."""

    id: ClassVar[str] = "keyed_consistency/1"
    operation: ClassVar[str] = consistency_check.CODE
    roles: ClassVar[tuple[str, ...]] = ("requester", "data")
    link_stages: ClassVar[int] = 1
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "rbcl")
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="psi",
        protocol="equality by commutative keys in ristretto255 (DDH); one value per person, field and month",
        adversary_model="semi-honest, two parties; nobody who only listens learns anything",
        assumption_zh="ristretto255 上的判定性 DH 假设与随机预言机；双方按协议执行。"
        "“每人每字段每月只比一次”依赖需方节点在当月使用同一盲化密钥；违规的需方仍受行数与合约次数限制。",
        assumption_en="Decisional Diffie-Hellman in ristretto255 and random oracles; both parties follow the protocol. "
        "“One value per person, field and month” rests on the requester's node using one blind for the month; a node "
        "that does not is still bounded by the number of rows and the contract's quota.",
        precision_zh="精确：先按统一格式表规范化（全角、末尾零、日期写法），再比较是否相同。",
        precision_en="Exact, once both sides have brought values into one form (full-width digits, zeros, dates).",
        cost_zh="三个字段时，每行双方合计约 0.9 毫秒处理器时间、约 0.4 KB。",
        cost_en="With three fields, 0.9 ms of processor time and some 0.4 KB a row, both sides together.",
        learned=(
            Learned(
                "data_party",
                "比对的行数（补齐到整千），以及本月内化名后的同一行是否再次出现、其值是否改变；不知道是谁、什么值、结果如何。",
                "How many rows are compared (filled up to a thousand), and within a month whether a row, under a "
                "pseudonym, comes again and has changed; neither the persons, nor the values, nor the outcome.",
            ),
            Learned(
                "requester",
                "自己的每一行每一字段：相同、不同或对方没有；对方各字段行数的数量级（2 的幂）。看不到对方的任何值。",
                "For each of its own rows and fields same, different or absent, and the magnitude of the other table "
                "(a power of two); no value of the other side.",
            ),
            Learned(
                "exchange",
                "只见到密封结果，大小由行数与字段数决定。",
                "Only a sealed result, of a size by rows and fields.",
            ),
        ),
    )

    def check(self, parameters: Mapping[str, Any], metas: Mapping[int, DatasetMeta], *, min_group: int) -> None:
        """See Engine.check; the batch is at least as large as every side's own smallest group."""
        if parameters["rows"] < min_group:
            raise EngineRefused("BATCH_SIZE", "The batch is smaller than this node allows.")
        for rank, meta in metas.items():
            side, identifier = ("own", "person") if rank == BANK else ("theirs", "key")
            for name in (parameters[identifier], *(field[side] for field in parameters["fields"])):
                meta.column(name)

    def derive(self, parameters: Mapping[str, Any], *, rank: int) -> dict[str, Level]:
        """See Engine.derive."""
        side, identifier = ("own", "person") if rank == BANK else ("theirs", "key")
        level = Level.PLAINTEXT if rank == BANK else Level.PLAINTEXT_AFTER_COMPARE
        return dict.fromkeys((parameters[identifier], *(field[side] for field in parameters["fields"])), level)

    def estimate(self, parameters: Mapping[str, Any], *, rows: Sequence[int]) -> Estimate:
        """See Engine.estimate."""
        asked, held, width = parameters["rows"], rows[OFFICE], 1 + len(parameters["fields"])
        return Estimate(
            seconds=(asked * 200e-6 + held * 80e-6) * width,
            memory_mb=120 + (asked * 300 + held * 250 * width) // 1_000_000,
            bytes_sent=asked * 32 * width + held * 32 * width,
        )

    def run(self, context: StageContext) -> bytes:
        """See Engine.run."""
        from compute.engines import consistency_bank, consistency_office  # native: only here, in the run's own process

        if context.dataset is None or context.state is None or context.parties != 2:
            raise EngineRefused("JOB_DIFFERS", "This operation needs a requester and one data party.")
        if context.parameters["period"] != datetime.now(UTC).strftime("%Y-%m"):
            raise EngineRefused("PERIOD_OVER", "The request is for another month; make a new one.")
        return consistency_office.run(context) if context.rank == OFFICE else consistency_bank.run(context)

    def open(self, parts: Sequence[bytes], *, job: Mapping[str, Any], request: Mapping[str, Any]) -> Result:
        """See Engine.open."""
        packed = answers.read(
            parts, engine=self.id, job_digest=statements.digest(job), ranks=len(job["parties"]), kind=PACKED_TYPE
        ).describe()
        parameters = request["parameters"]
        verdicts = unpack(str(packed.get("verdicts")), rows=packed.get("rows"), fields=len(parameters["fields"]))
        return answers.Answer(
            {
                "type": RESULT_TYPE,
                "period": parameters["period"],
                "rows": packed["rows"],
                "fields": [_field(field, verdicts[number]) for number, field in enumerate(parameters["fields"])],
                "notice": dict(NOTICE),
            }
        )


def pack(verdicts: Sequence[Sequence[int]], *, rows: int) -> str:
    """Verdicts by row as two bits each, filled up to `rows` rows, in base64."""
    width = len(verdicts[0])
    data = bytearray(-(-rows * width // 4))
    for place, verdict in enumerate(one for row in verdicts for one in row):
        data[place >> 2] |= verdict << 2 * (place & 3)
    return base64.b64encode(data).decode()


def unpack(text: str, *, rows: Any, fields: int) -> list[list[int]]:
    """Verdicts by field and then row; PartInvalid for anything `pack` does not make."""
    try:
        data = base64.b64decode(text, validate=True)
        found = [data[place >> 2] >> 2 * (place & 3) & 3 for place in range(int(rows) * fields)]
    except (ValueError, TypeError, IndexError):
        raise PartInvalid("The requester's part holds no verdicts; fetch the result again.") from None
    if any(verdict >= len(WORDS) for verdict in found):
        raise PartInvalid("The requester's part holds no verdicts; fetch the result again.")
    return [found[number::fields] for number in range(fields)]


def _field(field: Mapping[str, Any], verdicts: Sequence[int]) -> dict[str, Any]:
    """Counts of one field, and which of the bank's own rows differ or are absent, counted from 1."""
    rows: dict[str, list[int]] = {word: [] for word in WORDS}
    for number, verdict in enumerate(verdicts, start=1):
        rows[WORDS[verdict]].append(number)
    return {
        **{name: field[name] for name in ("own", "theirs", "kind")},
        **{word: len(found) for word, found in rows.items()},
        "different_rows": rows["different"],
        "absent_rows": rows["absent"],
    }
