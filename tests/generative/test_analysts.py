"""Hostile analysts, written as programs, against one owner's gate; each succeeds as soon as the gate is off.

They are the strongest there are outside the owner: everybody else works together, so that they see the owner's own
released numbers, know all rows but the secret, and may ask whatever the protocol can say until they are refused.

What "nothing beyond the budget" means for noise: whoever sees answers of epsilon E in all and guesses a secret bit of
one person that was drawn by a fair coin is right with probability at most e^E / (1 + e^E) (Wasserman and Zhou, 2010):
0.731 for the year's whole budget of 1. That holds for each further person given all that came before, so m guesses are
right no more often than m throws of such a coin; a test fails above that share plus four standard deviations, where an
honest gate gets less than one time in 30,000. For exact answers "nothing" is linear algebra: no combination of answers
isolates fewer than k persons. Tables have fixed seeds; the noise is OpenDP's own.
"""

import json
import math
import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, combinations
from typing import Any

import numpy as np
import pytest

from compute.engines import gate, metadata
from compute.engines.errors import EngineRefused
from compute.engines.privacy import noise, noised, sensitivity, sums
from compute.node import budget, noises
from compute.node.budget import Limits
from compute.protocol import operations
from compute.protocol.codes import Refused
from tests.factories.engines import schema
from tests.factories.node import provider
from tests.factories.privacy import LAPLACE, asked, description, meta, people, table

NOW = datetime(2026, 11, 21, 5, 30, tzinfo=UTC)
K = 10
RECEIVER = "urn:hengshu:org:01JD00000000000000000000A1"
BOUND = math.exp(1) / (1 + math.exp(1))

Row = Mapping[str, Any]


def allowed(guesses: int) -> float:
    """The share of right guesses that an honest budget of 1 does not exceed: the bound and four deviations."""
    return BOUND + 4 * math.sqrt(BOUND * (1 - BOUND) / guesses)


class Owner:
    """One owner's tier 2 over rows in memory: the node's own plan, ledger and noise; or, with the gate off, none."""

    def __init__(self, rows: Sequence[Row], *, is_gated: bool, limits: Limits | None = None) -> None:
        self.rows = rows
        self.meta = meta(len(rows))
        self.is_gated = is_gated
        self.limits = limits or Limits()
        self.ledger = sqlite3.connect(":memory:", isolation_level=None)
        self.ledger.executescript(budget.SCHEMA)
        self.kept: dict[str, list[list[int]]] = {}

    def ask(self, parameters: Mapping[str, Any]) -> list[list[int]]:
        """This owner's numbers by component and group; Refused once nothing is left."""
        plan = sensitivity.plan(self.meta, parameters)
        exact = self._exact(plan, parameters)
        if not self.is_gated:
            return exact
        spending = budget.spending(
            parameters, dataset="t", commitment="c", contract="any", buyer="any", limits=self.limits
        )
        budget.spend(self.ledger, spending, computation=str(len(self.kept)), now=NOW)
        if spending.query not in self.kept:
            self.kept[spending.query] = noise.draw(plan.describe())
        drawn = self.kept[spending.query]
        return [[a + b for a, b in zip(*both, strict=True)] for both in zip(exact, drawn, strict=True)]

    def _exact(self, plan: sensitivity.Plan, parameters: Mapping[str, Any]) -> list[list[int]]:
        place = {labels: number for number, labels in enumerate(plan.labels)}
        found = [[0] * len(place) for _ in plan.components]
        for row in self.rows:
            if all(_passes(row, item) for item in parameters["filters"]):
                group = place[tuple(row[name] for name, _ in plan.groups)]
                for number, component in enumerate(plan.components):
                    found[number][group] += int(row[component.name]) if component.name else 1
        return found


def _passes(row: Row, item: Mapping[str, Any]) -> bool:
    if "in" in item:
        return row[item["column"]] in item["in"]
    return int(item["from"]) <= int(row[item["column"]]) <= int(item["to"])


