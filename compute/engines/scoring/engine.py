"""Scores from the columns of several agencies, seen by none of them: `aby3_scoring/1`.

Stage 0, own link among all four: the parties with data draw a key for this job; everybody tells its padded row count
and declared bounds; the requester hands its keys, its own columns and its model in as shares.
Stage 1, ABY3 among ranks 1 to 3: for each agency one hidden join by keyed id, then the model, then one number for each
slot. Nothing is opened: each of the three keeps its share, and that is its part. The requester's part says which slot
is which of its rows. Only the buyer's key opens all four.

Agencies cannot learn who is asked, who was found, what the model is, or the score; the requester cannot learn a
feature, a partial score, or which agency knows whom beyond what score and reasons tell. See docs/subsystems/scoring.md.
"""

import base64
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from compute.engines import greeting, link
from compute.engines.base import (
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
from compute.engines.metadata import DatasetMeta
from compute.engines.scoring import answers, cards, consents, kept
from compute.protocol import operations
from ledger.proofs import statements

REQUESTER, PARTIES = 0, 4
STORAGE = "aby3.AShr<FM64>"
NOBODY = 0xFFFFFFFF  # fills the requester's table of places up to the padded size
MAX_VALUE = 1 << 40
TRAINED_SHIFT = 30


class CreditScoring(Engine):
    """A requester and three computing parties; safe while no two of the three collude."""

    id: ClassVar[str] = "aby3_scoring/1"
    operation: ClassVar[str] = operations.CREDIT_SCORING
    roles: ClassVar[tuple[str, ...]] = ("requester", "data", "data", "data")
    link_stages: ClassVar[int] = 2
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "numpy", "spu")
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="mpc",
        protocol="hidden sort-join, then integer score card in SPU ABY3 FM64; the requester outside, by shares only",
        adversary_model="semi-honest, three computing parties, at most one corrupted, also together with the requester",
        assumption_zh="三个计算方按协议执行且任意两方不串通；需求方不参与计算，与其中任一方串通也得不到更多信息。",
        assumption_en="The three computing parties follow the protocol and no two of them collude; the requester is "
        "outside the computation and learns no more by colluding with any one of them.",
        precision_zh="精确：整数评分卡与整数线性模型，与明文计算逐分相同；训练所得模型的权重精度为2的-18次方。",
        precision_en="Exact: integer score cards and integer linear models give the same points as in the clear; the "
        "weights of a trained model have 18 binary places.",
        learned=(
            Learned(
                "requester",
                "每行的评分（300至850）、至多四个原因、是否有任一机构的记录存在异议、模型版本，或“无记录”、“未获同意”；"
                "以及各机构行数的数量级与所声明的取值范围。除评分、原因与异议标注所透露的以外，不知道任何特征、部分得分、"
                "哪个机构有此人或哪个机构的记录存在异议。自带模型的需求方选择所算的函数，故各机构只运算经其审核放行的模型。",
                "For each row the score (300 to 850), at most four reasons, whether any agency's record is disputed, "
                "and the model's version, or no record, or denied consent; the magnitude of each agency's rows and its "
                "declared bounds. Beyond what score, reasons and the dispute mark tell, no feature, no partial score, "
                "and not which agency knows whom or whose record is disputed. A requester with a "
                "model of its own chooses the function, so each agency computes only with cards that it has released.",
            ),
            Learned(
                "data_party",
                "申请人数的数量级、其他机构行数的数量级与所声明的取值范围、模型的特征列名与分段数上限、模型承诺；"
                "不知道查询了谁、是否命中、模型参数、得分，也不知道其他机构的任何取值。",
                "The magnitude of the number of applicants, of the other agencies' rows, declared bounds, the names of "
                "the feature columns, the most cuts a feature may have and the model's commitment; not who is asked, "
                "who was found, the model, a score, or another agency's value.",
            ),
            Learned(
                "exchange",
                "只见到密封的份额、密封的告知与其大小，由此知道申请人数的数量级。",
                "Only sealed shares and sealed notices, whose number tells the magnitude of the number of applicants.",
            ),
        ),
        cost_zh="各方行数之和的排序两遍，加上每个申请人每个特征的比较；两核机器（四方共用）上，"
        "十万申请人对三个各十万人的机构约三分二十秒、每方2GB。",
        cost_en="Two sorts of all parties' rows, then comparisons for each applicant and feature; 100,000 applicants "
        "against three agencies of 100,000 took three minutes and twenty seconds and 2 GB a party on a two-core "
        "machine shared by all.",
    )

    def check(self, parameters: Mapping[str, Any], metas: Mapping[int, DatasetMeta], *, min_group: int) -> None:
        """See Engine.check; a dataset needs an id, its consents, and numbers of moderate range."""
        for rank, meta in metas.items():
            meta.check_id()
            names = columns_of(parameters, rank)
            if rank != REQUESTER and names:
                consents.check(meta, names)
            for name in names:
                meta.check_range(name, MAX_VALUE)

    def derive(self, parameters: Mapping[str, Any], *, rank: int) -> dict[str, Level]:
        """See Engine.derive; features come out as points compared and added up, consents as a refusal."""
        names = columns_of(parameters, rank)
        return levels(names, rank=rank, reached=Level.PLAINTEXT_AFTER_COMPARE)

    def estimate(self, parameters: Mapping[str, Any], *, rows: Sequence[int]) -> Estimate:
        """See Engine.estimate; from the runs of docs/subsystems/scoring.md."""
        slots, joined = max(64, rows[REQUESTER]), sum(rows[1:]) + 3 * max(64, rows[REQUESTER])
        features = sum(len(columns_of(parameters, rank)) for rank in range(PARTIES))
        compared = slots * features * (parameters["cuts"] + cards.REASONS)
        return Estimate(
            seconds=12 + joined / 5_000 + compared / 40_000,
            memory_mb=400 + joined // 1_000 + compared // 8_000,
            bytes_sent=1_600 * joined + 400 * compared,
        )

    def run(self, context: StageContext) -> bytes:
        """See Engine.run."""
        from compute.engines.scoring import parties  # numeric: only here, in the run's own process

        parties.check_roles(context)
        context.progress("link", 2)
        with link.connect(context) as mesh:
            context.progress("link", 10)
            content = self._request(context, mesh) if context.rank == REQUESTER else self._compute(context, mesh)
            mesh.conclude()
        context.progress("part", 100)
        return write_part(engine=self.id, context=context, content=content)

    def _request(self, context: StageContext, mesh: link.Mesh) -> dict[str, Any]:
        import numpy as np

        from compute.engines import loading
        from compute.engines.scoring import parties

        meta = loading.load_meta(context.own_dataset)
        self.check(context.parameters, {REQUESTER: meta}, min_group=context.k)
        named, model = context.parameters["model"], kept_model(context)
        card = None if model else cards.Card.read(kept.read_card(kept.directory(context), named["commitment"]))
        if card is not None:
            check_card(card, context)
        greeting.check_jobs(context, mesh)
        key = parties.job_key(context, mesh, meta)
        shift = _shift(context, mesh, None if card is None else int(card.document["shift"]))
        world = parties.greet(context, mesh, meta, cuts=_cuts(context), shift=shift)
        context.progress("match", 20)
        found = parties.applicants(context, meta, key, world, label=None, model=model)
        arrays = [found.keys, found.own]
        if card is not None:
            numbers = card.numbers(cuts=world.layout.cuts, bounds=world.bounds).flat()
            arrays.append(np.array(numbers, np.int64))
        parties.hand_in(mesh, arrays)
        places = np.full(world.slots, NOBODY, "<u4")
        if found.places.size > places.size:
            raise EngineRefused("PARTITION_TOO_LARGE", "More rows than one run may have; divide the request.")
        places[: found.places.size] = found.places
        return {"places": base64.b64encode(places.tobytes()).decode()}

    def _compute(self, context: StageContext, mesh: link.Mesh) -> dict[str, Any]:
        from compute.engines import loading
        from compute.engines.scoring import circuits, parties, sharing

        meta = None if context.dataset is None else loading.load_meta(context.dataset)
        if meta is not None:
            self.check(context.parameters, {context.rank: meta}, min_group=context.k)
        model = kept_model(context)
        if meta is not None and model is None:
            kept.check_released(kept.directory(context), context.parameters["model"]["commitment"])
        greeting.check_jobs(context, mesh)
        key = parties.job_key(context, mesh, meta)
        shift = _shift(context, mesh, None)
        world = parties.greet(context, mesh, meta, cuts=_cuts(context), shift=shift)
        layout = world.layout
        mine = None if meta is None else parties.agency_input(context, meta, key, world, model=model)
        expected = [("keys", (world.slots,)), ("own", (layout.own, world.slots))]
        expected += [] if model else [("model", (layout.model_numbers,))]
        circuit, found = parties.joined(context, mesh, world, mine=mine, handed_in=expected)
        if model is not None:
            circuit.received("weights", (layout.features + 1,), base64.b64decode(model.shares or ""))
            named = context.parameters["model"]
            program = circuits.trained_model(layout, offset=named["offset"], factor=named["factor"])
            circuit.run(program, ["weights"], ["model"])
        circuit.run(circuits.with_own(circuits.score(layout), layout), ["model", *_own(layout), *found], ["answer"])
        context.progress("compute", 95)
        return dict(sharing.describe(circuit.share("answer")))

    def open(
        self, parts: Sequence[bytes], *, job: Mapping[str, Any], request: Mapping[str, Any]
    ) -> answers.CreditScores:
        """See Engine.open; needs neither SPU nor numpy."""
        found = read_parts(parts, engine=self.id, job_digest=statements.digest(job), ranks=PARTIES)
        parameters = request["parameters"]
        try:
            places = _words(found[REQUESTER]["places"], "I")
            shares = [_words(part["shares"], "Q") for part in found[1:]]
            is_shared = all(part["storage"] == STORAGE for part in found[1:])
            numbers = _opened(shares, slots=len(places))
        except (KeyError, TypeError, ValueError):
            raise PartInvalid("A part is damaged; fetch the result again.") from None
        if not is_shared:
            raise PartInvalid("A part is not an arithmetic share; report the run to the exchange.")
        names = feature_names(parameters, [party.get("organization") for party in job["parties"]])
        rows = [place for place in places if place != NOBODY]
        if any(place >= len(numbers) for place in rows):
            raise PartInvalid("A part is damaged; fetch the result again.")
        return answers.CreditScores(
            version=str(parameters["model"]["version"]),
            rows=tuple(answers.unpack(numbers[place], row=number, features=names) for number, place in enumerate(rows)),
        )


