"""Which technique may touch which data: the policy matrix of the exchange, as one table (pure).

Deny by default: what no row names is refused. `TABLE` rows are read from the top and the first that
matches decides the techniques; every `OVERLAYS` row that matches then narrows the answer, adds
controls or stops it. Several products are judged one by one and `combine`d to the strictest answer.
The table is judged again whenever a computation is authorized: grade, consent and certificate may
have changed since the product was listed.

Source: the exchange's domain rules, policy matrix P0 to P19 (DSL, PIPL, NDSR, JR/T 0197, HGR and
others; `docs/subsystems/dispatch.md` says how the rows are read).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

VERSION = 1  # raise it with every change of a row; authorizations name it
DENIED = "P-NONE"  # the answer when no row matches
FLOOR_MIN_CELL = 10


class Technique(StrEnum):
    """How a computation is carried out."""

    MPC = "mpc"
    PSI = "psi"
    PIR = "pir"
    FL = "fl"
    HE = "he"
    TEE = "tee"
    SANDBOX = "sandbox"
    API = "api"
    FILE = "file"


class TaskKind(StrEnum):
    """What is computed, in the words of the product tests for privacy computing (CAICT, YD/T)."""

    ARITH = "arith"
    JOINT_STATS = "joint_stats"
    SQL = "sql"
    PIR = "pir"
    PSI = "psi"
    CONSISTENCY = "consistency"
    VERIFICATION = "verification"
    FEATURE_ENG = "feature_eng"
    TRAIN = "train"
    PREDICT = "predict"


class Classification(StrEnum):
    """The national class of the data (GB/T 43697)."""

    GENERAL = "general"
    IMPORTANT = "important"
    CORE = "core"
    CLASSIFIED = "classified"  # state secret, work secret, military


class Personal(StrEnum):
    """Whether the data is about natural persons (PIPL 4 and 28)."""

    NONE = "none"
    ORDINARY = "ordinary"
    SENSITIVE = "sensitive"


class Flag(StrEnum):
    """Facts beside class, grade and task: about the data, the use, or evidence on file."""

    MINORS = "minors"
    GENETIC_RAW = "genetic_raw"
    PUBLIC_DATA = "public_data"
    FOREIGN_BUYER = "foreign_buyer"
    LEAVES_MAINLAND = "leaves_mainland"
    EXPORT_APPROVED = "export_approved"
    STATUTORY_DUTY = "statutory_duty"
    NEW_ALGORITHM = "new_algorithm"
    NEW_PURPOSE = "new_purpose"
    PROFILING = "profiling"
    LEGAL_BASIS = "legal_basis"
    SEPARATE_CONSENT = "separate_consent"
    GUARDIAN_CONSENT = "guardian_consent"
    RISK_ASSESSED = "risk_assessed"
    REGULATOR_REFERENCE = "regulator_reference"
    ETHICS_APPROVED = "ethics_approved"
    OPERATOR_AUTHORISED = "operator_authorised"


class Control(StrEnum):
    """What must hold besides the technique."""

    MIN_CELL = "min_cell"
    PROTECTED_RELEASE = "protected_release"  # whole fixed blocks of at least k persons, or differential privacy
    MANUAL_REVIEW = "manual_review"
    PER_RUN_CONSENT = "per_run_consent"
    LEGAL_BASIS = "legal_basis"
    SEPARATE_CONSENT = "separate_consent"
    WRITTEN_CONSENT = "written_consent"
    GUARDIAN_CONSENT = "guardian_consent"
    ALGORITHM_LISTED = "algorithm_listed"
    RISK_ASSESSMENT = "risk_assessment"
    REGULATOR_REFERENCE = "regulator_reference"
    NO_EXPORT = "no_export"
    STICKY_ANONYMITY_SET = "sticky_anonymity_set"
    NO_RECORD_GRADIENTS = "no_record_gradients"
    DP_ON_MODEL = "dp_on_model"
    ETHICS_CHECK = "ethics_check"
    AUTHORISED_OPERATOR = "authorised_operator"
    RAW_STAYS_IN_DOMAIN = "raw_stays_in_domain"
    YEARLY_AUDIT = "yearly_audit"
    CASE_DOCUMENT = "case_document"


class Verdict(StrEnum):
    """Allowed as planned; held for a person to decide; or refused without override."""

    ALLOWED = "allowed"
    HELD = "held"
    REJECTED = "rejected"


# Controls that stand on evidence: without the flag the run waits for staff.
EVIDENCE: dict[Control, frozenset[Flag]] = {
    Control.LEGAL_BASIS: frozenset({Flag.LEGAL_BASIS, Flag.SEPARATE_CONSENT, Flag.STATUTORY_DUTY}),
    Control.SEPARATE_CONSENT: frozenset({Flag.SEPARATE_CONSENT, Flag.STATUTORY_DUTY}),
    Control.WRITTEN_CONSENT: frozenset({Flag.SEPARATE_CONSENT}),
    Control.GUARDIAN_CONSENT: frozenset({Flag.GUARDIAN_CONSENT, Flag.STATUTORY_DUTY}),
    Control.RISK_ASSESSMENT: frozenset({Flag.RISK_ASSESSED}),
    Control.REGULATOR_REFERENCE: frozenset({Flag.REGULATOR_REFERENCE}),
    Control.ETHICS_CHECK: frozenset({Flag.ETHICS_APPROVED}),
    Control.AUTHORISED_OPERATOR: frozenset({Flag.OPERATOR_AUTHORISED}),
    Control.CASE_DOCUMENT: frozenset({Flag.LEGAL_BASIS}),
}

# Purposes that the exchange has approved, with the facts each brings along. Any other is new (row P19).
PURPOSES: dict[str, frozenset[Flag]] = {
    "credit_risk_statistics": frozenset(),
    "policy_research": frozenset(),
    "public_statistics": frozenset(),
    "product_research": frozenset(),
    "insurance_actuarial": frozenset(),
    "credit_scoring": frozenset({Flag.PROFILING}),
    "marketing": frozenset({Flag.PROFILING}),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about one product and the use asked for.

    Args:
        grade: 1 to 4, the sub-level of general data (GB/T 43697 annex H); 4 is the most harmful.
        sector: `finance` or `health` where a sector's own levels apply, else empty.
        sector_level: the sector's own level, 1 to 5, or None.
    """

    task: TaskKind
    grade: int
    classification: Classification = Classification.GENERAL
    personal: Personal = Personal.NONE
    sector: str = ""
    sector_level: int | None = None
    purpose: str = ""
    flags: frozenset[Flag] = frozenset()

    def all_flags(self) -> frozenset[Flag]:
        """The flags, and those the purpose brings along."""
        return self.flags | PURPOSES.get(self.purpose, frozenset({Flag.NEW_PURPOSE}))