def ages(low: int, high: int) -> dict[str, Any]:
    return {"column": "age", "from": str(low), "to": str(high)}


def with_epsilon(epsilon: str) -> dict[str, Any]:
    return {**LAPLACE, "epsilon": epsilon}


# --- differencing -------------------------------------------------------------------------------------------


def difference(owner: Owner) -> bool:
    """Everybody, less everybody but the one person of age 120: is that person's wage 1,000 rather than 0?

    Every pair of questions with another wide filter is a new answer; the analyst averages over all it can pay.
    """
    found = []
    for number in range(1000):
        narrow = {"column": "wage", "from": "0", "to": str(1000 + number)}
        try:
            everybody = owner.ask(asked(group_by=[], filters=[ages(0, 120), narrow]))[1][0]
            others = owner.ask(asked(group_by=[], filters=[ages(0, 119), narrow]))[1][0]
        except Refused:
            break
        found.append(everybody - others)
        if not owner.is_gated:
            break
    return sum(found) / max(1, len(found)) > 500


@pytest.mark.parametrize("is_gated", [True, False])
def test_differencing(is_gated):
    worlds, right = 100, 0
    for seed in range(worlds):
        secret = random.Random(seed).random() < 0.5
        rows = [
            *people(30, seed=seed),
            {**people(1, seed=seed + 1)[0], "age": "120", "wage": "1000" if secret else "0"},
        ]
        right += difference(Owner(rows, is_gated=is_gated)) == secret

    if is_gated:
        assert right / worlds <= allowed(worlds)
    else:
        assert right == worlds


# --- versions of the other table ------------------------------------------------------------------------------


class Matched(Owner):
    """The same owner, asked how many of its persons are in a table that belongs to the analyst."""

    def count(self, theirs: frozenset[int], *, version: int) -> int:
        """How many of this owner's persons, who are numbers, are in one version of the analyst's table."""
        exact = len(theirs.intersection(range(len(self.rows))))
        if not self.is_gated:
            return exact
        parameters = operations.matching(receiver=RECEIVER, privacy=LAPLACE)
        spending = budget.spending(
            parameters,
            dataset="t",
            commitment="c",
            contract="any",
            buyer="any",
            limits=self.limits,
            among=["own c", f"analyst {version}"],
        )
        budget.spend(self.ledger, spending, computation=str(version), now=NOW)
        if spending.query not in self.kept:
            self.kept[spending.query] = noise.draw(sensitivity.plan(self.meta, parameters).describe())
        return exact + self.kept[spending.query][0][0]


def probe(owner: Matched, *, target: int) -> bool:
    """A version of the own table with the target, less one without, for as long as it can be paid: is the target in?"""
    found = []
    for number in range(0, 1000, 2):
        plain = frozenset(range(20, 40))
        try:
            without = owner.count(plain, version=number)
            found.append(owner.count(plain | {target}, version=number + 1) - without)
        except Refused:
            break
        if not owner.is_gated:
            break
    return sum(found) / max(1, len(found)) > 0.5


@pytest.mark.parametrize("is_gated", [True, False])
def test_versions_of_the_analyst_s_own_table(is_gated):
    """With noise; without it, a second version is refused: `tests/unit/node/test_partitions.py`."""
    worlds, right = 100, 0
    for seed in range(worlds):
        secret = random.Random(seed).random() < 0.5
        owner = Matched(people(41 if secret else 40, seed=seed), is_gated=is_gated)
        right += probe(owner, target=40) == secret

    if is_gated:
        assert right / worlds <= allowed(worlds)
    else:
        assert right == worlds


# --- tracker ------------------------------------------------------------------------------------------------

DIMENSIONS = {"district": ("east", "west", "north"), "band": ("a", "b", "c", "d")}


