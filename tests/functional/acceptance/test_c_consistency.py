"""Scenario (c): a bank's records against an agency's, compared under keys of both; C1 to C6, contract to receipt.

C2 listens to the real run between the real nodes, with and without TLS (`wire.py`). The same against the arithmetic
alone, for every candidate: `tests/unit/engines/test_keyed_comparison.py`.
"""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import pytest

from compute.engines import identifiers, keyed_comparison
from compute.engines.keyed_comparison import Blinds, Row
from exchange.runner import people
from tests.factories.registers import resident_id
from tests.functional.acceptance.wire import Heard, in_the_clear

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

T = TypeVar("T")
ROWS = 1000
COMPARED = {"level": "plaintext_after_compare"}
WAGE = {"type": "decimal", "scale": 2, "min": "0", "max": "60000.00"}
AGENCY = {
    "person_id": {"type": "text", **COMPARED},
    "base": {**WAGE, **COMPARED},
    "status": {"type": "category", "values": ["在缴", "中断"], **COMPARED},
    "insured_on": {"type": "text", **COMPARED},
    "months": {"type": "integer", "min": 0, "max": 480, **COMPARED},
}
BANK = {
    "person_id": {"type": "text"},
    "wage": {"type": "text"},
    "state": {"type": "text"},
    "since": {"type": "text"},
    "paid": {"type": "text"},
}
FIELDS = [
    {"own": "wage", "theirs": "base", "kind": "money"},
    {"own": "state", "theirs": "status", "kind": "text"},
    {"own": "since", "theirs": "insured_on", "kind": "date"},
    {"own": "paid", "theirs": "months", "kind": "integer"},
]
CANDIDATES = 100_000
ONE = (1).to_bytes(32, "little")


def _wide(text: str) -> str:
    """Full-width forms."""
    return "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text)


# C4: how a bank may have written down the very fact that the agency holds, and what looks like it and is another.
SPELLINGS: dict[str, Sequence[Callable[[str], str]]] = {
    "wage": (
        str,
        _wide,
        lambda text: text + "0",
        lambda text: f"￥{int(text[:-3]):,}{text[-3:]}",
        lambda text: f" {text}元",
    ),
    "state": (str, lambda text: f"  {text} "),
    "since": (
        str,
        _wide,
        lambda text: text.replace("-", ""),
        lambda text: "/".join(str(int(one)) for one in text.split("-")),
        lambda text: "{}年{}月{}日".format(*(int(one) for one in text.split("-"))),
        lambda text: text + "T00:00:00",
    ),
    "paid": (str, _wide, lambda text: "00" + text, lambda text: text + ".0", lambda text: f" {text}. "),
}
OTHERS: dict[str, Sequence[Callable[[str], str]]] = {
    "wage": (lambda text: text[:-1] + str((int(text[-1]) + 1) % 10), lambda text: text.replace(".", ",")),
    "state": (lambda text: "中断" if text == "在缴" else "在缴",),
    "since": (lambda text: text[:8] + "30", lambda text: text + " 08:00:00"),
    "paid": (lambda text: text + ".5", lambda text: str(int(text) + 1)),
}


