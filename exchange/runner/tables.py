"""The tables of the demo's nodes: invented people, or a real file split by a mapping.

Either way a node gets a CSV file and a schema, and takes them in by its ordinary `dataset add`.
"""

import csv
import json
import random
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from exchange.runner import people

_MAPPINGS = Path(__file__).parent / "mappings"
_CITY_A = (
    ("990101", "东湖区", 0.40),
    ("990102", "西岭区", 0.30),
    ("990103", "南浦区", 0.20),
    ("990104", "北辰区", 0.095),
    ("990105", "云屿镇", 0.005),
)
_CITY_B = (("990111", "城中区", 0.45), ("990112", "河东区", 0.35), ("990113", "高新区", 0.20))
_CANARIES = (
    ("fund-a", "990101", "东湖区"),
    ("fund-b", "990111", "城中区"),
    ("social", "990102", "西岭区"),
    ("bank", "990103", "南浦区"),
    ("civil", "990104", "北辰区"),
)
_DISTRICTS = [name for _, name, _ in (*_CITY_A, *_CITY_B)]
Columns = Mapping[str, Mapping[str, Any]]

_WAGE: dict[str, Any] = {"type": "decimal", "scale": 2, "min": "0", "max": "60000.00"}
_FUND: Columns = {
    "person_id": {"type": "text", "format": "resident_id"},
    "name": {"type": "text"},
    "district": {"type": "category", "values": _DISTRICTS},
    "age_band": {"type": "category", "values": list(people.AGE_BANDS)},
    "base": _WAGE,
    "monthly": _WAGE,
    "months": {"type": "integer", "min": 0, "max": 600},
    "status": {"type": "category", "values": ["正常", "封存"]},
}
_SOCIAL: Columns = {
    "person_id": {"type": "text", "format": "resident_id"},
    "name": {"type": "text"},
    "industry": {"type": "category", "values": list(people.INDUSTRIES)},
    "base": _WAGE,
    "months_paid": {"type": "integer", "min": 0, "max": 600},
    "gap_months": {"type": "integer", "min": 0, "max": 24},
}
_CIVIL: Columns = {
    "person_id": {"type": "text", "format": "resident_id"},
    "name": {"type": "text"},
    "marital_status": {"type": "category", "values": list(people.MARITAL)},
    "years_married": {"type": "integer", "min": 0, "max": 80},
}
_BANK: Columns = {
    "person_id": {"type": "text", "format": "resident_id"},
    "amount": {"type": "decimal", "scale": 2, "min": "0", "max": "5000000.00"},
    "default_next_month": {"type": "category", "values": ["0", "1"]},
}


class InputInvalid(ValueError):
    """The input file or its mapping cannot be used; the message says what to change."""


@dataclass(frozen=True, slots=True)
class NodeTable:
    """One node's table: rows as text, the declared columns, and values that must never leave.

    Args:
        canaries: values planted in (or chosen from) the rows, to be looked for everywhere else.
    """

    dataset: str
    columns: Mapping[str, Mapping[str, Any]]
    block_dimensions: Sequence[str]
    rows: Sequence[Mapping[str, str]]
    canaries: Sequence[str]
    id: str = "person_id"

    def write(self, directory: Path) -> tuple[Path, Path]:
        """Write `DATASET.csv` and `DATASET.schema.toml`, readable by the owner only; returns both paths."""
        data, schema = directory / f"{self.dataset}.csv", directory / f"{self.dataset}.schema.toml"
        people.write_csv(data, [dict(row) for row in self.rows])
        lines = [
            "[dataset]",
            'encoding = "utf-8"',
            f'id = "{self.id}"',
            f"block_dimensions = {_toml(list(self.block_dimensions))}",
        ]
        for name, column in self.columns.items():
            lines += ["", f"[columns.{name}]", *(f"{key} = {_toml(value)}" for key, value in column.items())]
        schema.touch(mode=0o600)
        schema.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return data, schema


@dataclass(frozen=True, slots=True)
class World:
    """What every node holds, and what the bank will ask."""

    tables: Mapping[str, NodeTable]
    questions: Mapping[str, Mapping[str, list[str]]]


def synthetic(*, seed: int = 20261121) -> World:
    """Two cities' funds, one city's social security and civil affairs offices, and the bank's applicants."""
    city_a = people.city(_CITY_A, count=6000, seed=seed)
    city_b = people.city(_CITY_B, count=5000, seed=seed + 1)
    rng = random.Random(seed + 2)  # noqa: S311 - synthetic
    covered = [person for person in city_a if rng.random() < 0.7]
    elsewhere = people.city(_CITY_A, count=1500, seed=seed + 3)
    known = {person.person_id for person in city_a}
    covered += [person for person in elsewhere if person.person_id not in known]
    planted = {
        code: people.canary(region=region, district=name, token=secrets.token_hex(8), rng=random.SystemRandom())
        for code, region, name in _CANARIES
    }
    blocks = ("district", "age_band")
    tables: dict[str, tuple[str, Columns, Sequence[str], list[dict[str, str]]]] = {
        "fund-a": ("housing_fund", _FUND, blocks, people.housing_fund([*city_a, planted["fund-a"]], seed=seed + 4)),
        "fund-b": ("housing_fund", _FUND, blocks, people.housing_fund([*city_b, planted["fund-b"]], seed=seed + 5)),
        "social": (
            "social_security",
            _SOCIAL,
            (),
            people.social_security([*covered, planted["social"]], seed=seed + 6),
        ),
        "civil": (
            "marriage_register",
            _CIVIL,
            ("marital_status",),
            people.marriage_register([*city_a, planted["civil"]], seed=seed + 8),
        ),
        "bank": (
            "applications",
            _BANK,
            (),
            people.applications([*rng.sample(city_a, 900), planted["bank"]], seed=seed + 7),
        ),
    }
    return World(
        tables={
            code: NodeTable(dataset, columns, dimensions, rows, _canaries(rows))
            for code, (dataset, columns, dimensions, rows) in tables.items()
        },
        questions={
            "joint_statistics": {"group_by": ["age_band"], "values": ["base", "months"]},
            "aligned_statistics": {"group_by": ["district"], "values": ["base", "gap_months"]},
        },
    )


