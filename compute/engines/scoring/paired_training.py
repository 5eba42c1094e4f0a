"""A logistic model over one agency's columns and a bank's own, between the two alone: `paillier_training/1`.

1. Each owner standardises its columns by its own usable rows and keeps how (as in `training.py`).
2. The bank opens, for each of its persons, the place of that person's row at the agency (`entries.py`): so the bank
   knows whom the agency has with consent, and the agency not who was asked for.
3. Second moments over the rows that both have, under the agency's key, as two shares (`moments.py`).
4. Gradient descent on the shares (`descents.py`). Weights of the agency's columns stay two shares, one at each node;
   those of the bank's own columns, and the constant, are the bank's.

The sigmoid is its first Taylor term, 1/2 + z/4, so that the loss is quadratic and no row is met twice (Hardy et al.
2017).
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from compute.engines import greeting, identifiers, link
from compute.engines.base import Estimate, Learned, SecurityCard, StageContext, read_parts, write_part
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.metadata import DatasetMeta, magnitude
from compute.engines.scoring import consents, kept
from compute.engines.scoring.engine import columns_of
from compute.engines.scoring.paired import AGENCY, BANK, KEY_BITS, MAX_ROWS, MAX_SLOTS, MIN_SLOTS, PARTIES
from compute.engines.scoring.training import MINIMUM_ROWS, ModelTraining, TrainedModel
from compute.protocol import operations
from ledger.proofs import statements

if TYPE_CHECKING:
    from compute.engines.scoring.moments import Plan


class PairedTraining(ModelTraining):
    """A bank with labels and one agency, no helper; neither has the weights of the agency's columns."""

    id: ClassVar[str] = "paillier_training/1"
    operation: ClassVar[str] = operations.TWO_PARTY_TRAINING
    roles: ClassVar[tuple[str, ...]] = ("requester", "data")
    link_stages: ClassVar[int] = 1
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "gmpy2", "numpy", "phe", "rbcl")
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="mpc",
        protocol="rows found by verifiable OPRF (RFC 9497), second moments under the agency's Paillier key of 3072 "
        "bits, gradient descent on shares modulo 2^128",
        adversary_model="semi-honest, two parties, either one corrupted",
        assumption_zh="双方按协议执行；3072位的合数剩余判定假设；ristretto255 上的 gap one-more DH 假设与随机预言机；"
        "掩码与噪声的统计距离低于2的-60次方。双方合谋即可打开模型。",
        assumption_en="Both parties follow the protocol; decisional composite residuosity modulo 3072 bits; gap "
        "one-more Diffie-Hellman in ristretto255 and random oracles; masks and noise are uniform up to 2^-60. Both "
        "together can open the model.",
        precision_zh="S形函数取一阶泰勒展开（0.5+z/4）；权重与同一模型的明文下降相差不超过0.001；"
        "与收敛的逻辑回归相比，真实数据上AUC低0.004至0.006。",
        precision_en="The sigmoid is its first Taylor term, 0.5 + z/4; weights are within 0.001 of the same descent in "
        "the clear. Against the converged logistic regression the AUC on the real tables is lower by 0.004 to 0.006.",
        learned=(
            Learned(
                "requester",
                "自己的样本中哪些人在该机构有记录且已同意；自己各列与常数项的权重；该机构行数（按1,024取整）。"
                "不知道机构各列的权重、取值、矩或梯度。",
                "Which of its persons the agency has with consent; the weights of its own columns and the constant; "
                "the agency's rows in steps of 1,024. No weight of the agency's columns, no value, moment or gradient.",
            ),
            Learned(
                "data_party",
                "样本数的数量级与训练参数；若共有者不足100人，则知道不足。不知道标签、哪些人共有、共有多少人、"
                "任何矩、梯度或权重。",
                "The magnitude of the number of labelled rows and the training's parameters; that fewer than 100 are "
                "in both, where it is so. No label, not who or how many are in both, no moment, gradient or weight.",
            ),
            Learned(
                "exchange",
                "只见到密封的模型名称、密封的告知与其大小，由此知道样本数的数量级。",
                "Only the model's name, sealed, and sealed notices, whose number tells the magnitude of the samples.",
            ),
        ),
        cost_zh="与机构行数成正比：每千行、每密文约1.3秒处理器时间（10列为4个密文）；每步约0.5秒（24列）。",
        cost_en="As the agency's rows: 1.3 s of processor time for a thousand rows and each ciphertext of a row (four "
        "for ten columns); half a second a step for 24 columns.",
    )

    def estimate(self, parameters: Mapping[str, Any], *, rows: Sequence[int]) -> Estimate:
        """See Engine.estimate; the agency on one core, from the runs of docs/subsystems/training.md."""
        theirs, own = len(columns_of(parameters, AGENCY)), len(columns_of(parameters, BANK)) + 1
        ciphertexts = 1 + -(-theirs * (theirs + 1) // 40)
        return Estimate(
            seconds=8 + rows[AGENCY] * ciphertexts * 1.3e-3 + parameters["steps"] * (theirs + own) * 20e-3,
            memory_mb=300 + rows[AGENCY] // 500,
            bytes_sent=rows[AGENCY] * (ciphertexts * KEY_BITS // 4 + 250),
        )

    def run(self, context: StageContext) -> bytes:
        """See Engine.run."""
        from compute.engines import loading  # numeric: only here, in the run's own process

        if context.dataset is None or context.parties != PARTIES:
            raise EngineRefused("JOB_DIFFERS", "This operation needs a requester and one data party.")
        directory = kept.directory(context)
        if directory is None:
            raise EngineRefused("ENGINE_ERROR", "The node keeps no state for its engines; give it a directory.")
        meta = loading.load_meta(context.dataset)
        self.check(context.parameters, {context.rank: meta}, min_group=context.k)
        context.progress("link", 2)
        with link.connect(context) as mesh:
            greeting.check_jobs(context, mesh)
            context.progress("match", 10)
            train = _at_agency if context.rank == AGENCY else _at_bank
            model = train(context, mesh, context.dataset, meta)
            mesh.conclude()  # kept only once both have come to the end
        kept.write(directory, model)
        context.progress("part", 100)
        features = [list(columns) for columns in model.features]
        content = {"version": model.version, "commitment": model.commitment, "features": features}
        return write_part(engine=self.id, context=context, content=content)

    def open(self, parts: Sequence[bytes], *, job: Mapping[str, Any], request: Mapping[str, Any]) -> TrainedModel:
        """See Engine.open; both parties name the same model, this computation's."""
        found = read_parts(parts, engine=self.id, job_digest=statements.digest(job), ranks=PARTIES)
        named = [(part.get("version"), part.get("commitment"), part.get("features")) for part in found]
        columns = [columns_of(request["parameters"], rank) for rank in range(PARTIES)]
        if named[0] != named[1] or named[0][0] != job["id"] or named[0][2] != columns:
            raise PartInvalid("The parts do not name the same model; report the run to the exchange.")
        return TrainedModel(str(named[0][0]), str(named[0][1]), tuple(tuple(names) for names in columns))


def _at_agency(context: StageContext, mesh: link.Mesh, dataset: Path, meta: DatasetMeta) -> kept.SharedModel:
    import secrets

    import numpy as np

    from compute.engines import loading
    from compute.engines.paillier import keys
    from compute.engines.scoring import descents, entries, moments, paired_models
    from compute.engines.scoring.paired_agency import padded

    names = columns_of(context.parameters, AGENCY)
    table = loading.load_table(dataset, meta, values=names, blocks=False, ids=True)
    ids = table.ids or []
    wanted = f"{context.job['parties'][BANK]['organization']} {context.request['purpose']}"
    allowed = consents.of_rows(dataset, meta, names, ids=ids, wanted=wanted, kept=kept.directory(context))
    own, spouse = np.array(allowed[""], bool), np.array(allowed[consents.SPOUSE], bool)
    usable = np.stack([own & spouse if name.startswith(consents.SPOUSE) else own for name in names])
    values, model = paired_models.standardised(
        np.stack([table.values[name] for name in names]), usable, model=_model(context)
    )
    rows = padded(len(ids))
    if rows > MAX_ROWS:
        raise EngineRefused("PARTITION_TOO_LARGE", f"More than {MAX_ROWS} rows; divide the table.")
    told = greeting.tell(mesh, BANK, {"rows": rows})
    plan = _plan(context, rows=rows, slots=told.get("slots"))
    order = np.random.default_rng(secrets.randbits(128)).permutation(rows)[: len(ids)]
    records = {
        identifiers.canonical(person): [(str(place),) if is_allowed else entries.DENIED]
        for person, place, is_allowed in zip(ids, order.tolist(), allowed[""], strict=True)
    }
    entries.hand_out(mesh, records, slots=plan.slots, work_dir=context.work_dir)
    placed = np.zeros((len(names), rows), np.int64)
    placed[:, order] = values
    owner = keys.generate(KEY_BITS)
    found = moments.of_agency(mesh, plan, owner, placed, context.progress)
    weights = descents.of_agency(mesh, plan, owner, found, context.progress)
    mesh.exchange({BANK: paired_models.write_shares(weights[plan.theirs :])})
    return replace(model, shares=base64.b64encode(paired_models.write_shares(weights[: plan.theirs])).decode())


def _at_bank(context: StageContext, mesh: link.Mesh, dataset: Path, meta: DatasetMeta) -> kept.SharedModel:
    import numpy as np

    from compute.engines import loading
    from compute.engines.encrypted_table import Reader
    from compute.engines.scoring import descents, entries, moments, paired_models

    names, label = columns_of(context.parameters, BANK), context.parameters["label"]
    table = loading.load_table(dataset, meta, values=[*names, label], blocks=False, ids=True)
    persons = [identifiers.canonical(one) for one in table.ids or ()]
    values = np.stack([table.values[name] for name in names]) if names else np.zeros((0, len(persons)), np.int64)
    values, model = paired_models.standardised(values, np.ones_like(values, bool), model=_model(context))
    slots = max(MIN_SLOTS, magnitude(len(persons)))
    told = greeting.tell(mesh, AGENCY, {"slots": slots})
    plan = _plan(context, rows=told.get("rows"), slots=slots)
    path, key = entries.take_table(mesh, context.work_dir)
    opened = entries.outputs(mesh, persons, key, slots=plan.slots)
    with Reader(path) as reader:
        places = [place_of(entries.read(reader, output), rows=plan.rows) for output in opened]
    path.unlink()
    met = [row for row, place in enumerate(places) if place is not None]
    if len(met) < MINIMUM_ROWS:
        raise EngineRefused("MIN_GROUP_TOO_SMALL", f"A model needs {MINIMUM_ROWS} rows that both have; add more.")
    own = np.concatenate([values[:, met], np.full((1, len(met)), 1 << moments.VALUE_BITS, np.int64)])
    summer = moments.Summer(
        mesh,
        plan,
        places=[place for place in places if place is not None],
        own=own,
        labels=2 * table.values[label][met] - 1,
    )
    public, found = summer.run(context.progress)
    weights = descents.of_bank(mesh, plan, public, found, context.progress)
    theirs = paired_models.read_shares(mesh.exchange({AGENCY: b""})[AGENCY], count=plan.own)
    mine = [(one + two) % moments.RING for one, two in zip(weights[plan.theirs :], theirs, strict=True)]
    return replace(
        model, shares=base64.b64encode(paired_models.write_shares([*weights[: plan.theirs], *mine])).decode()
    )


def place_of(records: Sequence[tuple[str, ...]] | None, *, rows: int) -> int | None:
    """The place that a person's entry names; None for strangers, without consent, and for a damaged entry."""
    if not records or len(records[0]) != 1 or not records[0][0].isdecimal() or int(records[0][0]) >= rows:
        return None
    return int(records[0][0])


def _model(context: StageContext) -> kept.SharedModel:
    """This party's piece before there are weights."""
    return kept.SharedModel(
        version=str(context.job["id"]),
        organizations=tuple(str(party["organization"]) for party in context.job["parties"]),
        features=tuple(tuple(columns_of(context.parameters, rank)) for rank in range(PARTIES)),
        rank=context.rank,
        shares=None,
        means=(),
        spreads=(),
    )


def _plan(context: StageContext, *, rows: Any, slots: Any) -> "Plan":
    """What both know; EngineRefused for what a party cannot have said."""
    from compute.engines.scoring.moments import Plan

    if not all(isinstance(one, int) and not isinstance(one, bool) for one in (rows, slots)):
        raise greeting.differs("A peer's greeting cannot be read; check the versions.")
    if slots > MAX_SLOTS or rows > MAX_ROWS:
        raise EngineRefused("PARTITION_TOO_LARGE", "More rows than one run may have; divide the request.")
    if slots < MIN_SLOTS or slots & (slots - 1) or rows < 1 or rows % 1024:
        raise greeting.differs("A peer's greeting cannot be read; check the versions.")
    wanted = context.parameters
    return Plan(
        theirs=len(columns_of(wanted, AGENCY)),
        own=len(columns_of(wanted, BANK)) + 1,
        rows=rows,
        slots=slots,
        bits=KEY_BITS,
        steps=wanted["steps"],
        rate=wanted["rate_thousandths"],
        decay=wanted["decay_millionths"],
    )
