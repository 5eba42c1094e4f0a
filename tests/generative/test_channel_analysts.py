"""Hostile analysts who open nothing: they look at sizes, at errors and at the work that an answer takes.

Each is a program that first learns from worlds whose secret it knows, and then guesses the secret of others from what
can be seen from outside. What is seen is exact: lengths of messages and sealed parts, texts, and operations in the
group, which take nearly all of the time. Where these are equal, so is the time, up to what the machine adds for
anybody; a clock would only make such a test fail now and then. The sisters take the guard away, padding or equal work,
and the same analysts are right nearly always; there the clock may speak, too, because what it tells is large.
"""

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from compute.engines import (
    answers,
    blind,
    consistency,
    encrypted_table,
    keyed_comparison,
    lookup_owner,
    lookup_requester,
    matching,
    oprf,
    ristretto,
)
from compute.engines.encrypted_table import TableDamaged
from compute.engines.keyed_comparison import Blinds, Row
from compute.engines.lookup_requester import Question
from tests.unit.engines.test_matching import blindly, keyed

WORLDS = 40
K = 10
Observe = Callable[[random.Random, bool], Hashable]


def rightness(observe: Observe) -> tuple[float, int]:
    """How often the analyst is right, and how many different things it saw. Half of the secrets are yes, half no."""
    seen: dict[Hashable, Counter[bool]] = defaultdict(Counter)
    for seed in range(WORLDS):
        seen[observe(random.Random(seed), seed % 2 == 0)][seed % 2 == 0] += 1
    right = 0
    for seed in range(WORLDS, 2 * WORLDS):
        sight = observe(random.Random(seed), seed % 2 == 0)
        guess = seen[sight].most_common(1)[0][0] if sight in seen else True
        right += guess == (seed % 2 == 0)
    return right / WORLDS, len(seen)


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Operations in the group meanwhile, by name."""
    found: Counter[str] = Counter()

    def count(name: str) -> None:
        original = getattr(ristretto, name)

        def counting(*arguments: Any, **named: Any) -> Any:
            found[name] += 1
            return original(*arguments, **named)

        patched.setattr(ristretto, name, counting)

    with monkeypatch.context() as patched:
        for name in ("multiply", "multiply_base", "hash_to_group", "add", "invert"):
            count(name)
        yield found


def sealed(document: dict[str, Any], *, size: int) -> int:
    """The length of the part that the exchange is handed."""
    stage: Any = type("Stage", (), {"job_digest": "d" * 64, "rank": 0})()
    return len(answers.write(document, engine="test/1", context=stage, size=size))


# --- matching: is the target among the few in common? ---------------------------------------------------------


def match(drawn: random.Random, secret: bool) -> tuple[list[bytes], list[bytes]]:
    """Two tables of thirty; fewer than k in common, and the target one of them or not."""
    common = drawn.sample(range(1, 30), drawn.randrange(K - 2))
    left = keyed(0, 30)
    others = [left[number] for number in [*common, *([0] if secret else [])]]
    return left, [*others, *keyed(100, 130 - len(others))]


def test_a_match_looks_the_same_whoever_is_in_it(monkeypatch):
    def observe(drawn: random.Random, secret: bool) -> Hashable:
        left, right = match(drawn, secret)
        with counted(monkeypatch) as work:
            (count, theirs), _, receiver, other = blindly(left, right)
        content = matching._content("cardinality", matching.Found(count, (len(left), theirs)), k=K, size=len(left))
        on_the_wire = [len(message) for end in (receiver, other) for message in end.sent]
        return (*on_the_wire, *sorted(work.items()), json.dumps(content))

    assert rightness(observe) == (0.5, 1)


def test_a_match_told_as_it_is_found_gives_the_target_away(monkeypatch):
    """The sister: the receiver asks for one person after the other, and stops where it has an answer."""

    def observe(drawn: random.Random, secret: bool) -> Hashable:
        left, right = match(drawn, secret)
        with counted(monkeypatch) as work:
            point, there = ristretto.hash_to_group(left[0], domain=blind.DOMAIN), False
            for one in right:
                there = there or ristretto.hash_to_group(one, domain=blind.DOMAIN) == point
                if there:
                    break
        return (*sorted(work.items()), len(json.dumps({"rows": [0] if there else []})))

    right, sights = rightness(observe)
    assert right > 0.95
    assert sights > 1


# --- look-up: has the target a record? ------------------------------------------------------------------------

REGISTER = {f"p{number}": [(f"unit {number}-{unit}", "住宅") for unit in range(1 + number % 3)] for number in range(20)}
SUBJECTS = 6
KEY = oprf.derive_key(b"g" * 32, b"channels", mode=oprf.Mode.VOPRF)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    root = tmp_path_factory.mktemp("channels")
    encrypted_table.write(root / "t.table", REGISTER, key=KEY, noise=b"n" * 32, work_dir=root)
    return root / "t.table"


def asked(drawn: random.Random, secret: bool) -> list[str]:
    """Up to `SUBJECTS` persons without a record, and the target, who has one or not."""
    nobodies = [f"nobody {number}" for number in range(drawn.randrange(SUBJECTS))]
    return [drawn.choice(list(REGISTER)) if secret else "another nobody", *nobodies]


def looked_up(persons: Sequence[str], elements: Sequence[oprf.Blinded], reply: bytes, table: Any) -> dict[str, Any]:
    """The requester's answer, as its node makes it."""
    found = []
    with encrypted_table.Reader(table) as reader:
        evaluated = lookup_requester.points(reply[: -oprf.PROOF_BYTES])
        for number, (person, item) in enumerate(zip(persons, elements, strict=True), start=1):
            records = reader.records(oprf.finalize(person.encode(), item, evaluated[number - 1]))
            found.append(lookup_requester.answer(number, Question(person, 1), records))
    return {"type": "private_lookup/v1", "answers": found}


