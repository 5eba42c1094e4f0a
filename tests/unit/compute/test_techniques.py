"""The policy matrix: every row P0 to P19 has a case, and what no row names is refused."""

import dataclasses

import pytest

from compute import techniques
from compute.techniques import (
    Classification,
    Control,
    Facts,
    Flag,
    Personal,
    TaskKind,
    Technique,
    Verdict,
    combine,
    decide,
)

STATS = TaskKind.JOINT_STATS
BASIS = frozenset({Flag.LEGAL_BASIS})
PURPOSE = "credit_risk_statistics"
MPC, TEE, FL, HE, PIR, PSI, SANDBOX, API, FILE = (
    Technique.MPC,
    Technique.TEE,
    Technique.FL,
    Technique.HE,
    Technique.PIR,
    Technique.PSI,
    Technique.SANDBOX,
    Technique.API,
    Technique.FILE,
)


def facts(task=STATS, grade=2, **other):
    return Facts(task=task, grade=grade, purpose=other.pop("purpose", PURPOSE), **other)


ROWS = [
    ("P0", facts(classification=Classification.CLASSIFIED), "rejected", set()),
    ("P1", facts(classification=Classification.CORE), "rejected", set()),
    (
        "P2",
        facts(
            grade=3,
            classification=Classification.IMPORTANT,
            flags=frozenset({Flag.RISK_ASSESSED, Flag.REGULATOR_REFERENCE}),
        ),
        "allowed",
        {MPC, TEE},
    ),
    ("P3", facts(grade=1), "allowed", {SANDBOX, TEE, API, MPC, FILE}),
    ("P4", facts(grade=2), "allowed", {SANDBOX, TEE, MPC, FL}),
    ("P5", facts(grade=2, personal=Personal.ORDINARY, flags=BASIS), "allowed", {TEE, MPC, PSI, PIR, FL}),
    ("P6", facts(grade=3), "allowed", {MPC, TEE, FL}),
    ("P7", facts(grade=3, personal=Personal.ORDINARY, flags=BASIS), "allowed", {MPC, TEE}),
    ("P8", facts(TaskKind.TRAIN, 4, personal=Personal.ORDINARY, flags=BASIS), "allowed", {FL, HE, MPC}),
    (
        "P9",
        facts(TaskKind.PSI, 4, personal=Personal.ORDINARY, flags=frozenset({Flag.SEPARATE_CONSENT})),
        "allowed",
        {PIR, PSI, MPC},
    ),
    ("P10", facts(grade=3, personal=Personal.SENSITIVE, flags=BASIS), "allowed", {MPC}),
    ("P11", facts(sector="finance", sector_level=5), "rejected", set()),
    (
        "P12",
        facts(TaskKind.VERIFICATION, 3, sector="finance", sector_level=4, flags=frozenset({Flag.SEPARATE_CONSENT})),
        "allowed",
        {MPC, PIR},
    ),
    ("P12", facts(grade=3, sector="finance", sector_level=4), "rejected", set()),
    (
        "P13",
        facts(grade=2, personal=Personal.ORDINARY, sector="finance", sector_level=3, flags=BASIS),
        "allowed",
        {MPC, TEE},
    ),
    (
        "P13",
        facts(TaskKind.TRAIN, 2, personal=Personal.ORDINARY, sector="finance", sector_level=3, flags=BASIS),
        "allowed",
        {FL, HE, MPC},
    ),
    (
        "P14",
        facts(grade=2, personal=Personal.ORDINARY, flags=BASIS | {Flag.MINORS}, purpose="marketing"),
        "rejected",
        set(),
    ),
    ("P15", facts(grade=2, sector="health", flags=frozenset({Flag.GENETIC_RAW})), "rejected", set()),
    ("P15", facts(TaskKind.PIR, 2, sector="health"), "rejected", set()),
    ("P17", facts(grade=1, flags=frozenset({Flag.FOREIGN_BUYER})), "rejected", set()),
    ("P17", facts(grade=1, flags=frozenset({Flag.LEAVES_MAINLAND})), "rejected", set()),
]


@pytest.mark.parametrize(("rule", "given", "verdict", "allowed"), ROWS, ids=[f"{r[0]}-{i}" for i, r in enumerate(ROWS)])
def test_each_row_gives_its_techniques(rule, given, verdict, allowed):
    decision = decide(given)

    assert (decision.rule, decision.verdict, decision.allowed) == (rule, Verdict(verdict), allowed)
    assert decision.zh
    assert decision.en
    assert decision.version == techniques.VERSION