def _world() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The agency's 1,500 records and the bank's 1,000: some wrong, some of nobody, all but a few spelled otherwise."""
    agency, bank, _ = _planted()
    return agency, bank


def _planted() -> tuple[list[dict[str, str]], list[dict[str, str]], dict[str, list[str]]]:
    """Both tables, and for each field and row of the bank the word that must come out."""
    rng = random.Random(33)
    persons = [one.person_id for one in people.city((("990104", "北辰区", 1.0),), count=1520, seed=33)]
    agency = [
        {
            "person_id": person,
            "base": f"{rng.randrange(3000, 30000)}.{rng.randrange(100):02d}",
            "status": rng.choices(("在缴", "中断"), (9, 1))[0],
            "insured_on": f"20{rng.randrange(10, 26)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}",
            "months": str(rng.randrange(12, 400)),
        }
        for person in persons[:1500]
    ]
    bank, words = [], {field["own"]: [] for field in FIELDS}
    for number, row in enumerate(rng.sample(agency, ROWS)):
        is_nobody = number % 100 == 2  # 1 % of people the agency does not know
        mine = {"person_id": persons[1500 + number // 100] if is_nobody else row["person_id"]}
        for place, field in enumerate(FIELDS):
            name, text = field["own"], row[field["theirs"]]
            is_other = (number + 11 * place) % 40 == 0  # 2.5 % other values
            forms = OTHERS[name] if is_other else SPELLINGS[name]
            mine[name] = forms[number // 40 % len(forms) if is_other else number % len(forms)](text)
            words[name].append("absent" if is_nobody else "different" if is_other else "same")
        bank.append(mine)
    return agency, bank, words


@pytest.fixture(scope="module")
def contract(market):
    agency, bank = _world()
    market.table("social", "records", AGENCY, agency)
    market.table("bank", "own_records", BANK, bank)
    product = market.product("social", "records", name="缴费记录核对", operations=["consistency_check"])
    return market.contract(
        "consistency_check",
        {"social": product},
        columns={"social": list(AGENCY)},
        requester=True,
        approval="per_run",
    )


def _ask(market, contract, *, rows: int = ROWS, dataset: str = "own_records"):
    parameters = {
        "input": {"dataset": dataset, "commitment": market.commitments["bank", dataset]},
        "person": "person_id",
        "key": "person_id",
        "fields": FIELDS,
        "rows": rows,
        "period": datetime.now(UTC).strftime("%Y-%m"),
        "minimum_rows": 1000,
    }
    return market.ask(contract, "consistency_check", parameters)


@pytest.fixture(scope="module")
def heard(market, contract, wire):
    """The run, and all that went over the links between both nodes meanwhile."""
    with wire.listening() as found:
        asked = _ask(market, contract)
    return asked, found


@pytest.fixture(scope="module")
def checked(heard):
    return heard[0]


def test_c1_c6_the_counts_equal_the_oracle_and_the_report_repairs_nothing(market, checked):
    assert checked.state == "released", checked.code
    report = market.opened(checked)

    for field, words in zip(report["fields"], _planted()[2].values(), strict=True):
        assert {word: field[word] for word in set(words)} == {word: words.count(word) for word in set(words)}
    assert "repair" in report["notice"]["en"]
    assert "修复" in report["notice"]["zh"] or "修正" in report["notice"]["zh"]
    checks = market.receipt(checked)
    assert checks
    assert "FAIL" not in checks.values()


def test_c4_the_same_fact_is_the_same_however_it_is_written_and_another_is_not(market, checked):
    """Row by row, through the exchange: full-width digits, trailing zeros, currency and thousands, forms of a date."""
    report = market.opened(checked)

    for field, (name, words) in zip(report["fields"], _planted()[2].items(), strict=True):
        rows = {word: [row for row, found in enumerate(words, start=1) if found == word] for word in set(words)}
        assert (field["own"], field["different_rows"], field["absent_rows"]) == (
            name,
            rows["different"],
            rows["absent"],
        )


def test_c2_a_hundred_thousand_known_persons_find_nothing_in_the_captured_run(heard):
    """Neither on the wire nor with TLS taken off; and no value of persons all of whose values are known."""
    _, found = heard
    agency, bank = _world()
    rng = random.Random(2)
    names = [row["person_id"] for row in (*agency, *bank)]
    names += [resident_id(rng) for _ in range(CANDIDATES - len(names))]

    assert len(found.sealed) > len(found.opened) > 2 * 32 * ROWS * (1 + len(FIELDS))
    assert b'"job"' in found.opened, "the second tap does take TLS off"
    assert b'"job"' not in found.sealed, "and on the wire it is on"
    assert _found(names, _forms_of_a_person, found) == []
    assert _found(agency, _forms_of_a_record, found) == []
    assert _found(agency, _points_without_keys, found) == []


def test_c2_the_same_search_finds_everybody_in_the_comparison_of_today():
    """The sister: bare MD5 through the same kind of tap, and the engine's own messages with every key set to one."""
    rows = _world()[0][:100]
    today = "\n".join(hashlib.md5(_record(row).encode()).hexdigest() for row in rows)
    unkeyed = keyed_comparison.ask([_compared(row) for row in rows], ["base"], Blinds(ONE, ONE))

    heard = [in_the_clear(data) for data in (today.encode(), b"".join(unkeyed))]

    assert _found(rows, _forms_of_a_record, heard[0]) == rows
    assert _found(rows, _points_without_keys, heard[1]) == rows


