"""Scores from the columns of one agency, between it and the bank alone: `paillier_scoring/1`.

The card is the bank's secret, the columns are the agency's, and the agency may not learn who is asked. So all its rows
are scored, under its own key, by a bank that cannot read them; and the bank opens its applicants one by one out of a
table that opens nothing else.

    bank (rank 0)                                        agency (rank 1)
                                               <-        bounds and padded number of its rows
    shift, reach and cuts of the card          ->        one column for each cut or value (`forms.py`)
                                               <-        the columns, packed over shuffled rows, under its own key
    to the power of its steps, all multiplied,
    + a mask for each row, fresh noise         ->        decrypts: z + mask, uniform
                                                         modulo 2^total, + rounding below a point; for each person an
                                                         entry with it, under an oblivious function (`encrypted_table`)
                                               <-        the table
    one blinded point for each applicant       ->        evaluates and proves it
    opens its applicants, - mask, + its own columns' points, cut to 300 to 850

Why the agency holds the key, and not the bank: a bank that owned it could choose weights so large that the masks of the
packed rows do not cover them, and read everybody. Here an agency that lied about its columns could learn the card,
which its own reviewers have seen. And an entry has `total` bits: whatever the bank's weights are, it learns at most
`reach` bits of any person, because `rounding` is uniform below a point, and only of those whom it asks for.

A model of `paired_training.py` lies in two shares. The bank weighs with its own, the agency adds what its shares make
of each row to the number of the entry, and only the sum means anything.

Reasons are not there: points lost by feature are known to neither side. See docs/subsystems/scoring.md and ADR 38.

Sources: Paillier 1999; Freedman, Ishai, Pinkas and Reingold, Keyword Search and Oblivious Pseudorandom Functions, TCC
2005 (the table); RFC 9497.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from compute.engines import answers as documents
from compute.engines import greeting, identifiers, keeping, link
from compute.engines.base import Engine, Estimate, Learned, Level, Result, SecurityCard, StageContext, Table
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.metadata import DatasetMeta, magnitude
from compute.engines.scoring import answers, cards, consents, disputes, forms, kept
from compute.engines.scoring.engine import MAX_VALUE, check_card, columns_of, kept_model, levels
from compute.protocol import operations
from ledger.proofs import statements

if TYPE_CHECKING:
    from compute.engines.scoring.paired_agency import People
    from compute.engines.scoring.paired_bank import Found

BANK, AGENCY, PARTIES = 0, 1, 2
KEY_BITS = 3072  # 128 bits of security, as much as ristretto255
MIN_SLOTS = 64
MAX_SLOTS = 1 << 15  # an answer of 100 bytes each stays below a part's four megabytes
MAX_ROWS = 1 << 20
DAMAGED = "damaged"
_BYTES_AN_ANSWER = 100


class PairedScoring(Engine):
    """A bank and one agency, no helper; the agency learns how many, the bank its own applicants' points."""

    id: ClassVar[str] = "paillier_scoring/1"
    operation: ClassVar[str] = operations.TWO_PARTY_SCORING
    roles: ClassVar[tuple[str, ...]] = ("requester", "data")
    link_stages: ClassVar[int] = 1
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "gmpy2", "numpy", "phe", "rbcl")
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="mpc",
        protocol="linear form over all rows under the agency's Paillier key of 3072 bits, masked, with uniform "
        "noise; entries opened by verifiable OPRF (RFC 9497, ristretto255-SHA512)",
        adversary_model="semi-honest, two parties, either one corrupted; a requester with other weights learns at most "
        "16 bits of each person that it asks for; who is asked for stays hidden from an agency that deviates",
        assumption_zh="机构按协议构造密钥与各列；3072位的合数剩余判定假设；ristretto255 上的 gap one-more DH 假设"
        "与随机预言机；掩码与噪声的统计距离低于2的-60次方。",
        assumption_en="The agency makes its key and its columns as the protocol says; decisional composite residuosity "
        "modulo 3072 bits; gap one-more Diffie-Hellman in ristretto255 and random oracles; masks and noise are uniform "
        "up to 2^-60.",
        precision_zh="评分卡逐分精确；线性模型与训练所得模型（权重精度2的-18次方）为精确分或高一分，同一人同一模型每次相同。没有原因代码。",
        precision_en="Score cards: exact. Linear and trained models (weights to 2^-18): the exact score or one point "
        "more, the same every time for the same row and model. No reasons.",
        learned=(
            Learned(
                "requester",
                "所问每人在该机构各特征的得分之和（到整分，未截断，至多16位）与据此得出的评分、记录是否存在异议，"
                "或“无记录”、“未获同意”；该机构行数（按1,024取整）与所声明的取值范围。打不开其他任何人的得分。"
                "需求方选择所算的函数，故机构只运算经其审核放行的模型，或与该机构共同训练的模型。",
                "For each person asked for: the sum of points over the agency's features, to the whole point, not cut "
                "to 300 to 850, 16 bits at most, and the score from it; whether the record is disputed; or no record, "
                "or denied consent. The agency's rows in steps of 1,024 and its declared bounds. Nobody else's points "
                "can be opened. The requester chooses the function, so the agency computes only with cards that it has "
                "released, or with a model that was trained with it.",
            ),
            Learned(
                "data_party",
                "申请人数的数量级、模型承诺、小数位数与得分范围的位数；评分卡还有各特征的分段点。"
                "不知道查询了谁、是否命中、分值或权重、得分。",
                "The magnitude of the number of applicants, the model's commitment, its shift and how many bits its "
                "points reach; of a score card also where its cuts lie. Not who is asked, who was found, the points or "
                "weights, or a score.",
            ),
            Learned(
                "exchange",
                "只见到密封的结果、密封的告知与其大小，由此知道申请人数的数量级。",
                "Only a sealed result and sealed notices, whose number tells the magnitude of the number of "
                "applicants.",
            ),
        ),
        cost_zh="对机构全表计算，与申请人数几乎无关：每千行约0.6秒处理器时间，每个分段点再加0.04秒；"
        "与申请人数成正比的只有每人约0.4毫秒。",
        cost_en="The agency's whole table is scored, however few are asked for: 0.6 s of processor time for a thousand "
        "rows, and 0.04 s for each cut or value; an applicant costs 0.4 ms besides.",
    )

    def check(self, parameters: Mapping[str, Any], metas: Mapping[int, DatasetMeta], *, min_group: int) -> None:
        """See Engine.check; a dataset needs an id, the agency's its consents, and numbers of moderate range."""
        del min_group  # an answer is about one person, by that person's consent
        for rank, meta in metas.items():
            meta.check_id()
            names = columns_of(parameters, rank)
            if rank == AGENCY:
                consents.check(meta, names)
                if meta.magnitude > MAX_ROWS:
                    raise EngineRefused("PARTITION_TOO_LARGE", f"More than {MAX_ROWS} rows; divide the table.")
            for name in names:
                meta.check_range(name, MAX_VALUE)

    def derive(self, parameters: Mapping[str, Any], *, rank: int) -> dict[str, Level]:
        """See Engine.derive; features come out as points compared and added up, consents as a refusal."""
        return levels(columns_of(parameters, rank), rank=rank, reached=Level.PLAINTEXT_AFTER_COMPARE)

    def estimate(self, parameters: Mapping[str, Any], *, rows: Sequence[int]) -> Estimate:
        """See Engine.estimate; one core, the agency, from the runs of docs/subsystems/scoring.md."""
        table, asked = rows[AGENCY], max(MIN_SLOTS, rows[BANK])
        columns = 4 * len(columns_of(parameters, AGENCY))  # as many cuts as score cards have
        return Estimate(
            seconds=6 + table * (columns * 40e-6 + 600e-6) + asked * 1e-3,
            memory_mb=300 + table // 1_000,
            bytes_sent=table * (columns * 24 + 250) + asked * 32,
        )

    def run(self, context: StageContext) -> bytes:
        """See Engine.run."""
        from compute.engines import loading  # numeric: only here, in the run's own process

        if context.dataset is None or context.parties != PARTIES:
            raise EngineRefused("JOB_DIFFERS", "This operation needs a requester and one data party.")
        meta = loading.load_meta(context.dataset)
        self.check(context.parameters, {context.rank: meta}, min_group=context.k)
        context.progress("link", 2)
        run = self._answer if context.rank == AGENCY else self._ask
        return run(context, context.dataset, meta)

    def _answer(self, context: StageContext, dataset: Path, meta: DatasetMeta) -> bytes:
        """The agency's side; its part holds nothing."""
        from compute.engines.scoring import paired_agency

        named, columns = context.parameters["model"], columns_of(context.parameters, AGENCY)
        with link.connect(context) as mesh:
            greeting.check_jobs(context, mesh)
            model = kept_model(context)
            if model is None:
                kept.check_released(kept.directory(context), named["commitment"])  # before a key is made or a row read
            seed = keeping.secret(keeping.directory(context, "secrets") / "seed")
            table = _table(context, dataset, meta)
            bounds = [(meta.numeric(name).minimum, meta.numeric(name).maximum) for name in columns]
            own = {"rows": paired_agency.padded(len(table.ids or ())), "bounds": bounds}
            slots = _slots(greeting.tell(mesh, BANK, own).get("slots"))
            if model is None:
                said = greeting.load(mesh.exchange({BANK: b""})[BANK])
                shape = forms.read_told(said, columns=columns, bounds=bounds)
            else:
                shape = forms.trained_shape(len(columns))
            people = _people(context, dataset, table, shape, model=model)
            context.progress("compute", 10)
            paired_agency.Agency(
                mesh,
                shape,
                seed=seed,
                card=named["commitment"],
                slots=slots,
                work_dir=context.work_dir,
                progress=context.progress,
                bits=KEY_BITS,
            ).answer(people)
            mesh.conclude()
        context.progress("part", 100)
        return documents.write_nothing(engine=self.id, context=context)

    def _ask(self, context: StageContext, dataset: Path, meta: DatasetMeta) -> bytes:
        """The bank's side; its part holds the answers."""
        from compute.engines.scoring import paired_bank

        named = context.parameters["model"]
        columns = columns_of(context.parameters, AGENCY)
        with link.connect(context) as mesh:
            greeting.check_jobs(context, mesh)
            model = _model(context)
            table = _table(context, dataset, meta)
            persons = [identifiers.canonical(one) for one in table.ids or ()]
            slots = _slots(max(MIN_SLOTS, magnitude(len(persons))))
            told = greeting.tell(mesh, AGENCY, {"slots": slots})
            rows, bounds = _greeted(told, columns=len(columns))
            form, own = _weighed(context, model, table, bounds=bounds)
            if isinstance(model, cards.Card):
                mesh.exchange({AGENCY: greeting.dump(forms.told(form.shape))})
            context.progress("compute", 10)
            bank = paired_bank.Bank(
                mesh,
                form,
                rows=rows,
                slots=slots,
                work_dir=context.work_dir,
                progress=context.progress,
                bits=KEY_BITS,
            )
            found = bank.ask(list(dict.fromkeys(persons)))
            mesh.conclude()
        shift = form.shape.shift
        rows_of = [answer(row, found[one], own=own[row], shift=shift) for row, one in enumerate(persons)]
        context.progress("part", 100)
        size = _BYTES_AN_ANSWER * slots + 4096
        return documents.write(document(named["version"], rows_of), engine=self.id, context=context, size=size)

    def open(self, parts: Sequence[bytes], *, job: Mapping[str, Any], request: Mapping[str, Any]) -> Result:
        """See Engine.open."""
        digest = statements.digest(job)
        found = documents.read(
            parts, engine=self.id, job_digest=digest, ranks=len(job["parties"]), kind=answers.RESULT_TYPE
        )
        if found.document.get("model_version") != request["parameters"]["model"]["version"]:
            raise PartInvalid("The part answers with another model; report the run to the exchange.")
        return found