@dataclass(frozen=True, slots=True)
class When:
    """A condition; what is left None matches anything. `flags` must all be there, `without` none."""

    classifications: frozenset[Classification] | None = None
    grades: frozenset[int] | None = None
    personal: frozenset[Personal] | None = None
    tasks: frozenset[TaskKind] | None = None
    not_tasks: frozenset[TaskKind] = frozenset()
    sector: str | None = None
    sector_levels: frozenset[int] | None = None
    flags: frozenset[Flag] = frozenset()
    without: frozenset[Flag] = frozenset()

    def matches(self, facts: Facts) -> bool:
        flags = facts.all_flags()
        return (
            (self.classifications is None or facts.classification in self.classifications)
            and (self.grades is None or facts.grade in self.grades)
            and (self.personal is None or facts.personal in self.personal)
            and (self.tasks is None or facts.task in self.tasks)
            and facts.task not in self.not_tasks
            and (self.sector is None or facts.sector == self.sector)
            and (self.sector_levels is None or facts.sector_level in self.sector_levels)
            and self.flags <= flags
            and not self.without & flags
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One row: any of its conditions makes it apply. `allowed=None` (overlays only) leaves the set as it is."""

    rule: str
    when: tuple[When, ...]
    zh: str
    en: str
    verdict: Verdict = Verdict.ALLOWED
    allowed: frozenset[Technique] | None = frozenset()
    controls: frozenset[Control] = frozenset()
    waives: frozenset[Control] = frozenset()
    min_cell: int = FLOOR_MIN_CELL

    def matches(self, facts: Facts) -> bool:
        return any(condition.matches(facts) for condition in self.when)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer: the row that fired, what is allowed, and what must hold; shown to staff as it is."""

    rule: str
    verdict: Verdict
    allowed: frozenset[Technique]
    controls: frozenset[Control]
    min_cell: int
    zh: str
    en: str
    overlays: tuple[str, ...] = ()
    missing: frozenset[Control] = field(default_factory=frozenset)
    version: int = VERSION

    @property
    def needs_review(self) -> bool:
        """Whether a reviewer of the exchange must look at this run before anyone consents."""
        return self.verdict is Verdict.HELD or Control.MANUAL_REVIEW in self.controls

    @property
    def needs_run_consent(self) -> bool:
        """Whether standing consent is not enough: each provider answers for this run."""
        return Control.PER_RUN_CONSENT in self.controls

    def permits(self, technique: Technique) -> bool:
        return self.verdict is not Verdict.REJECTED and technique in self.allowed


_GENERAL = frozenset({Classification.GENERAL})
_NO_PI = frozenset({Personal.NONE})
_PI = frozenset({Personal.ORDINARY, Personal.SENSITIVE})
_ORDINARY = frozenset({Personal.ORDINARY})
_SENSITIVE = frozenset({Personal.SENSITIVE})
_STATISTICS = frozenset({TaskKind.JOINT_STATS, TaskKind.SQL})
_LEARNING = frozenset({TaskKind.TRAIN, TaskKind.PREDICT})
_LOOKUPS = frozenset({TaskKind.PIR, TaskKind.PSI, TaskKind.VERIFICATION, TaskKind.CONSISTENCY})
_AGGREGATES = frozenset({Control.MIN_CELL, Control.PROTECTED_RELEASE})
_LOOKUP_CONTROLS = frozenset({Control.SEPARATE_CONSENT, Control.STICKY_ANONYMITY_SET, Control.PER_RUN_CONSENT})
_T = Technique


def _set(*techniques: Technique) -> frozenset[Technique]:
    return frozenset(techniques)


TABLE: tuple[Row, ...] = (
    Row(
        "P0",
        (When(classifications=frozenset({Classification.CLASSIFIED})),),
        "国家秘密、工作秘密和军事数据不得登记、不得交易。",
        "State secrets, work secrets and military data are neither registered nor traded.",
        Verdict.REJECTED,
    ),
    Row(
        "P1",
        (When(classifications=frozenset({Classification.CORE})),),
        "核心数据不得在本所交易。",
        "Core data is not traded on this exchange.",
        Verdict.REJECTED,
    ),
    Row(
        "P11",
        (When(sector="finance", sector_levels=frozenset({5})),),
        "金融五级数据不得离开持有者。",
        "Financial data of level 5 does not leave its owner.",
        Verdict.REJECTED,
    ),
    Row(
        "P12",
        (When(sector="finance", sector_levels=frozenset({4}), classifications=_GENERAL, tasks=_LOOKUPS),),
        "金融四级数据只能以密态核验给出“是”或“否”，并须书面同意。",
        "Financial data of level 4 answers only yes or no, under cryptography, with written consent.",
        allowed=_set(_T.MPC, _T.PIR),
        controls=frozenset({Control.WRITTEN_CONSENT, Control.PER_RUN_CONSENT}),
    ),
    Row(
        "P12",
        (When(sector="finance", sector_levels=frozenset({4})),),
        "金融四级数据除核验外不得用于其他任务。",
        "Financial data of level 4 serves no task but verification.",
        Verdict.REJECTED,
    ),
    Row(
        "P13",
        (
            When(
                sector="finance",
                sector_levels=frozenset({3}),
                classifications=_GENERAL,
                personal=_PI,
                tasks=_STATISTICS,
            ),
        ),
        "金融三级个人信息的联合统计：仅限多方安全计算或经证明的可信执行环境，受最小单元保护。",
        "Joint statistics over personal financial data of level 3: MPC or an attested TEE, with a minimum cell.",
        allowed=_set(_T.MPC, _T.TEE),
        controls=_AGGREGATES | {Control.LEGAL_BASIS},
    ),
    Row(
        "P13",
        (
            When(
                sector="finance",
                sector_levels=frozenset({3}),
                classifications=_GENERAL,
                personal=_PI,
                tasks=_LEARNING,
            ),
        ),
        "金融三级个人信息的建模：联邦学习加同态加密，或多方安全计算。",
        "Modelling over personal financial data of level 3: federated learning with HE, or MPC.",
        allowed=_set(_T.FL, _T.HE, _T.MPC),
        controls=frozenset({Control.NO_RECORD_GRADIENTS, Control.DP_ON_MODEL, Control.LEGAL_BASIS}),
    ),
    Row(
        "P13",
        (When(sector="finance", sector_levels=frozenset({3}), classifications=_GENERAL, personal=_PI, tasks=_LOOKUPS),),
        "金融三级个人信息的核验：匿踪查询、隐私求交或多方安全计算，逐次授权。",
        "Look-ups in personal financial data of level 3: PIR, PSI or MPC, authorised run by run.",
        allowed=_set(_T.PIR, _T.PSI, _T.MPC),
        controls=_LOOKUP_CONTROLS,
    ),
    Row(
        "P2",
        (
            When(
                classifications=frozenset({Classification.IMPORTANT}),
                tasks=frozenset({TaskKind.JOINT_STATS, TaskKind.SQL, TaskKind.ARITH}),
            ),
        ),
        "重要数据只在域内以多方安全计算或可信执行环境产出汇总结果，须有风险评估、主管部门文号，并逐次人工复核。",
        "Important data yields aggregates only, in domain, by MPC or TEE: risk assessment and regulator reference on "
        "file, each output reviewed by a person, no export.",
        allowed=_set(_T.MPC, _T.TEE),
        controls=_AGGREGATES
        | {Control.RISK_ASSESSMENT, Control.REGULATOR_REFERENCE, Control.MANUAL_REVIEW, Control.NO_EXPORT},
        min_cell=20,
    ),
    Row(
        "P10",
        (
            When(classifications=_GENERAL, personal=_SENSITIVE, tasks=_STATISTICS),
            When(classifications=_GENERAL, personal=_PI, grades=frozenset({4}), tasks=_STATISTICS),
        ),
        "敏感个人信息的联合统计：多方安全计算，最小单元与受保护的发布，查询文本须人工复核。",
        "Joint statistics over sensitive personal information: MPC, a minimum cell, protected release, and a person "
        "reviews the text of the query.",
        allowed=_set(_T.MPC),
        controls=_AGGREGATES | {Control.MANUAL_REVIEW, Control.LEGAL_BASIS},
    ),
    Row(
        "P9",
        (
            When(classifications=_GENERAL, personal=_SENSITIVE, tasks=_LOOKUPS),
            When(classifications=_GENERAL, grades=frozenset({4}), tasks=_LOOKUPS),
        ),
        "四级数据或敏感个人信息的查询与核验：仅限匿踪查询、隐私求交或多方安全计算，须单独同意，逐次授权。",
        "Look-ups in grade 4 or sensitive personal data: PIR, PSI or MPC only, separate consent, authorised run by "
        "run; no sandbox and no plain API.",
        allowed=_set(_T.PIR, _T.PSI, _T.MPC),
        controls=_LOOKUP_CONTROLS,
    ),
    Row(
        "P8",
        (When(classifications=_GENERAL, grades=frozenset({3, 4}), personal=_PI, tasks=_LEARNING),),
        "三、四级个人信息的训练与预测：联邦学习加同态加密或密态机器学习，不得释放单条梯度，模型出域须加噪。",
        "Training and prediction over personal data of grade 3 or 4: federated learning with HE or MPC; no "
        "per-record gradient leaves, an exported model is differentially private and stays in the contract.",
        allowed=_set(_T.FL, _T.HE, _T.MPC),
        controls=frozenset({Control.NO_RECORD_GRADIENTS, Control.DP_ON_MODEL, Control.LEGAL_BASIS}),
    ),
    Row(
        "P7",
        (When(classifications=_GENERAL, grades=frozenset({3}), personal=_ORDINARY, tasks=_STATISTICS),),
        "三级个人信息的联合统计：多方安全计算或经证明的可信执行环境，最小单元与受保护的发布。",
        "Joint statistics over personal data of grade 3: MPC or an attested TEE, with a minimum cell and protected "
        "release.",
        allowed=_set(_T.MPC, _T.TEE),
        controls=_AGGREGATES | {Control.LEGAL_BASIS},
    ),
    Row(
        "P6",
        (When(classifications=_GENERAL, grades=frozenset({3}), personal=_NO_PI),),
        "三级非个人数据（商业秘密）：多方安全计算、经证明的可信执行环境或联邦学习，算法须在白名单内。",
        "Grade 3 without persons (trade secrets): MPC, an attested TEE or federated learning, listed algorithms only.",
        allowed=_set(_T.MPC, _T.TEE, _T.FL),
        controls=frozenset({Control.ALGORITHM_LISTED}),
    ),
    Row(
        "P5",
        (When(classifications=_GENERAL, grades=frozenset({2}), personal=_ORDINARY),),
        "二级个人信息（非敏感）：密态技术，须有同意或其他合法依据，受最小单元保护。",
        "Personal data of grade 2, not sensitive: cryptographic techniques, with consent or another legal basis and a "
        "minimum cell.",
        allowed=_set(_T.TEE, _T.MPC, _T.PSI, _T.PIR, _T.FL),
        controls=_AGGREGATES | {Control.LEGAL_BASIS},
    ),
    Row(
        "P4",
        (When(classifications=_GENERAL, grades=frozenset({2}), personal=_NO_PI),),
        "二级非个人数据：沙箱、可信执行环境、多方安全计算或联邦学习，算法须在白名单内。",
        "Grade 2 without persons: sandbox, TEE, MPC or federated learning, listed algorithms only.",
        allowed=_set(_T.SANDBOX, _T.TEE, _T.MPC, _T.FL),
        controls=frozenset({Control.ALGORITHM_LISTED}),
    ),
    Row(
        "P3",
        (When(classifications=_GENERAL, grades=frozenset({1}), personal=_NO_PI),),
        "一级非个人数据：任何技术，基本控制。",
        "Grade 1 without persons: any technique, basic controls.",
        allowed=_set(_T.SANDBOX, _T.TEE, _T.API, _T.MPC, _T.FILE),
    ),
)

OVERLAYS: tuple[Row, ...] = (
    Row(
        "P14",
        (When(flags=frozenset({Flag.MINORS, Flag.PROFILING})),),
        "不满十四周岁未成年人的信息不得用于画像或营销。",
        "Data about children under 14 is never used for profiling or marketing.",
        Verdict.REJECTED,
    ),
    Row(
        "P14",
        (When(flags=frozenset({Flag.MINORS})),),
        "不满十四周岁未成年人的信息：须监护人同意或法定职责，最小授权，年度审计。",
        "Data about children under 14: guardian consent or statutory duty, least authority, yearly audit.",
        allowed=_set(_T.PIR, _T.PSI, _T.MPC),
        controls=frozenset({Control.GUARDIAN_CONSENT, Control.PER_RUN_CONSENT, Control.YEARLY_AUDIT}),
    ),
    Row(
        "P15",
        (
            When(flags=frozenset({Flag.GENETIC_RAW})),
            When(sector="health", flags=frozenset({Flag.FOREIGN_BUYER})),
            When(sector="health", not_tasks=_STATISTICS | _LEARNING | {TaskKind.ARITH}),
        ),
        "人类遗传资源原始数据不得交易；健康数据不得提供给境外方，且只用于统计与联合建模。",
        "Raw genetic data is not traded; health data serves statistics and joint modelling only, no foreign party.",
        Verdict.REJECTED,
    ),
    Row(
        "P15",
        (When(sector="health"),),
        "健康数据：联邦学习或多方安全计算，须通过伦理与人类遗传资源审查。",
        "Health data: federated learning or MPC, after ethics and human-genetic-resources checks.",
        allowed=_set(_T.FL, _T.MPC),
        controls=frozenset({Control.ETHICS_CHECK}),
    ),
    Row(
        "P16",
        (When(personal=_PI, flags=frozenset({Flag.PUBLIC_DATA})),),
        "公共数据中的个人信息以模型、核验等形式提供，原始数据不出域，须有运营授权与登记编码。",
        "Personal public data is offered as models, checks and statistics; raw data stays in domain, the operator is "
        "authorised and the product registered.",
        allowed=_set(_T.MPC, _T.PSI, _T.PIR, _T.FL, _T.HE, _T.TEE),
        controls=frozenset({Control.AUTHORISED_OPERATOR, Control.RAW_STAYS_IN_DOMAIN}),
    ),
    Row(
        "P17",
        (
            When(flags=frozenset({Flag.FOREIGN_BUYER}), without=frozenset({Flag.EXPORT_APPROVED})),
            When(flags=frozenset({Flag.LEAVES_MAINLAND}), without=frozenset({Flag.EXPORT_APPROVED})),
        ),
        "买方在境外或结果出境：未经批准的出境路径一律阻断。",
        "A foreign buyer, or a result that leaves the mainland, is blocked until its export path is approved.",
        Verdict.REJECTED,
    ),
    Row(
        "P18",
        (When(personal=_PI, flags=frozenset({Flag.STATUTORY_DUTY})),),
        "国家机关依法履职：免于同意，但须有法律依据和案件或批次文书，不得超出职责范围。",
        "A state organ within its statutory duty needs no consent, but a legal basis and a case or batch document.",
        allowed=None,
        controls=frozenset({Control.CASE_DOCUMENT}),
        waives=frozenset({Control.SEPARATE_CONSENT, Control.WRITTEN_CONSENT}),
    ),
    Row(
        "P19",
        (When(flags=frozenset({Flag.NEW_ALGORITHM})), When(flags=frozenset({Flag.NEW_PURPOSE}))),
        "首次使用的算法或新的用途：暂缓，由人工审核。",
        "A first use of an algorithm, or a new purpose, waits for a person to review it.",
        Verdict.HELD,
        allowed=None,
        controls=frozenset({Control.MANUAL_REVIEW}),
    ),
)


def decide(facts: Facts) -> Decision:
    """Judge one product for one use. Pure: the same facts and table version give the same answer."""
    row = next((row for row in TABLE if row.matches(facts)), None)
    if row is None:
        return _refusal(
            DENIED,
            "策略表没有允许这种用法，默认拒绝。",
            "No row of the policy table allows this use; it is refused by default.",
        )
    if row.verdict is Verdict.REJECTED:
        return _refusal(row.rule, row.zh, row.en)
    allowed, controls, min_cell = row.allowed or frozenset(), row.controls, row.min_cell
    fired: list[Row] = [row]
    for overlay in OVERLAYS:
        if not overlay.matches(facts):
            continue
        if overlay.verdict is Verdict.REJECTED:
            return _refusal(overlay.rule, overlay.zh, overlay.en)
        fired.append(overlay)
        allowed = allowed if overlay.allowed is None else allowed & overlay.allowed
        controls = (controls | overlay.controls) - overlay.waives
        min_cell = max(min_cell, overlay.min_cell)
    if not allowed:
        return _refusal(DENIED, "各条规则没有共同允许的技术。", "The rules that apply have no technique in common.")
    missing = frozenset(c for c in controls if c in EVIDENCE and not EVIDENCE[c] & facts.all_flags())
    held = bool(missing) or any(found.verdict is Verdict.HELD for found in fired)
    return Decision(
        rule=row.rule,
        verdict=Verdict.HELD if held else Verdict.ALLOWED,
        allowed=allowed,
        controls=controls,
        min_cell=min_cell,
        zh="".join(found.zh for found in fired),
        en=" ".join(found.en for found in fired),
        overlays=tuple(dict.fromkeys(found.rule for found in fired[1:])),
        missing=missing,
    )


def combine(decisions: Sequence[Decision]) -> Decision:
    """The strictest of several products' answers: techniques in common, controls of all, largest cell.

    Any refusal is the answer. The row named is that of the product with the most controls.
    """
    if not decisions:
        return _refusal(DENIED, "没有可供判断的产品。", "There is no product to judge.")
    refused = next((decision for decision in decisions if decision.verdict is Verdict.REJECTED), None)
    if refused is not None:
        return refused
    allowed = frozenset.intersection(*(decision.allowed for decision in decisions))
    if not allowed:
        return _refusal(DENIED, "各产品没有共同允许的技术。", "The products have no allowed technique in common.")
    strictest = max(decisions, key=lambda decision: (len(decision.controls), decision.min_cell, decision.rule))
    held = any(decision.verdict is Verdict.HELD for decision in decisions)
    return Decision(
        rule=strictest.rule,
        verdict=Verdict.HELD if held else Verdict.ALLOWED,
        allowed=allowed,
        controls=_union(decision.controls for decision in decisions),
        min_cell=max(decision.min_cell for decision in decisions),
        zh=strictest.zh,
        en=strictest.en,
        overlays=tuple(sorted({rule for decision in decisions for rule in decision.overlays})),
        missing=_union(decision.missing for decision in decisions),
    )


def _union(sets: Iterable[frozenset[Control]]) -> frozenset[Control]:
    return frozenset().union(*sets)


def _refusal(rule: str, zh: str, en: str) -> Decision:
    return Decision(rule, Verdict.REJECTED, frozenset(), frozenset(), FLOOR_MIN_CELL, zh, en)
