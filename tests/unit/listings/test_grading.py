"""Grades: proposed by people, raised by rules, never lowered; the highest item counts."""

import pytest

from listings.grading import ColumnFacts, grade_column, grade_product, is_refused
from listings.words import NationalGrade, Personal, Sector


def column(name, title_zh="", title_en="", grade=1, personal=Personal.NONE):
    return ColumnFacts(name, title_zh, title_en, grade, personal)


@pytest.mark.parametrize(
    ("name", "title_zh", "grade", "personal", "rule"),
    [
        ("person_id", "人员编号", 4, Personal.SENSITIVE, "identity_number"),
        ("c1", "身份证号", 4, Personal.SENSITIVE, "identity_number"),
        ("mobile", "", 4, Personal.PI, "contact"),
        ("bank_account_no", "", 4, Personal.SENSITIVE, "financial_account"),
        ("name", "姓名", 3, Personal.PI, "person_name"),
        ("birth_date", "", 3, Personal.PI, "birth"),
        ("c2", "诊断编码", 4, Personal.SENSITIVE, "health"),
        ("c3", "未成年人数", 3, Personal.MINOR, "minor"),
        ("base", "缴存基数", 2, Personal.PI, "income"),
    ],
)
def test_a_telling_name_raises_the_grade(name, title_zh, grade, personal, rule):
    graded = grade_column(column(name, title_zh))

    assert (graded.grade, graded.personal, graded.rule.rule) == (grade, personal, rule)


@pytest.mark.parametrize("name", ["district", "age_band", "months", "status", "identifier_count", "filename"])
def test_a_plain_name_keeps_what_was_proposed(name):
    assert grade_column(column(name, grade=2)) == grade_column(column(name, grade=2))
    assert (grade_column(column(name, grade=2)).grade, grade_column(column(name)).rule) == (2, None)


def test_a_rule_never_lowers():
    assert grade_column(column("base", "缴存基数", grade=4)).grade == 4


def test_the_highest_column_grades_the_product_and_is_named():
    product = grade_product([column("district"), column("name", "姓名")], national=NationalGrade.GENERAL)

    assert (product.grade, product.decisive, product.personal) == (3, ("name",), Personal.PI)


def test_a_higher_proposal_stands():
    assert grade_product([column("district")], national=NationalGrade.GENERAL, proposed=3).grade == 3


def test_important_data_stands_above_all_general_grades():
    assert grade_product([column("district")], national=NationalGrade.IMPORTANT).grade == 5


def test_ten_million_persons_are_noted():
    assert "MANY_PERSONS" in grade_product([], national=NationalGrade.GENERAL, persons=10_000_000).notes
    assert grade_product([], national=NationalGrade.GENERAL, persons=9_999_999).notes == ()


@pytest.mark.parametrize(
    ("national", "sector", "level", "refused"),
    [
        (NationalGrade.CORE, Sector.NONE, None, True),
        (NationalGrade.GENERAL, Sector.FINANCE, 5, True),
        (NationalGrade.GENERAL, Sector.FINANCE, 4, False),
        (NationalGrade.IMPORTANT, Sector.HEALTH, 5, False),
    ],
)
def test_what_stays_with_its_owner(national, sector, level, refused):
    assert is_refused(national=national, sector=sector, sector_level=level) is refused