def columns_of(parameters: Mapping[str, Any], rank: int) -> list[str]:
    """The columns that the party of one rank brings; none for a compute party."""
    if rank == REQUESTER:
        return list(parameters["own"])
    features = parameters["features"]
    return list(features[rank - 1]["columns"]) if rank - 1 < len(features) else []


def levels(names: Sequence[str], *, rank: int, reached: Level) -> dict[str, Level]:
    """Levels of one party's columns: its features reach the buyer as `reached`, its consents not at all."""
    found = dict.fromkeys(names, reached)
    if rank != REQUESTER and names:
        for scope in consents.scopes(names):
            found |= dict.fromkeys((scope + consents.UNTIL, scope + consents.FOR), Level.ENCRYPTED_ONLY)
    return found


def feature_names(parameters: Mapping[str, Any], organizations: Sequence[str | None]) -> list[str]:
    """What a reason calls each feature, in the circuit's order: organisation and column."""
    named = [
        f"{organization}/{column}"
        for rank, organization in enumerate(organizations)
        if rank != REQUESTER
        for column in columns_of(parameters, rank)
    ]
    return named + [f"{organizations[REQUESTER]}/{column}" for column in parameters["own"]]


def _opened(shares: Sequence[Sequence[int]], *, slots: int) -> list[int]:
    """Add replicated shares up: party i holds (x_i, x_i+1), so each x is held twice and compared."""
    one, two, three = shares
    if any(len(words) != 2 * slots for words in shares):
        raise PartInvalid("A part has another length than agreed; report the run to the exchange.")
    if one[1::2] != two[::2] or two[1::2] != three[::2] or three[1::2] != one[::2]:
        raise PartInvalid("The parts contradict each other: one party's share was changed; report the run.")
    return [(x + y + z) % (1 << 64) for x, y, z in zip(one[::2], two[::2], three[::2], strict=True)]


