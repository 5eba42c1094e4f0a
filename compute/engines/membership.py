"""Which of the requester's rows are in a provider's large table: `ub_psi/1`, unbalanced PSI with a cache that serves
again.

Once for each version of the table and requester the provider draws a secret OPRF key and a salt, evaluates the OPRF on
every (salted) id and delivers the values, shuffled by their nature, to the requester's node. A list then takes one
blinded evaluation for each of its rows.

A salt fresh for every job, as `greeting` makes it, would have the whole table evaluated and delivered every time. What
takes its place is fresh for each (version of the table, requester), and why that suffices:

- outsiders and the exchange see neither salt nor key nor cache, which lie at the two nodes;
- the requester holds the cache and cannot try ids against it: a value needs the provider's key, one evaluation each,
  and the provider's node counts them (the list's length is public);
- two requesters cannot use each other's evaluations or compare caches, because their keys differ;
- a new version has a new key, so old evaluations are worth nothing there and two caches do not tell what changed.

What stays: the requester may ask about a person once and remember. The provider learns the list's length, never a row.

Source: Resende and de Freitas Aranha, Faster Unbalanced Private Set Intersection, FC 2018 (ECDH-OPRF), by SecretFlow.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from compute.engines import gate, greeting, link
from compute.engines.base import Engine, Estimate, Learned, Level, SecurityCard, StageContext, read_parts, write_part
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.metadata import DatasetMeta
from compute.protocol import operations
from ledger.proofs import canonical, statements

RESULT_TYPE = "membership/v1"
REQUESTER, PROVIDER = 0, 1
MAX_LIST_ROWS = 1 << 14  # one run; the provider's quota counts runs


@dataclass(frozen=True, slots=True)
class Members:
    """The result: rows of the requester's own table, counted from 1, that the provider's table holds."""

    rows: tuple[int, ...]

    def describe(self) -> dict[str, Any]:
        """The result document of schema membership/v1."""
        return {"type": RESULT_TYPE, "rows": list(self.rows)}

    def to_bytes(self) -> bytes:
        """The result document as canonical JSON."""
        return canonical.encode(self.describe())


class Membership(Engine):
    """A requester with a short list, a provider with a long table."""

    id: ClassVar[str] = "ub_psi/1"
    operation: ClassVar[str] = operations.MEMBERSHIP
    roles: ClassVar[tuple[str, ...]] = ("requester", "data")
    link_stages: ClassVar[int] = 3
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "numpy", "spu")
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="psi",
        protocol="ECDH-OPRF unbalanced PSI; OPRF key and salt for each dataset version and requester",
        adversary_model="semi-honest, two parties, either one corrupted",
        assumption_zh="两方按协议执行；数据方节点保管 OPRF 密钥。",
        assumption_en="Both parties follow the protocol; the provider's node keeps the OPRF key.",
        precision_zh="精确；两个不同标识被误认为相同的概率低于 n²/2^97。",
        precision_en="Exact; two different ids are taken for one with probability below n²/2^97.",
        cost_zh="每个数据版本与需求方先对整张表求值并送达一次，此后名单每行一次盲求值。",
        cost_en="One evaluation and delivery of the whole table for each data version and requester, then one blinded "
        "evaluation for each row of the list.",
        learned=(
            Learned(
                "requester",
                "自己名单中的哪些人在对方表中，以及对方的行数；不知道对方表中其他任何人。",
                "Which of its own persons are in the provider's table, and that table's row count; nobody else in it.",
            ),
            Learned(
                "data_party",
                "名单的行数；不知道名单上是谁，也不知道结果。",
                "The list's length; neither who is on it nor the result.",
            ),
            Learned("buyer", "与需方节点相同。", "The same as the requester's node."),
            Learned("exchange", "只见到密封的结果与其大小。", "Only sealed parts and their size."),
        ),
    )

    def check(self, parameters: Mapping[str, Any], metas: Mapping[int, DatasetMeta], *, min_group: int) -> None:
        """See Engine.check; single persons are told, so no k applies: the contract's id column is the consent."""
        gate.check_min_group(min_group)
        for rank, meta in metas.items():
            meta.check_id()
            if rank == REQUESTER and meta.magnitude > MAX_LIST_ROWS:
                raise EngineRefused("PARTITION_TOO_LARGE", f"A list has at most {MAX_LIST_ROWS} rows; split it.")
            if rank == PROVIDER and parameters["id_column"] != meta.id:
                raise EngineRefused("COLUMN_UNKNOWN", "The named column is not the table's id column.")

    def derive(self, parameters: Mapping[str, Any], *, rank: int) -> dict[str, Level]:
        """See Engine.derive; the provider's ids are told where the requester has them already."""
        return {parameters["id_column"]: Level.PLAINTEXT_AFTER_JOIN} if rank == PROVIDER else {}

    def estimate(self, parameters: Mapping[str, Any], *, rows: Sequence[int]) -> Estimate:
        """See Engine.estimate; the first run for a version, later ones take seconds."""
        return Estimate(seconds=6 + max(rows) * 30e-6, memory_mb=300 + max(rows) // 1_500, bytes_sent=40 * max(rows))

    def run(self, context: StageContext) -> bytes:
        """See Engine.run."""
        if context.parties != 2 or context.dataset is None:
            raise EngineRefused("JOB_DIFFERS", "This operation needs a requester and one data party.")
        from compute.engines import loading, spu_links, spu_membership

        context.progress("link", 2)
        with link.connect(context) as mesh:
            context.progress("link", 10)
            meta = loading.load_meta(context.dataset)
            self.check(context.parameters, {context.rank: meta}, min_group=context.k)
            greeting.check_jobs(context, mesh)
            mesh.watch(spu_links.leave_as_lost(context))
            bits = b""
            if context.rank == REQUESTER:
                bits = spu_membership.ask(context, mesh, meta)
            else:
                spu_membership.serve(context, mesh, meta)
            mesh.conclude()
        context.progress("part", 100)
        return write_part(engine=self.id, context=context, content={"rows": base64.b64encode(bits).decode()})

    def open(self, parts: Sequence[bytes], *, job: Mapping[str, Any], request: Mapping[str, Any]) -> Members:
        """See Engine.open; needs neither SPU nor numpy."""
        found = read_parts(parts, engine=self.id, job_digest=statements.digest(job), ranks=2)
        try:
            bits = base64.b64decode(found[REQUESTER]["rows"], validate=True)
        except (KeyError, TypeError, ValueError):
            raise PartInvalid("A part is damaged; fetch the result again.") from None
        places = (8 * place + bit for place, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1)
        return Members(tuple(place + 1 for place in places))