def from_file(path: Path, *, mapping: Path | None = None) -> World:
    """Split a real table over the nodes as its mapping says.

    Args:
        mapping: a TOML file like those in `exchange/runner/mappings`; by default the one whose
            header the input has.
    Raises:
        InputInvalid: no mapping fits, or the input lacks a column it names.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise InputInvalid(f"there is no file {path}") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputInvalid(f"{path} is not CSV in UTF-8") from None
    if not rows:
        raise InputInvalid(f"{path} has no rows")
    rules = _rules(rows[0], mapping)
    missing = _named_columns(rules) - set(rows[0])
    if missing:
        raise InputInvalid(f"{path} lacks the columns {', '.join(sorted(missing))} that its mapping names")
    tables = {code: _split(code, node, rules, rows) for code, node in rules["nodes"].items()}
    return World(tables=tables, questions=rules["ask"])


def _canaries(rows: Sequence[Mapping[str, str]]) -> list[str]:
    planted = rows[-1]
    found = [planted["person_id"]]
    return found + ([planted["name"]] if "name" in planted else [])


def _rules(first: Mapping[str, str], mapping: Path | None) -> dict[str, Any]:
    candidates = [mapping] if mapping else sorted(_MAPPINGS.glob("*.toml"))
    for candidate in candidates:
        try:
            rules = tomllib.loads(candidate.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputInvalid(f"there is no mapping {candidate}") from None
        except tomllib.TOMLDecodeError as error:
            raise InputInvalid(f"{candidate} is not TOML: {error}") from None
        if mapping or set(rules["input"]["header"]) <= set(first):
            return rules
    raise InputInvalid(
        "no mapping fits this file's columns; write one like exchange/runner/mappings/*.toml and name it with MAPPING="
    )


def _named_columns(rules: Mapping[str, Any]) -> set[str]:
    derived = rules.get("derived", {})
    named = {rules["input"]["id"], *(rule["from"] for rule in derived.values())}
    for node in rules["nodes"].values():
        named |= {source for source in node["columns"].values() if source not in derived}
    return named


def _split(
    code: str, node: Mapping[str, Any], rules: Mapping[str, Any], rows: Sequence[Mapping[str, str]]
) -> NodeTable:
    kept = node["rows"]
    columns = {"person_id": {"type": "text"}}
    blocks = []
    for name in node["columns"]:
        declared = dict(rules["columns"][name])
        if declared.pop("block", False):
            blocks.append(name)
        columns[name] = _column(declared)
    split = [
        {"person_id": rules["input"]["id_form"].format(int(row[rules["input"]["id"]])),
         **{name: _derive(source, row, rules, is_text=columns[name]["type"] == "category")
            for name, source in node["columns"].items()}}
        for row in rows
        if int(row[rules["input"]["id"]]) % kept["modulo"] in kept["remainders"]
    ]  # fmt: skip
    if not split:
        raise InputInvalid(f"the mapping leaves no row for {code}")
    chosen = split[:: max(len(split) // 20, 1)]
    return NodeTable(node.get("dataset", "customers"), columns, blocks, split, [row["person_id"] for row in chosen])


def _column(declared: Mapping[str, Any]) -> dict[str, Any]:
    if declared["type"] == "category":
        return {"type": "category", "values": declared["categories"]}
    return {"type": declared["type"], "min": declared["minimum"], "max": declared["maximum"]}


def _derive(source: str, row: Mapping[str, str], rules: Mapping[str, Any], *, is_text: bool) -> str:
    rule = rules.get("derived", {}).get(source)
    if rule is None:
        return row[source] if is_text else _plain_number(row[source], source)
    value = row[rule["from"]]
    if "values" in rule:
        if value not in rule["values"]:
            raise InputInvalid(f"the mapping does not say what a value of {rule['from']} becomes in {source}")
        return str(rule["values"][value])
    number = int(value)
    for low, high, label in rule["bands"]:
        if low <= number <= high:
            return str(label)
    raise InputInvalid(f"a value of {rule['from']} lies in no band of {source}")


def _plain_number(text: str, source: str) -> str:
    """A whole number written out: files come with 1e+05, and a node takes in nothing that needs guessing."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise InputInvalid(f"a value of {source} is no number") from None
    if number != number.to_integral_value():
        raise InputInvalid(f"a value of {source} is no whole number")
    return str(int(number))


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