def test_a_look_up_looks_the_same_to_owner_and_exchange(monkeypatch, table):
    def observe(drawn: random.Random, secret: bool) -> Hashable:
        persons = asked(drawn, secret)
        blinded = [oprf.blind(person.encode(), mode=oprf.Mode.VOPRF) for person in persons]
        filling = [ristretto.multiply_base(ristretto.random_scalar()) for _ in range(SUBJECTS - len(persons))]
        question = [*(item.element for item in blinded), *filling]
        with counted(monkeypatch) as work:
            reply = lookup_owner.evaluate(KEY, question)
        answer = looked_up(persons, blinded, reply, table)
        return len(b"".join(question)), len(reply), *sorted(work.items()), sealed(answer, size=1024 * (1 + SUBJECTS))

    assert rightness(observe) == (0.5, 1)


def test_a_look_up_without_filling_and_padding_gives_the_target_away(monkeypatch, table):
    """The sister: as many points as persons, and an answer as long as it is."""
    works = set()

    def observe(drawn: random.Random, secret: bool) -> Hashable:
        persons = asked(drawn, secret)
        blinded = [oprf.blind(person.encode(), mode=oprf.Mode.VOPRF) for person in persons]
        with counted(monkeypatch) as work:
            reply = lookup_owner.evaluate(KEY, [item.element for item in blinded])
        answer = looked_up(persons, blinded, reply, table)
        nothing = [lookup_requester.answer(number, Question("", 1), []) for number in range(1, len(persons) + 1)]
        works.add(tuple(sorted(work.items())))
        return len(json.dumps(answer["answers"])) > len(json.dumps(nothing))

    assert rightness(observe) == (1.0, 2)
    assert len(works) == SUBJECTS, "and the owner counts the persons"


def test_a_spoilt_record_ends_no_run(table, tmp_path):
    """An owner that spoils one person's entries and waits for an error learns nothing: there is none to see."""
    data = bytearray(table.read_bytes())
    output = oprf.evaluate(KEY, b"p1", mode=oprf.Mode.VOPRF)
    tag, _ = encrypted_table._tag_and_key(output, 0)
    place = bytes(data).index(tag) + len(tag)
    data[place] ^= 1
    spoilt = tmp_path / "spoilt.table"
    spoilt.write_bytes(data)

    with encrypted_table.Reader(spoilt) as reader:
        with pytest.raises(TableDamaged):
            reader.records(output)
        told = [lookup_requester._open(reader, oprf.evaluate(KEY, one, mode=oprf.Mode.VOPRF)) for one in (b"p1", b"x")]
    sizes = {
        sealed({"answers": [lookup_requester.answer(1, Question("", 1), one)]}, size=1024 * (1 + SUBJECTS))
        for one in told
    }
    assert told == [None, []]
    assert len(sizes) == 1


