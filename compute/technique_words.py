"""The words of the policy matrix: techniques, tasks, facts, controls, conditions, rows and decisions (pure)."""

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
