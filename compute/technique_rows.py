"""The policy matrix itself: rows P0 to P19 of the domain rules, as data (pure).

Raise `VERSION` in `compute.technique_words` with every change of a row: authorizations name it.
"""

from compute.technique_words import (
    Classification,
    Control,
    Flag,
    Personal,
    Row,
    TaskKind,
    Technique,
    Verdict,
    When,
)

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
