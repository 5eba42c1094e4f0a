"""Grades of columns and products (pure): the provider proposes, pattern rules may raise, the highest item counts.

General data has four sub-levels by the harm of a leak to persons and organisations (1 none, 2 general,
3 severe, 4 especially severe). A product takes the level of its highest column. Nothing here lowers a grade.

Source: GB/T 43697-2024 annexes H and I (就高从严); the health sector's matrix for names, birth, identity
numbers, telephones and addresses; PIPL 28 for sensitive information.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from listings.words import NationalGrade, Personal, Sector

IMPORTANT = 5  # how "important" is written where one number says it all, for example in contract terms
MANY_PERSONS = 10_000_000  # from here on a handler carries the duties of important data (NDSR 28)
REFUSED_SECTOR_LEVEL = {Sector.FINANCE: 5}  # JR/T 0197: level 5 does not leave its owner

_PERSONAL_ORDER = (Personal.NONE, Personal.PI, Personal.SENSITIVE, Personal.MINOR)


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """What a grade depends on: the column's names, and what the provider proposes."""

    name: str
    title_zh: str
    title_en: str
    grade: int
    personal: Personal


@dataclass(frozen=True, slots=True)
class PatternRule:
    """A column whose name or title matches is at least of this grade and kind."""

    rule: str
    pattern: re.Pattern[str]
    grade: int
    personal: Personal
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class ColumnGrade:
    """A column's grade and flag, and the rule that raised them (None: as proposed)."""

    name: str
    grade: int
    personal: Personal
    rule: PatternRule | None


@dataclass(frozen=True, slots=True)
class ProductGrade:
    """A product's grade: 1 to 4 general, 5 important; and what made it so.

    Args:
        decisive: names of the columns that hold the highest grade.
        personal: the strictest flag of all columns.
        notes: codes of what people should look at, such as `MANY_PERSONS`.
    """

    grade: int
    personal: Personal
    columns: tuple[ColumnGrade, ...]
    decisive: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def general(self) -> int:
        """The sub-level of general data, 1 to 4."""
        return max((column.grade for column in self.columns), default=1)


def _rule(rule: str, pattern: str, grade: int, personal: Personal, zh: str, en: str) -> PatternRule:
    return PatternRule(rule, re.compile(pattern, re.IGNORECASE), grade, personal, zh, en)


RULES: tuple[PatternRule, ...] = (
    _rule(
        "identity_number",
        r"身份证|公民身份号|证件号|护照号|\b(resident|citizen|person|identity)[_ ]?(id|no|number)\b"
        r"|\bid[_ ]?(card|no|number)\b|\bpassport",
        4,
        Personal.SENSITIVE,
        "身份证件号码可直接识别个人",
        "identity numbers name a person directly",
    ),
    _rule(
        "financial_account",
        r"银行卡|银行账|卡号|账号|\b(bank[_ ]?)?(account|card)[_ ]?(no|number)\b",
        4,
        Personal.SENSITIVE,
        "金融账户为敏感个人信息",
        "financial accounts are sensitive personal information",
    ),
    _rule(
        "biometric",
        r"指纹|人脸|虹膜|声纹|\b(finger[_ ]?print|face[_ ]?(image|feature)|iris|voice[_ ]?print)",
        4,
        Personal.SENSITIVE,
        "生物识别信息为敏感个人信息",
        "biometrics are sensitive personal information",
    ),
    _rule(
        "health",
        r"病历|诊断|病种|处方|\b(diagnos|disease|prescription|medical[_ ]?record)",
        4,
        Personal.SENSITIVE,
        "医疗健康信息为敏感个人信息",
        "health information is sensitive",
    ),
    _rule(
        "whereabouts",
        r"行踪|轨迹|经纬度|\b(gps|trajectory|latitude|longitude)\b",
        4,
        Personal.SENSITIVE,
        "行踪轨迹为敏感个人信息",
        "whereabouts are sensitive personal information",
    ),
    _rule(
        "contact",
        r"手机|电话|住址|家庭地址|邮箱|\b(mobile|phone|telephone|home[_ ]?address|email)",
        4,
        Personal.PI,
        "联系方式与住址可触达个人",
        "telephone numbers and addresses reach a person",
    ),
    _rule(
        "minor",
        r"未成年|十四周岁|\bminors?\b|\bunder[_ ]?14\b",
        3,
        Personal.MINOR,
        "不满十四周岁未成年人的信息为敏感个人信息",
        "information about children under fourteen is sensitive",
    ),
    _rule(
        "person_name",
        r"姓名|\b(full|person|real|given|family)[_ ]?name\b|^name$",
        3,
        Personal.PI,
        "姓名识别个人",
        "names identify persons",
    ),
    _rule(
        "birth",
        r"出生(日期|年月日)|\b(birth[_ ]?(date|day)|date[_ ]?of[_ ]?birth)",
        3,
        Personal.PI,
        "出生日期与其他信息结合可识别个人",
        "birth dates identify persons together with little else",
    ),
    _rule(
        "income",
        r"工资|收入|缴存基数|缴费基数|\b(salary|wage|income)\b",
        2,
        Personal.PI,
        "收入信息关乎个人财产",
        "income concerns a person's property",
    ),
)


def grade_column(column: ColumnFacts) -> ColumnGrade:
    """The column's grade after the pattern rules: never below what was proposed."""
    grade, personal, reason = column.grade, column.personal, None
    names = (column.name.replace("_", " "), column.name, column.title_zh, column.title_en)
    for rule in RULES:
        if not any(rule.pattern.search(name) for name in names if name):
            continue
        if rule.grade > grade or _stricter(rule.personal, personal):
            reason = rule if reason is None or rule.grade > grade else reason
            grade, personal = max(grade, rule.grade), strictest((personal, rule.personal))
    return ColumnGrade(column.name, grade, personal, reason)


def grade_product(
    columns: Sequence[ColumnFacts], *, national: NationalGrade, proposed: int = 1, persons: int = 0
) -> ProductGrade:
    """The product's grade: its highest column, what the provider proposes if higher, and `important` above all.

    Args:
        proposed: the provider's own grade for the whole, 1 to 4.
        persons: about how many natural persons the data is about.
    """
    graded = tuple(grade_column(column) for column in columns)
    general = max([proposed, *(column.grade for column in graded)])
    notes = ["MANY_PERSONS"] if persons >= MANY_PERSONS else []
    notes += ["RAISED_BY_RULE"] if any(column.rule for column in graded) else []
    return ProductGrade(
        grade=IMPORTANT if national != NationalGrade.GENERAL else general,
        personal=strictest([column.personal for column in graded]),
        columns=graded,
        decisive=tuple(column.name for column in graded if column.grade == general),
        notes=tuple(notes),
    )


def is_refused(*, national: NationalGrade, sector: Sector, sector_level: int | None) -> bool:
    """Whether such data may not be registered at all: core data, or a sector's level that stays with its owner."""
    highest = REFUSED_SECTOR_LEVEL.get(sector)
    return national == NationalGrade.CORE or (
        highest is not None and sector_level is not None and sector_level >= highest
    )


def strictest(flags: Sequence[Personal]) -> Personal:
    """The strictest of several flags; none of none."""
    return max(flags, key=_PERSONAL_ORDER.index, default=Personal.NONE)


def _stricter(one: Personal, other: Personal) -> bool:
    return _PERSONAL_ORDER.index(one) > _PERSONAL_ORDER.index(other)