OVERLAYS = [
    (
        "P14",
        facts(grade=2, personal=Personal.ORDINARY, flags=BASIS | {Flag.MINORS, Flag.GUARDIAN_CONSENT}),
        {MPC, PSI, PIR},
        {Control.GUARDIAN_CONSENT, Control.PER_RUN_CONSENT},
        Verdict.ALLOWED,
    ),
    (
        "P15",
        facts(grade=3, personal=Personal.ORDINARY, sector="health", flags=BASIS | {Flag.ETHICS_APPROVED}),
        {MPC},
        {Control.ETHICS_CHECK},
        Verdict.ALLOWED,
    ),
    (
        "P16",
        facts(grade=2, personal=Personal.ORDINARY, flags=BASIS | {Flag.PUBLIC_DATA, Flag.OPERATOR_AUTHORISED}),
        {MPC, PSI, PIR, FL, TEE},
        {Control.AUTHORISED_OPERATOR, Control.RAW_STAYS_IN_DOMAIN},
        Verdict.ALLOWED,
    ),
    (
        "P18",
        facts(TaskKind.PSI, 4, personal=Personal.SENSITIVE, flags=BASIS | {Flag.STATUTORY_DUTY}),
        {MPC, PSI, PIR},
        {Control.CASE_DOCUMENT},
        Verdict.ALLOWED,
    ),
    (
        "P19",
        facts(grade=1, purpose="something_new"),
        {SANDBOX, TEE, API, MPC, FILE},
        {Control.MANUAL_REVIEW},
        Verdict.HELD,
    ),
    (
        "P19",
        facts(grade=1, flags=frozenset({Flag.NEW_ALGORITHM})),
        {SANDBOX, TEE, API, MPC, FILE},
        {Control.MANUAL_REVIEW},
        Verdict.HELD,
    ),
]


@pytest.mark.parametrize(("rule", "given", "allowed", "controls", "verdict"), OVERLAYS)
def test_overlays_narrow_the_answer_and_add_controls(rule, given, allowed, controls, verdict):
    decision = decide(given)

    assert rule in decision.overlays
    assert decision.allowed == allowed
    assert controls <= decision.controls
    assert decision.verdict is verdict


def test_statutory_duty_waives_consent_and_nothing_else():
    given = facts(TaskKind.PSI, 4, personal=Personal.SENSITIVE, flags=BASIS | {Flag.STATUTORY_DUTY})

    decision = decide(given)

    assert Control.SEPARATE_CONSENT not in decision.controls
    assert Control.PER_RUN_CONSENT in decision.controls


NOT_NAMED = [
    facts(grade=1, personal=Personal.ORDINARY, flags=BASIS),
    facts(TaskKind.PSI, 3, personal=Personal.ORDINARY, flags=BASIS),
    facts(grade=5),
    facts(grade=4),
    facts(TaskKind.TRAIN, 3, classification=Classification.IMPORTANT),
    facts(TaskKind.FEATURE_ENG, 3, personal=Personal.SENSITIVE),
]


@pytest.mark.parametrize("given", NOT_NAMED)
def test_what_no_row_names_is_refused(given):
    decision = decide(given)

    assert (decision.rule, decision.verdict, decision.allowed) == (techniques.DENIED, Verdict.REJECTED, frozenset())


def test_no_personal_row_allows_a_sandbox_a_plain_api_or_a_file():
    for task in TaskKind:
        for grade in range(6):
            for personal in (Personal.ORDINARY, Personal.SENSITIVE):
                assert not decide(facts(task, grade, personal=personal, flags=BASIS)).allowed & {SANDBOX, API, FILE}


def test_personal_data_without_a_legal_basis_waits_for_staff():
    decision = decide(facts(grade=2, personal=Personal.ORDINARY))

    assert decision.verdict is Verdict.HELD
    assert decision.missing == {Control.LEGAL_BASIS}
    assert decision.needs_review


def test_statistics_over_grade_three_persons_need_no_reviewer_but_a_minimum_cell():
    decision = decide(facts(grade=3, personal=Personal.ORDINARY, flags=BASIS))

    assert not decision.needs_review
    assert not decision.needs_run_consent
    assert {Control.MIN_CELL, Control.PROTECTED_RELEASE} <= decision.controls
    assert decision.min_cell == 10


def test_sensitive_statistics_are_read_by_a_person_first():
    assert decide(facts(grade=3, personal=Personal.SENSITIVE, flags=BASIS)).needs_review


def test_several_products_are_judged_by_the_strictest():
    grade_two = decide(facts(grade=2, personal=Personal.ORDINARY, flags=BASIS))
    sensitive = decide(facts(grade=3, personal=Personal.SENSITIVE, flags=BASIS))

    together = combine([grade_two, sensitive])

    assert together.rule == "P10"
    assert together.allowed == {MPC}
    assert together.needs_review
    assert combine([sensitive, grade_two]) == together


def test_one_refused_product_refuses_all():
    core = decide(facts(classification=Classification.CORE))

    assert combine([decide(facts(grade=1)), core]).rule == "P1"
    assert combine([decide(facts(grade=1)), core]).verdict is Verdict.REJECTED


def test_no_product_and_no_common_technique_are_refused():
    lookup_only = dataclasses.replace(decide(facts(grade=2)), allowed=frozenset({PIR}))

    assert combine([]).rule == techniques.DENIED
    assert combine([decide(facts(grade=1)), lookup_only]).verdict is Verdict.REJECTED


def test_a_refusal_permits_no_technique():
    refused = dataclasses.replace(decide(facts(classification=Classification.CORE)), allowed=frozenset(Technique))

    assert not any(refused.permits(technique) for technique in Technique)


def test_every_rule_of_the_matrix_has_a_row():
    named = {row.rule for row in (*techniques.TABLE, *techniques.OVERLAYS)}

    assert named == {f"P{number}" for number in range(20)}