# --- consistency check: is the target's value the same, another, or not there? ---------------------------------

FIELDS = ("base", "status")


def compared(drawn: random.Random, secret: bool) -> tuple[list[Row], list[Row]]:
    """Twenty rows of the bank, of which the office knows some; the target's is the same or is not there at all."""
    bank = [Row(f"p{number}", (f"m:{number}.00", "c:1")) for number in range(20)]
    office = [
        Row(row.person, (row.values[0] if drawn.random() < 0.5 else "m:0.01", "c:1"))
        for row in bank[1:]
        if drawn.random() < 0.8
    ]
    office += [Row("q", ("m:1.00", "c:1")) for _ in range(1)]
    return bank, [*office, bank[0]] if secret else office


def test_a_comparison_looks_the_same_whatever_comes_out(monkeypatch):
    """To the office and to the exchange; the work is that of the bank, whose end the office can time."""

    def observe(drawn: random.Random, secret: bool) -> Hashable:
        bank, office = compared(drawn, secret)
        key, blinds = ristretto.random_scalar(), Blinds(ristretto.random_scalar(), ristretto.random_scalar())
        tags = keyed_comparison.own_tags(office, FIELDS, key)
        sets = [{"present": frozenset(one.present), "equal": frozenset(one.equal)} for one in tags]
        with counted(monkeypatch) as work:
            question = list(keyed_comparison.ask(bank, FIELDS, blinds))
            reply = list(keyed_comparison.answer(question, key))
            verdicts = list(keyed_comparison.compare(reply, sets, FIELDS, blinds))
        packed = consistency.pack(verdicts, rows=1000)
        size = sealed({"rows": len(bank), "verdicts": packed}, size=1024 + len(packed))
        return len(question), len(reply), *sorted(work.items()), size

    assert rightness(observe) == (0.5, 1)


def compare_in_a_hurry(answered: Sequence[bytes], tags: Sequence[Any], blinds: Blinds) -> list[list[int]]:
    """The comparison without equal work: values are looked at only of who is there; rows that differ are listed."""
    person, value, found = ristretto.invert(blinds.person), ristretto.invert(blinds.value), []
    for start in range(0, len(answered), 1 + len(FIELDS)):
        point = ristretto.multiply(person, answered[start])
        for number, field in enumerate(FIELDS):
            if keyed_comparison._tag(point, field.encode()) not in tags[number]["present"]:
                continue
            other = ristretto.multiply(value, answered[start + 1 + number])
            if keyed_comparison._tag(other, b"equal") not in tags[number]["equal"]:
                found.append([start, number])
    return found


def test_a_comparison_in_a_hurry_gives_the_target_away(monkeypatch):
    """The sister: of one row, the office counts the work, and the exchange the bytes; and a clock is enough."""

    def observe(drawn: random.Random, secret: bool) -> Hashable:
        bank, office = compared(drawn, secret)
        key, blinds = ristretto.random_scalar(), Blinds(ristretto.random_scalar(), ristretto.random_scalar())
        tags = keyed_comparison.own_tags(office, FIELDS, key)
        sets = [{"present": frozenset(one.present), "equal": frozenset(one.equal)} for one in tags]
        reply = list(keyed_comparison.answer(keyed_comparison.ask(bank[:1], FIELDS, blinds), key))
        with counted(monkeypatch) as work:
            compare_in_a_hurry(reply, sets, blinds)
        return tuple(sorted(work.items()))

    assert rightness(observe) == (1.0, 2)

    key, blinds = ristretto.random_scalar(), Blinds(ristretto.random_scalar(), ristretto.random_scalar())
    bank = [Row(f"p{number}", ("m:1.00", "c:1")) for number in range(150)]
    reply = list(keyed_comparison.answer(keyed_comparison.ask(bank, FIELDS, blinds), key))
    spent = []
    for office in (bank, bank[:1]):
        tags = keyed_comparison.own_tags(office, FIELDS, key)
        sets = [{"present": frozenset(one.present), "equal": frozenset(one.equal)} for one in tags]
        started = time.thread_time()
        compare_in_a_hurry(reply, sets, blinds)
        spent.append(time.thread_time() - started)
    assert spent[0] > 1.5 * spent[1], "three multiplications a row against one"