def whole_blocks(persons: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Every question that tier 1 allows over these persons, as the persons whom each of its answers adds up."""
    described = metadata.from_schema(schema(rows=len(persons), blocks=DIMENSIONS, values={"wage": (0, 0, 1000)}))
    number = {labels: place for place, labels in enumerate(gate.labels(list(DIMENSIONS.values())))}
    blocks = [number[person] for person in persons]
    told = gate.released([blocks.count(block) for block in range(len(number))], k=K)
    found = []
    for group_by in chain.from_iterable(combinations(DIMENSIONS, size) for size in range(3)):
        for chosen in product_of_subsets():
            filters = [{"column": name, "in": list(kept)} for name, kept in chosen.items()]
            gate.check_query(described, group_by=group_by, filters=filters, min_group=K)
            grouping = [(name, DIMENSIONS[name]) for name in group_by]
            selection = gate.select(described.dimensions(), group_by=grouping, filters=filters)
            for group in range(selection.groups):
                found.append([int(told[b] and selection.group_of[b] == group) for b in blocks])
    return found


def product_of_subsets() -> list[dict[str, tuple[str, ...]]]:
    """Every filter on both dimensions: any non-empty choice of categories of each."""
    choices = {
        name: [c for size in range(1, len(found) + 1) for c in combinations(found, size)]
        for name, found in DIMENSIONS.items()
    }
    return [{"district": left, "band": right} for left in choices["district"] for right in choices["band"]]


def any_persons(count: int) -> list[list[int]]:
    """Questions under a rule that only looks at the size of what is asked: any ranges of at least k persons."""
    return [
        [int(low <= place < high) for place in range(count)]
        for low in range(count)
        for high in range(low + K, count + 1)
    ]


def isolated(questions: Sequence[Sequence[int]], wages: Sequence[int]) -> dict[int, int]:
    """The tracker: whose wage follows from the answers alone, by any combination of them at all.

    A person is isolated when the unit vector lies in the span of the questions; the wage is then that combination.
    """
    asked_of = np.unique(np.array(questions, dtype=float), axis=0)
    answers = asked_of @ np.array(wages, dtype=float)
    found = {}
    for person in range(len(wages)):
        unit = np.eye(len(wages))[person]
        weights, *_ = np.linalg.lstsq(asked_of.T, unit, rcond=None)
        if np.allclose(asked_of.T @ weights, unit, atol=1e-6):
            found[person] = round(float(weights @ answers))
    return found


def test_trackers_isolate_nobody_in_fixed_blocks_and_everybody_where_only_the_size_is_checked():
    drawn = random.Random(7)
    persons = [(drawn.choice(DIMENSIONS["district"]), drawn.choice(DIMENSIONS["band"])) for _ in range(120)]
    wages = [drawn.randint(0, 1000) for _ in persons]

    assert isolated(whole_blocks(persons), wages) == {}
    few = wages[:40]
    assert isolated(any_persons(40), few) == dict(enumerate(few))


def test_no_combination_of_tier_1_answers_speaks_of_fewer_than_k():
    """Every answer is the same for all persons of a block, so whatever is combined is, too."""
    drawn = random.Random(8)
    persons = [(drawn.choice(DIMENSIONS["district"]), drawn.choice(DIMENSIONS["band"])) for _ in range(150)]
    columns = np.array(whole_blocks(persons)).T  # one row for each person

    kinds, counts = np.unique(columns, axis=0, return_counts=True)
    for kind, count in zip(kinds, counts, strict=True):
        assert not kind.any() or count >= K


# --- averaging ----------------------------------------------------------------------------------------------


def test_asking_the_same_again_tells_the_same(tmp_path):
    """Fifty askers of one question, in every spelling, through the node's own store and noise."""
    parameters = asked(group_by=[], filters=[ages(0, 50)])
    fund, found = provider(tmp_path), set()
    store = fund.store
    for number in range(50):
        turned = {**parameters, "filters": [{"column": "age", "from": "0.0", "to": "50"}], "min_group": 10 + number}
        spending = budget.spending(
            turned, dataset="t", commitment="c" * 64, contract=f"c{number}", buyer=f"b{number}", limits=Limits()
        )
        with store.transaction() as connection:
            budget.spend(connection, spending, computation=f"j{number}", now=NOW)
        into = tmp_path / str(number)
        into.mkdir()
        arguments: dict[str, Any] = {"description": description(100), "wanted": spending, "store": store}
        noises.place(turned, **arguments, home=fund.config.home, into=into, draw=noise.draw)
        found.add(json.dumps(json.loads((into / noised.NOISE_FILE).read_text())["noise"]))

    assert len(found) == 1
    left = budget.balance(store.connection(), dataset="t", limits=Limits(), now=NOW).left_micro
    assert left == 900_000


def test_without_stored_answers_the_average_is_the_secret():
    plan = sensitivity.plan(meta(), asked(group_by=[])).describe()
    plan["groups"] = [["again", [str(number) for number in range(10_000)]]]  # as if each question drew anew
    counts, _ = noise.draw(plan)

    # Scale 20: ten thousand draws have a mean within 0.28 / 2 of zero, four deviations wide 1.13; one draw has 28.
    assert abs(sum(counts) / len(counts)) < 1.2
    assert max(map(abs, counts)) > 50


# --- reconstruction -----------------------------------------------------------------------------------------

PERSONS = 48


def secrets_of(seed: int) -> list[Row]:
    """Persons with an age of their own, which everybody knows, and a wage of 0 or 1,000, which nobody does."""
    drawn = random.Random(seed)
    return [
        {
            "person_id": str(n),
            "age": str(n),
            "wage": str(1000 * drawn.randint(0, 1)),
            "sex": "fm"[n % 2],
            "district": "east",
        }
        for n in range(PERSONS)
    ]


def reconstruct(owner: Owner, *, epsilon: str, seed: int) -> list[bool]:
    """Random sets of persons, as many as the budget pays, then least squares over all answers (Dinur and Nissim 2003).

    Sets are what two range filters and a group can say: an interval of ages, apart for women and men.
    """
    drawn, questions, answers = random.Random(seed), [], []
    for _ in range(300):
        low, high = sorted((drawn.randrange(PERSONS), drawn.randrange(PERSONS)))
        parameters = asked(filters=[ages(low, high)], privacy=with_epsilon(epsilon))
        try:
            totals = owner.ask(parameters)[1]
        except Refused:
            break
        for place, sex in enumerate("fm"):
            questions.append([int(low <= n <= high and "fm"[n % 2] == sex) for n in range(PERSONS)])
            answers.append(totals[place])
    found, *_ = np.linalg.lstsq(np.array(questions, dtype=float), np.array(answers, dtype=float), rcond=None)
    return [bool(value > 500) for value in found]


@pytest.mark.parametrize(("epsilon", "worlds"), [("0.1", 20), ("0.01", 4)])  # ten questions of a table, or a hundred
def test_reconstruction_within_the_budget_gets_no_more_than_the_bound(epsilon, worlds):
    right = 0
    for seed in range(worlds):
        rows = secrets_of(seed)
        owner = Owner(rows, is_gated=True)
        found = reconstruct(owner, epsilon=epsilon, seed=seed)
        right += sum(bit == (row["wage"] == "1000") for bit, row in zip(found, rows, strict=True))
        spent = owner.ledger.execute("SELECT sum(epsilon_micro) FROM spendings").fetchone()[0]
        assert spent <= 1_000_000

    assert right / (worlds * PERSONS) <= allowed(worlds * PERSONS)


def test_reconstruction_without_the_gate_gets_every_wage():
    rows = secrets_of(3)
    found = reconstruct(Owner(rows, is_gated=False), epsilon="0.1", seed=3)

    assert found == [row["wage"] == "1000" for row in rows]


def test_reconstruction_with_noise_but_without_a_budget_gets_nearly_every_wage():
    """Noise alone is no protection: a thousand times the year's budget, and the bits are there again."""
    rows = secrets_of(4)
    owner = Owner(rows, is_gated=True, limits=Limits(epsilon_micro=10**9, per_answer_micro=10**9))
    found = reconstruct(owner, epsilon="5", seed=4)

    right = sum(bit == (row["wage"] == "1000") for bit, row in zip(found, rows, strict=True))
    assert right / PERSONS > 0.95


# --- sizes and errors ---------------------------------------------------------------------------------------


def observed(rows: Sequence[Row], parameters: Mapping[str, Any], path: Any, *, is_gated: bool) -> tuple[Any, ...]:
    """What can be seen of an answer without opening it, and of opening it without reading a number."""
    stored = table(path, rows)
    described = meta(len(rows))
    try:
        plan = sensitivity.plan(described, parameters)
        exact = sums.totals(stored, described, plan, filters=parameters["filters"])
        if not is_gated:  # groups that are there, and a mean of each
            return len([count for count in exact[0] if count]), [
                total // count for total, count in zip(exact[1], exact[0], strict=True)
            ]
        hello = {"job": "d" * 64, "categories": dict(plan.groups), "digits": {"wage": 0}}
        hello["scales"] = {item.name: item.scale for item in plan.components}
        stage: Any = type("Stage", (), {"parameters": parameters, "job_digest": "d" * 64})()
        layout = noised.agree(stage, {0: hello, 1: hello})
        drawn = [[-(10**6)] * len(plan.labels)] * len(plan.components)  # the worst luck: every count far below zero
        numbers = noised.noised_totals(layout, plan, exact=exact, noise=drawn, meta=described)
        result = noised._finish(layout, numbers, parameters=parameters, min_group=K)
        return len(numbers), len(result.cells)
    except (EngineRefused, ZeroDivisionError) as error:
        return (type(error).__name__,)


def tables_apart(name: str) -> tuple[list[Row], list[Row]]:
    """Two tables that an analyst would like to tell apart."""
    rows = people(40, seed=1)
    one = {**rows[0], "person_id": "the one", "sex": "m", "age": "99"}
    women = [row for row in rows if row["sex"] == "f"]
    return {"one person more": (rows, [*rows, one]), "a group of its own": (women, [*women, one])}[name]


QUESTIONS: list[Callable[[], dict[str, Any]]] = [
    lambda: asked(),
    lambda: asked(filters=[ages(99, 99)]),  # one person, or nobody
    lambda: asked(group_by=["sex", "district"], filters=[{"column": "sex", "in": ["m"]}]),
    lambda: asked(filters=[{"column": "district", "in": ["nowhere"]}]),
]


@pytest.mark.parametrize("name", ["one person more", "a group of its own"])
def test_sizes_and_errors_are_the_same_whoever_is_in_the_table(tmp_path, name):
    left, right = tables_apart(name)
    differ = 0
    for number, question in enumerate(QUESTIONS):
        seen = [
            [
                observed(rows, question(), tmp_path / f"{number}-{place}-{gated}", is_gated=gated)
                for gated in (True, False)
            ]
            for place, rows in enumerate((left, right))
        ]
        assert seen[0][0] == seen[1][0]
        differ += seen[0][1] != seen[1][1]

    assert differ  # with the gate off, sizes or errors tell the two apart


def test_a_refusal_for_want_of_budget_depends_on_what_was_asked_and_on_no_row():
    for rows in (people(3, seed=1), people(300, seed=2)):
        owner = Owner(rows, is_gated=True)
        for number in range(10):
            owner.ask(asked(filters=[ages(0, number)]))
        with pytest.raises(Refused) as refused:
            owner.ask(asked(filters=[ages(0, 10)]))
        assert refused.value.code == "QUOTA_EXHAUSTED"
