"""Private look-up in a register: `oprf_lookup/1`.

The register's owner has a key for each data version and list of columns, derived from one secret of its node. It
turns the whole register into an encrypted table (`encrypted_table.py`), which the requester's node takes once and
keeps. To look a person up, the requester sends one blinded point and gets it back multiplied by the key, with a
proof that it was the published key (`oprf.py`, VOPRF). That opens this person's rows in the table, or shows that
there are none.

1. Same job? Then the papers (`compute.protocol.letters`): letter in time at both sides, two officers' releases at
   both sides, every person on the approved list at the requester's. Any lack ends the run before a key is read.
2. The owner announces table and key; the requester takes the table unless it has this very one.
3. The requester sends `subjects` points. Those beyond its own persons are random: the owner always sees as many as
   were requested, and meters these.
4. Answers and one proof for all of them. The owner writes one line into its journal: time, batch, letter, officers,
   count.
5. The requester opens, compares with the declared number of records, and has the answer by rows of its own table.

The owner sees uniformly random points, the same number whoever is asked for, so the anonymity set is the whole
register. A person whose entries were made wrongly is answered as `damaged` and does not end the run, because an end
would tell the owner that this person was asked for.

Not covered: a requester's node that breaks the rules may spend its `subjects` on anybody; the owner's only bounds
are their number and the contract's quota. An owner that shows every requester another key could tell requesters,
not persons, apart.

Source: RFC 9497; Freedman, Ishai, Pinkas, Reingold, TCC 2005 (see `encrypted_table.py`).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from compute.engines import answers, lookup_papers
from compute.engines.base import Engine, Estimate, Learned, Level, Result, SecurityCard, StageContext
from compute.engines.errors import EngineRefused
from compute.engines.lookup_papers import OWNER, RESULT_TYPE
from compute.engines.metadata import DatasetMeta
from compute.protocol import letters
from compute.protocol.operations import private_lookup
from ledger.proofs import statements


class OprfLookup(Engine):
    """Two parties, no helper; the owner learns how many, the requester its own persons and nobody else."""

    id: ClassVar[str] = "oprf_lookup/1"
    operation: ClassVar[str] = private_lookup.CODE
    roles: ClassVar[tuple[str, ...]] = ("requester", "data")
    link_stages: ClassVar[int] = 1
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "rbcl")
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="pir",
        protocol="keyword look-up by verifiable OPRF (RFC 9497, ristretto255-SHA512) in a table encrypted per person",
        adversary_model="owner malicious as to who is asked for; requester semi-honest within the metered count",
        assumption_zh="ristretto255 上的 gap one-more DH 假设与随机预言机；登记方即使偏离协议也看不出查了谁；"
        "查询方的节点须守住已批准名单，登记方能强制的是次数上限与两名经办人的放行签名。",
        assumption_en="Gap one-more Diffie-Hellman in ristretto255 and random oracles. The owner cannot tell who is "
        "asked for even if it deviates; that only approved persons are asked for rests on the requester's node, while "
        "number and two officers' releases are enforced by the owner's.",
        precision_zh="精确：返回登记簿中该人的全部记录，或“无记录”。",
        precision_en="Exact: all records of the person in the register, or “no record”.",
        cost_zh="每人约 0.4 毫秒处理器时间、往返 64 字节；每个数据版本制表一次：百万人约 80 秒处理器时间、214 MB。",
        cost_en="0.4 ms of processor time and 64 bytes a person; the table, once for each data version, 80 s of "
        "processor time and 214 MB for a million persons.",
        learned=(
            Learned(
                "data_party",
                "批次、函号、经办人、时间与申请的人次（不足部分以随机点补齐）；不知道查了谁、有无记录、申报情况。",
                "Batch, letter number, officers, time and the number of subjects asked for (filled up with random "
                "points); not who was looked up, nor whether there is a record, nor what was declared.",
            ),
            Learned(
                "requester",
                "所查之人的记录或“无记录”；登记簿加密后的总大小（按 1,024 条取整）；打不开其他任何人的记录。",
                "The records of those looked up, or “no record”, and the size of the encrypted register in steps of "
                "1,024 entries; no record of anybody else can be opened.",
            ),
            Learned(
                "exchange",
                "只见到密封结果及其由人次决定的大小。",
                "Only a sealed result, of a size that follows from the count.",
            ),
        ),
    )

    def check(self, parameters: Mapping[str, Any], metas: Mapping[int, DatasetMeta], *, min_group: int) -> None:
        """See Engine.check."""
        del min_group  # an answer is about one person, by law and letter; no group is released
        for rank, meta in metas.items():
            if rank == OWNER:
                for name in (parameters["key"], *parameters["columns"]):
                    meta.column(name)
                continue
            meta.column(parameters["person"])
            if parameters["declared"] is not None and meta.numeric(parameters["declared"]).scale:
                raise EngineRefused("VALUE_NOT_NUMERIC", "The declared number of records is a whole number.")

    def derive(self, parameters: Mapping[str, Any], *, rank: int) -> dict[str, Level]:
        """See Engine.derive."""
        if rank == OWNER:
            return dict.fromkeys((parameters["key"], *parameters["columns"]), Level.PLAINTEXT_AFTER_JOIN)
        own = [parameters["person"], *([parameters["declared"]] if parameters["declared"] else [])]
        return dict.fromkeys(own, Level.PLAINTEXT)

    def estimate(self, parameters: Mapping[str, Any], *, rows: Sequence[int]) -> Estimate:
        """See Engine.estimate; the first run of a data version, which makes and sends the table."""
        register, subjects = rows[OWNER], parameters["subjects"]
        return Estimate(
            seconds=register * 100e-6 + subjects * 1e-3,
            memory_mb=120 + register // 1000,
            bytes_sent=register * 300 + subjects * 32,
        )

    def run(self, context: StageContext) -> bytes:
        """See Engine.run."""
        from compute.engines import lookup_owner, lookup_requester  # native: only here, in the run's own process

        if context.dataset is None or context.state is None or context.parties != 2:
            raise EngineRefused("JOB_DIFFERS", "This operation needs a requester and one data party.")
        with lookup_papers.refusals():
            letters.check_valid(context.parameters["letter"], now=datetime.now(UTC))
        return lookup_owner.run(context) if context.rank == OWNER else lookup_requester.run(context)

    def open(self, parts: Sequence[bytes], *, job: Mapping[str, Any], request: Mapping[str, Any]) -> Result:
        """See Engine.open."""
        del request
        return answers.read(
            parts, engine=self.id, job_digest=statements.digest(job), ranks=len(job["parties"]), kind=RESULT_TYPE
        )