def _found(candidates: Sequence[T], forms: Callable[[T], Iterator[bytes]], heard: Heard) -> list[T]:
    """Whom a listener finds that makes all these forms of every candidate and looks each one up."""
    found = []
    for start in range(0, len(candidates), 20_000):
        some = {number: list(forms(one)) for number, one in enumerate(candidates[start : start + 20_000], start)}
        there = heard.holds(form for made in some.values() for form in made)
        found += [candidates[number] for number, made in some.items() if there.intersection(made)]
    return found


def _forms_of_a_person(name: str) -> Iterator[bytes]:
    """What can be made of a name without a secret: itself, and its bare hashes, raw and as text."""
    for text in {name, identifiers.canonical(name)}:
        yield text.encode()
        yield from _hashes(text)


def _forms_of_a_record(row: dict[str, str]) -> Iterator[bytes]:
    """The same of a person with the values that the agency holds."""
    yield from _hashes(_record(row))
    for field in FIELDS:
        for joint in ("", "|", ","):
            yield from _hashes(row["person_id"] + joint + row[field["theirs"]])


def _points_without_keys(row: dict[str, str]) -> Iterator[bytes]:
    """What the protocol itself makes of them before any key comes in: points of person and value, and their tags."""
    compared = _compared(row)
    for point in (keyed_comparison._person(compared), keyed_comparison._value(compared, "base", 0)):
        yield point
        yield keyed_comparison._tag(point, b"base")
        yield keyed_comparison._tag(point, b"equal")


def _compared(row: dict[str, str]) -> Row:
    return keyed_comparison.canonical_row([row["person_id"], row["base"]], ["money"])


def _record(row: dict[str, str]) -> str:
    return "|".join((row["person_id"], *(row[field["theirs"]] for field in FIELDS)))


def _hashes(text: str) -> Iterator[bytes]:
    for name in ("md5", "sha256"):
        digest = hashlib.new(name, text.encode(), usedforsecurity=False)
        yield digest.digest()
        yield digest.hexdigest().encode()


def test_c3_a_second_guess_of_the_same_rows_is_refused_in_the_period(market, contract, checked):
    """Another value for the same person and field within a month would be a guess."""
    guesses = [{**row, "wage": "5000.00"} for row in _world()[1]]
    market.table("bank", "guesses", BANK, guesses)

    again = _ask(market, contract, dataset="guesses")

    assert (again.state, again.code) == ("failed", "QUOTA_EXHAUSTED")


def test_c5_a_batch_below_the_minimum_is_refused(market, contract):
    found = market.refused(
        *("compute", "request", contract["ref"], "--operation", "consistency_check"),
        *("--parameters", str(_small(market)), "--out", "never.json"),
    )

    assert "rows" in found


def _small(market):
    path = market.story.stack.member("bank") / "small.json"
    parameters = {
        "input": {"dataset": "own_records", "commitment": market.commitments["bank", "own_records"]},
        "person": "person_id",
        "key": "person_id",
        "fields": FIELDS,
        "rows": 10,
        "period": "2026-11",
        "minimum_rows": 1000,
    }
    path.write_text(json.dumps(parameters), encoding="utf-8")
    return path
