"""Logistic regression over the columns of several agencies and a bank's labels: `aby3_training/1`.

The parties, the key and the hidden join are those of `engine`. Each owner standardises its own columns by its own rows
and keeps how. The circuit then runs mini-batch gradient descent over the rows that all agencies know and may use; the
others weigh nothing, and which those are stays a secret bit. No gradient, no loss and no weight is opened: at the end
each of the three keeps its share of the weights on its node, under the computation's id. A scoring that names this id
uses them there. The result document names the model and its columns and holds nothing of its weights.

Source: Mohassel and Rindal, ABY3, CCS 2018, section 6 (gradient descent on shares); the sigmoid is the library's
exponential and reciprocal, so that the model is that of the clear up to fixed-point rounding.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from compute.engines.scoring import consents, kept
from compute.engines.scoring.engine import MAX_VALUE, PARTIES, REQUESTER, columns_of, levels
from compute.protocol import operations
from ledger.proofs import canonical, statements

RESULT_TYPE = "trained_model/v1"
MINIMUM_ROWS = 100  # usable rows of each owner: below that, its mean and spread tell too much of one row


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """The result: which model there is now and over which columns; the weights stay shared."""

    version: str
    commitment: str
    features: tuple[tuple[str, ...], ...]

    def describe(self) -> dict[str, Any]:
        """The result document of schema trained_model/v1."""
        return {
            "type": RESULT_TYPE,
            "model_version": self.version,
            "commitment": self.commitment,
            "features": [list(columns) for columns in self.features],
        }

    def to_bytes(self) -> bytes:
        """The result document as canonical JSON."""
        return canonical.encode(self.describe())


class ModelTraining(Engine):
    """A requester with labels and three computing parties; safe while no two of the three collude."""

    id: ClassVar[str] = "aby3_training/1"
    operation: ClassVar[str] = operations.MODEL_TRAINING
    roles: ClassVar[tuple[str, ...]] = ("requester", "data", "data", "data")
    link_stages: ClassVar[int] = 2
    packages: ClassVar[tuple[str, ...]] = ("cryptography", "numpy", "spu")
    card: ClassVar[SecurityCard] = SecurityCard(
        technique="mpc",
        protocol="hidden sort-join, then mini-batch gradient descent in SPU ABY3 FM64; weights stay as shares",
        adversary_model="semi-honest, three computing parties, at most one corrupted, also together with the requester",
        assumption_zh="三个计算方按协议执行且任意两方不串通；任意两方合起来可打开模型。",
        assumption_en="The three computing parties follow the protocol and no two of them collude; two of them "
        "together could open the model.",
        precision_zh="定点数18位小数；在真实数据上，AUC与明文训练的同一模型相差不超过0.005。",
        precision_en="Fixed point with 18 binary places; on the real tables the AUC is within 0.005 of the same model "
        "in the clear.",
        learned=(
            Learned(
                "requester",
                "模型版本与特征列名、各机构行数的数量级与所声明的取值范围；没有权重、梯度、损失或匹配情况。",
                "The model's version and columns, the magnitude of each agency's rows and its declared bounds; no "
                "weight, gradient, loss or match.",
            ),
            Learned(
                "data_party",
                "样本数的数量级、其他机构行数的数量级与所声明的取值范围、训练参数；"
                "没有标签、匹配情况、其他机构的取值、梯度或权重。",
                "The magnitude of the number of labelled rows and of the other agencies' rows, declared bounds and the "
                "training's parameters; no label, match, value of another, gradient or weight.",
            ),
            Learned(
                "exchange",
                "只见到密封的份额、密封的告知与其大小，由此知道样本数的数量级。",
                "Only sealed shares and sealed notices, whose number tells the magnitude of the number of samples.",
            ),
        ),
        cost_zh="隐匿连接之外，每步的开销与批量成正比；两核机器（四方共用且繁忙）上，三万人、23列、5轮约两分一刻钟。",
        cost_en="Beside the hidden join, every step costs as its batch; 30,000 persons, 23 columns and five epochs "
        "took two and a quarter minutes on a busy two-core machine shared by all.",
    )

    def check(self, parameters: Mapping[str, Any], metas: Mapping[int, DatasetMeta], *, min_group: int) -> None:
        """See Engine.check; a dataset needs an id and its consents, the requester's a label of 0 and 1."""
        for rank, meta in metas.items():
            meta.check_id()
            names = columns_of(parameters, rank)
            if rank == REQUESTER:
                label = meta.numeric(parameters["label"])
                if (label.minimum, label.maximum, label.scale) != (0, 1, 0):
                    raise EngineRefused("VALUE_NOT_NUMERIC", f"Column {label.name} must be declared from 0 to 1.")
            elif names:
                consents.check(meta, names)
            if meta.magnitude < MINIMUM_ROWS:
                raise EngineRefused("MIN_GROUP_TOO_SMALL", f"A model needs more than {MINIMUM_ROWS} rows; add more.")
            for name in names:
                meta.check_range(name, MAX_VALUE)

    def derive(self, parameters: Mapping[str, Any], *, rank: int) -> dict[str, Level]:
        """See Engine.derive; nothing of a column reaches the buyer."""
        found = levels(columns_of(parameters, rank), rank=rank, reached=Level.ENCRYPTED_ONLY)
        return {**found, parameters["label"]: Level.ENCRYPTED_ONLY} if rank == REQUESTER else found

    def estimate(self, parameters: Mapping[str, Any], *, rows: Sequence[int]) -> Estimate:
        """See Engine.estimate; from the runs of docs/subsystems/training.md."""
        slots, joined = max(64, rows[REQUESTER]), sum(rows[1:]) + 3 * max(64, rows[REQUESTER])
        steps = parameters["epochs"] * max(1, slots // parameters["batch"])
        return Estimate(
            seconds=12 + joined / 5_000 + steps * (0.1 + parameters["batch"] / 5_000),
            memory_mb=400 + joined // 500,
            bytes_sent=1_600 * joined + steps * 4_000 * parameters["batch"],
        )

    def run(self, context: StageContext) -> bytes:
        """See Engine.run."""
        from compute.engines.scoring import parties  # numeric: only here, in the run's own process

        parties.check_roles(context)
        if kept.directory(context) is None:
            raise EngineRefused("ENGINE_ERROR", "The node keeps no state for its engines; give it a directory.")
        context.progress("link", 2)
        with link.connect(context) as mesh:
            context.progress("link", 10)
            model = self._request(context, mesh) if context.rank == REQUESTER else self._compute(context, mesh)
            mesh.stop_watching()
            mesh.broadcast(b"trained")  # kept only once everybody has come to the end
        kept.write(_kept_at(context), model)
        context.progress("part", 100)
        features = [list(columns) for columns in model.features]
        content = {"version": model.version, "commitment": model.commitment, "features": features}
        return write_part(engine=self.id, context=context, content=content)

    def _request(self, context: StageContext, mesh: link.Mesh) -> kept.SharedModel:
        from compute.engines import loading
        from compute.engines.scoring import parties

        meta = loading.load_meta(context.own_dataset)
        self.check(context.parameters, {REQUESTER: meta}, min_group=context.k)
        greeting.check_jobs(context, mesh)
        key = parties.job_key(context, mesh, meta)
        world = parties.greet(context, mesh, meta, cuts=0, shift=0)
        _check_batch(context, world.slots)
        context.progress("match", 20)
        model = _scaling(context, meta)
        found = parties.applicants(context, meta, key, world, label=context.parameters["label"], model=model)
        parties.hand_in(mesh, [found.keys, found.own, found.label])
        return model

    def _compute(self, context: StageContext, mesh: link.Mesh) -> kept.SharedModel:
        from dataclasses import replace

        from compute.engines import loading
        from compute.engines.scoring import circuits, parties, sharing

        meta = None if context.dataset is None else loading.load_meta(context.dataset)
        if meta is not None:
            self.check(context.parameters, {context.rank: meta}, min_group=context.k)
        greeting.check_jobs(context, mesh)
        key = parties.job_key(context, mesh, meta)
        world = parties.greet(context, mesh, meta, cuts=0, shift=0)
        _check_batch(context, world.slots)
        model = _scaling(context, meta)
        mine = None if meta is None else parties.agency_input(context, meta, key, world, model=model)
        layout, slots = world.layout, (world.slots,)
        expected = [("keys", slots), ("own", (layout.own, *slots)), ("label", slots)]
        circuit, found = parties.joined(context, mesh, world, mine=mine, handed_in=expected)
        own = ["own"] if layout.own else []
        program = circuits.with_own(circuits.train(layout, _descent(context.parameters)), layout)
        circuit.run(program, ["label", *own, *found], ["weights"])
        context.progress("compute", 95)
        return replace(model, shares=base64.b64encode(sharing.content(circuit.share("weights"))).decode())

    def open(self, parts: Sequence[bytes], *, job: Mapping[str, Any], request: Mapping[str, Any]) -> TrainedModel:
        """See Engine.open; every party names the same model, this computation's."""
        found = read_parts(parts, engine=self.id, job_digest=statements.digest(job), ranks=PARTIES)
        named = [(part.get("version"), part.get("commitment"), part.get("features")) for part in found]
        parameters = request["parameters"]
        features = [parameters["own"], *(item["columns"] for item in parameters["features"])]
        if any(one != named[0] for one in named) or named[0][0] != job["id"] or named[0][2] != features:
            raise PartInvalid("The parts do not name the same model; report the run to the exchange.")
        version, commitment, _ = named[0]
        return TrainedModel(str(version), str(commitment), tuple(tuple(names) for names in features))


def _scaling(context: StageContext, meta: DatasetMeta | None) -> kept.SharedModel:
    """This party's piece of the model before there are weights: its own columns' means and spreads.

    Raises:
        EngineRefused: MIN_GROUP_TOO_SMALL when too few rows of a column may be used.
    """
    from compute.engines.scoring import parties

    means: list[float] = []
    spreads: list[float] = []
    if meta is not None and parties.columns(context):
        values, allowed = parties.usable(context, meta)
        for column, is_allowed in zip(values, allowed, strict=True):
            usable = column[is_allowed == 1]
            if usable.size < MINIMUM_ROWS:
                raise EngineRefused("MIN_GROUP_TOO_SMALL", f"A model needs {MINIMUM_ROWS} usable rows; add more.")
            means.append(float(usable.mean()))
            spreads.append(float(usable.std()) or 1.0)
    return kept.SharedModel(
        version=str(context.job["id"]),
        organizations=parties.organizations(context),
        features=parties.feature_columns(context),
        rank=context.rank,
        shares=None,
        means=tuple(means),
        spreads=tuple(spreads),
    )


def _descent(parameters: Mapping[str, Any]) -> Any:
    from compute.engines.scoring import circuits

    return circuits.Descent(
        epochs=parameters["epochs"],
        batch=parameters["batch"],
        rate=parameters["rate_thousandths"] / 1000,
        decay=parameters["decay_millionths"] / 1_000_000,
    )


def _check_batch(context: StageContext, slots: int) -> None:
    batch = context.parameters["batch"]
    if batch > slots or slots % batch:
        raise EngineRefused("JOB_DIFFERS", "The batch is larger than the padded rows; choose a smaller power of two.")


def _kept_at(context: StageContext) -> Any:
    found = kept.directory(context)
    if found is None:
        raise EngineRefused("ENGINE_ERROR", "The node keeps no state for its engines; give it a directory.")
    return found
