"""Synthetic people for the demo: region codes nobody has, valid check characters, a fixed seed.

No number made here belongs to a real person: codes 9901xx do not exist in GB/T 2260.
Shapes follow the distributions of `docs/reference/demo-data.md`.
"""

import csv
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from exchange.kernel.identifiers import resident_check_character

TODAY = date(2026, 11, 1)
AGE_BANDS = ("18-29", "30-39", "40-49", "50-59", "60+")
MARITAL = ("未婚", "已婚", "离异", "丧偶")
INDUSTRIES = ("制造业", "金融业", "教育", "卫生和社会工作", "信息技术", "批发零售")
_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡林郭何高罗"
_GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰"
_RATES = (5, 6, 7, 8, 10, 12)


@dataclass(frozen=True, slots=True)
class Person:
    """One invented resident."""

    person_id: str
    name: str
    district: str
    born: date
    wage_fen: int
    employed: bool

    @property
    def age_band(self) -> str:
        age = (TODAY - self.born).days // 365
        return AGE_BANDS[min(max((age - 20) // 10, 0), 4)] if age >= 30 else AGE_BANDS[0]


def city(districts: Sequence[tuple[str, str, float]], *, count: int, seed: int) -> list[Person]:
    """Invent the people of one city.

    Args:
        districts: (six-digit region code, name, share of the people) of each district.
        count: how many people.
    """
    rng = random.Random(seed)  # noqa: S311 - synthetic people, reproducible on purpose
    weights = [share for _, _, share in districts]
    people: list[Person] = []
    taken: set[str] = set()
    while len(people) < count:
        code, name, _ = rng.choices(districts, weights)[0]
        age = min(max(rng.gauss(41, 14), 18), 75)
        born = TODAY - timedelta(days=int(age * 365.25) + rng.randrange(365))
        first_17 = f"{code}{born:%Y%m%d}{rng.randrange(1, 1000):03d}"
        if first_17 in taken:
            continue
        taken.add(first_17)
        full_name = rng.choice(_SURNAMES) + "".join(rng.choices(_GIVEN, k=rng.choice((1, 2, 2))))
        wage = min(int(rng.lognormvariate(math.log(6500), 0.45) * 100), 5_999_999)
        person_id = first_17 + resident_check_character(first_17)
        people.append(Person(person_id, full_name, name, born, wage, rng.random() < 0.72))
    return people


def canary(*, region: str, district: str, token: str, rng: random.Random) -> Person:
    """A person whose id and name occur nowhere else: planted in a table, then looked for everywhere."""
    first_17 = f"{region}19850615{rng.randrange(1, 1000):03d}"
    name = f"金丝雀{token}"
    return Person(first_17 + resident_check_character(first_17), name, district, date(1985, 6, 15), 777_701, True)


def housing_fund(people: Iterable[Person], *, seed: int) -> list[dict[str, str]]:
    """Rows of a housing fund: deposit base (last year's average wage), rates, months, status."""
    rng = random.Random(seed)  # noqa: S311
    rows = []
    for person in people:
        own, employer = rng.choice(_RATES), rng.choice(_RATES)
        rows.append(
            {
                "person_id": person.person_id,
                "name": person.name,
                "district": person.district,
                "age_band": person.age_band,
                "base": _yuan(person.wage_fen),
                "monthly": _yuan(round(person.wage_fen * (own + employer) / 100)),
                "months": str(min(int(rng.expovariate(1 / 60)) + 1, 360)),
                "status": rng.choices(("正常", "封存"), (9, 1))[0],
            }
        )
    return rows


def social_security(people: Iterable[Person], *, seed: int) -> list[dict[str, str]]:
    """Rows of a social-security office: contribution base, months paid, gaps, industry."""
    rng = random.Random(seed)  # noqa: S311
    return [
        {
            "person_id": person.person_id,
            "name": person.name,
            "industry": rng.choice(INDUSTRIES),
            "base": _yuan(min(int(person.wage_fen * rng.uniform(0.9, 1.1)), 5_999_999)),
            "months_paid": str(min(int(rng.expovariate(1 / 90)) + 1, 480)),
            "gap_months": str(rng.choices((0, 1, 2, 3, 6, 12), (70, 10, 8, 6, 4, 2))[0]),
        }
        for person in people
    ]


def marriage_register(people: Iterable[Person], *, seed: int) -> list[dict[str, str]]:
    """Rows of a civil-affairs bureau: marital status, and for how long a marriage lasts."""
    rng = random.Random(seed)  # noqa: S311
    rows = []
    for person in people:
        age = (TODAY - person.born).days // 365
        status = rng.choices(MARITAL, (34, 57, 7, 2) if age >= 23 else (100, 0, 0, 0))[0]
        years = rng.randrange(max(age - 22, 1)) if status == "已婚" else 0
        rows.append(
            {
                "person_id": person.person_id,
                "name": person.name,
                "marital_status": status,
                "years_married": str(years),
            }
        )
    return rows


def applications(people: Iterable[Person], *, seed: int) -> list[dict[str, str]]:
    """Rows of the bank's own table: loan amounts and the label it keeps."""
    rng = random.Random(seed)  # noqa: S311
    return [
        {
            "person_id": person.person_id,
            "amount": _yuan(rng.randrange(50_000_00, 2_000_000_00, 10_000_00)),
            "default_next_month": "1" if rng.random() < 0.08 else "0",
        }
        for person in people
    ]


def write_csv(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write rows as UTF-8 CSV, readable by the owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"