def answer(row: int, found: "Found | None", *, own: int, shift: int) -> dict[str, Any]:
    """One row of the result, as `answers.unpack` gives it, without reasons.

    Args:
        own: what the bank's own columns contribute, in the card's units.
    """
    told: dict[str, Any] = {"row": row, "status": answers.NO_RECORD, "score": None, "reasons": [], "disputed": False}
    if found is None:
        return told
    if found.total is None:
        return told | {"status": DAMAGED if found.is_damaged else answers.DENIED}
    score = max(cards.LOWEST, min(cards.HIGHEST, (found.total + own) >> shift))
    return told | {"status": answers.SCORED, "score": score, "disputed": found.is_disputed}


def document(version: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The result document of schema credit_scores/v2; damaged entries are counted where there are any."""
    found = answers.CreditScores(version, tuple(rows)).describe()
    if damaged := sum(row["status"] == DAMAGED for row in rows):
        found["counts"][DAMAGED] = damaged
    return found


def _table(context: StageContext, dataset: Path, meta: DatasetMeta) -> Table:
    from compute.engines import loading

    names = columns_of(context.parameters, context.rank)
    return loading.load_table(dataset, meta, values=names, blocks=False, ids=True)


def _model(context: StageContext) -> cards.Card | kept.SharedModel:
    """The bank's card, or its piece of a trained model, that the request names."""
    model = kept_model(context)
    if model is not None:
        return model
    card = cards.Card.read(kept.read_card(kept.directory(context), context.parameters["model"]["commitment"]))
    check_card(card, context)
    return card


def _weighed(
    context: StageContext,
    model: cards.Card | kept.SharedModel,
    table: Table,
    *,
    bounds: Sequence[tuple[int, int]],
) -> tuple[forms.Form, list[int]]:
    """The form over the agency's columns, and what the bank's own columns make of each of its rows."""
    import numpy as np

    from compute.engines.scoring import paired_models

    columns, own = (columns_of(context.parameters, rank) for rank in (AGENCY, BANK))
    rows = len(table.ids or ())
    values = np.stack([table.values[name] for name in own]) if own else np.zeros((0, rows), np.int64)
    if isinstance(model, cards.Card):
        points = [forms.own_points(model, row, skip=len(columns)) for row in values.T.tolist()]
        return forms.form(model, columns=columns, bounds=bounds), points
    named = context.parameters["model"]
    shares = paired_models.shares(model, count=len(columns) + len(own) + 1)[: len(columns)]
    points = paired_models.bank_points(
        paired_models.scaled(values, np.ones_like(values), model=model),
        model=model,
        theirs=len(columns),
        offset=named["offset"],
        factor=named["factor"],
    )
    return forms.trained_form(shares, factor=named["factor"]), points


def _people(
    context: StageContext, dataset: Path, table: Table, shape: forms.Shape, *, model: kept.SharedModel | None = None
) -> "People":
    """The agency's rows as columns of the form, with consents and marks as of now.

    Args:
        model: the agency's piece of a trained model, whose columns are standardised and whose shares add points.
    """
    import numpy as np

    from compute.engines.scoring import paired_agency, paired_models

    ids, directory = table.ids or [], kept.directory(context)
    wanted = f"{context.job['parties'][BANK]['organization']} {context.request['purpose']}"
    names = columns_of(context.parameters, AGENCY)
    allowed = consents.of_rows(dataset, table.meta, names, ids=ids, wanted=wanted, kept=directory)
    own, spouse = np.array(allowed[""], bool), np.array(allowed[consents.SPOUSE], bool)
    usable = np.stack([own & spouse if name.startswith(consents.SPOUSE) else own for name in names])
    values, points = np.stack([table.values[name] for name in names]), []
    if model is None:
        columns = forms.columns(shape, values, usable)
    else:
        standardised = paired_models.scaled(values, usable, model=model)
        columns, factor = list(standardised), context.parameters["model"]["factor"]
        points = paired_models.agency_points(standardised, model=model, factor=factor)
    canonical, marks = [identifiers.canonical(one) for one in ids], disputes.marked(directory)
    return paired_agency.People(
        ids=canonical,
        denied=[not one for one in allowed[""]],
        disputed=[one in marks for one in canonical],
        columns=columns,
        values=np.concatenate([values, usable.astype(np.int64)]),
        points=points,
    )


def _slots(value: Any) -> int:
    """The padded number of applicants; EngineRefused for what is none or too many."""
    if not isinstance(value, int) or isinstance(value, bool) or value < MIN_SLOTS or value & (value - 1):
        raise greeting.differs("A peer's greeting cannot be read; check the versions.")
    if value > MAX_SLOTS:
        raise EngineRefused("PARTITION_TOO_LARGE", "More applicants than one run may have; divide the request.")
    return value


def _greeted(told: Mapping[str, Any], *, columns: int) -> tuple[int, list[tuple[int, int]]]:
    """The agency's padded rows and declared bounds; EngineRefused JOB_DIFFERS."""
    try:
        rows, bounds = int(told["rows"]), [(int(low), int(high)) for low, high in told["bounds"]]
    except (KeyError, TypeError, ValueError):
        raise greeting.differs("A peer's greeting cannot be read; check the versions.") from None
    is_bounded = all(-MAX_VALUE <= low <= high <= MAX_VALUE for low, high in bounds)
    if not 0 < rows <= MAX_ROWS or rows % 1024 or len(bounds) != columns or not is_bounded:
        raise greeting.differs("The agency has other columns than the request names; check the datasets.")
    return rows, bounds