def _words(text: str, kind: str) -> list[int]:
    found = array(kind)
    found.frombytes(base64.b64decode(text, validate=True))
    return found.tolist()


def _cuts(context: StageContext) -> int:
    return int(context.parameters["cuts"]) if context.parameters["model"]["kind"] == cards.SCORECARD else 0


def _shift(context: StageContext, mesh: link.Mesh, own: int | None) -> int:
    """The model's shift: the requester tells the others; a trained model has a fixed one."""
    if context.parameters["model"]["kind"] == cards.TRAINED:
        return TRAINED_SHIFT
    if context.rank == REQUESTER:
        mesh.broadcast(greeting.dump({"shift": own}))
        return int(own or 0)
    told = greeting.load(mesh.exchange({REQUESTER: b""})[REQUESTER]).get("shift")
    if not isinstance(told, int) or not 0 <= told <= cards.MAX_SHIFT:
        raise greeting.differs("The model's shift is outside its bounds; check the versions.")
    return told


def _own(layout: Any) -> list[str]:
    return ["own"] if layout.own else []


def kept_model(context: StageContext) -> kept.SharedModel | None:
    """This party's piece of the trained model that the request names; None for a requester's own card."""
    named = context.parameters["model"]
    if named["kind"] != cards.TRAINED:
        return None
    found = kept.read(kept.directory(context), named["version"], expected=named["commitment"], rank=context.rank)
    check_model(found, context)
    return found


def check_model(model: kept.SharedModel, context: StageContext) -> None:
    """A trained model is used by the parties that have it, in their places, over the columns that it was trained on."""
    ranks = range(1 + len(context.parameters["features"]))
    columns = tuple(tuple(columns_of(context.parameters, rank)) for rank in ranks)
    organizations = tuple(party["organization"] for party in context.job["parties"])
    if model.features != columns or model.organizations != organizations:
        raise greeting.differs("The model was trained by other parties or over other columns; name them as they were.")


def check_card(card: cards.Card, context: StageContext) -> None:
    """The kept card is the one that the signed request names, and over its columns; JOB_DIFFERS, COLUMN_UNKNOWN."""
    named, parameters = context.parameters["model"], context.parameters
    ordered = [name for item in parameters["features"] for name in item["columns"]] + list(parameters["own"])
    if (
        card.commitment != named["commitment"]
        or card.kind != named["kind"]
        or card.document["version"] != named["version"]
    ):
        raise greeting.differs("The model kept here is not the one that the request names; commit to it again.")
    if card.columns != ordered:
        raise EngineRefused("COLUMN_UNKNOWN", "The model has other features than the request; commit to the right one.")
