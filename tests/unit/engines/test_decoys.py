"""Sticky households: the same set each time (A2), and a target no better found than one in k (A3)."""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from compute.engines import decoys
from compute.engines.decoys import Household

K, TRIALS = 20, 1_000
SECRET = b"s" * 32
View = Sequence[tuple[Household, ...]]


def _directory(count: int, *, seed: int = 1) -> list[Household]:
    rng = random.Random(seed)
    return [
        Household(
            f"h{number}",
            rng.choice(["990101", "990102", "990103"]),
            rng.choice(["30", "40", "50"]),
            tuple(f"p{number}-{member}" for member in range(rng.randrange(1, 5))),
        )
        for number in range(count)
    ]


DIRECTORY = _directory(1_200)
PLAN = decoys.plan(DIRECTORY, secret=SECRET, k=K)


def _ask(target: Household, directory: Sequence[Household] = DIRECTORY) -> tuple[Household, ...]:
    return decoys.anonymity_set(PLAN, directory, target, secret=SECRET)


def test_one_target_is_asked_for_in_one_set_and_so_are_all_of_its_set() -> None:
    """A2."""
    for target in DIRECTORY[:40]:
        found = _ask(target)
        assert target in found
        assert K <= len(found) < 2 * K
        assert {(item.region, item.age_band) for item in found} == {(target.region, target.age_band)}
        assert all(_ask(other) == found for other in found)


def test_households_that_come_later_join_a_set_and_cut_none_anew() -> None:
    later = [*DIRECTORY, *(Household(f"new{n}", "990101", "30", ("x",)) for n in range(50))]
    for target in DIRECTORY[:40]:
        assert set(_ask(target, later)) >= set(_ask(target))


def test_small_classes_and_regions_are_joined() -> None:
    few = [Household("a", "990199", "30", ()), *(Household(f"b{n}", "990198", str(n % 7), ()) for n in range(25))]
    cut = decoys.plan([*DIRECTORY, *few], secret=SECRET, k=K)
    for target in few:
        assert len(decoys.anonymity_set(cut, [*DIRECTORY, *few], target, secret=SECRET)) >= K


def test_what_cannot_be_hidden_is_refused() -> None:
    with pytest.raises(ValueError, match="a set needs"):
        decoys.plan(DIRECTORY[:5], secret=SECRET, k=K)
    with pytest.raises(ValueError, match="not in the directory"):
        _ask(Household("stranger", "990101", "30", ()))


def _in_every_set(view: View) -> list[Household]:
    """Who stands in all sets of a case: the classifier that finds targets where decoys are drawn anew."""
    seen = Counter(household for found in view for household in found)
    most = max(seen.values())
    return [household for household in seen if seen[household] == most]


CLASSIFIERS: dict[str, Callable[[View], Household]] = {
    "first": lambda view: view[0][0],
    "last": lambda view: view[-1][-1],
    "largest": lambda view: max(view[0], key=lambda item: (len(item.persons), item.name)),
    "oldest name": lambda view: min(view[0], key=lambda item: item.name),
    "in every set": lambda view: sorted(_in_every_set(view), key=lambda item: item.name)[0],
}


def _success(sets: Callable[[random.Random, Household], tuple[Household, ...]], classifier: str) -> float:
    """How often a classifier names the target after it was asked for three times."""
    rng, hits = random.Random(3), 0
    for _ in range(TRIALS):
        target = rng.choice(DIRECTORY)
        hits += CLASSIFIERS[classifier]([sets(rng, target) for _ in range(3)]) == target
    return hits / TRIALS


_known = {target.name: _ask(target) for target in DIRECTORY}


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_no_classifier_names_the_target_better_than_one_in_k(classifier: str) -> None:
    """A3: a thousand targets, each asked for three times; 1/k and four standard deviations."""
    bound = 1 / K + 4 * math.sqrt((1 / K) * (1 - 1 / K) / TRIALS)
    assert _success(lambda _, target: _known[target.name], classifier) <= bound


def test_decoys_drawn_anew_give_the_target_away() -> None:
    """The sister: without stickiness, who stands in all three sets is the target."""

    def fresh(rng: random.Random, target: Household) -> tuple[Household, ...]:
        found = [target, *rng.sample(DIRECTORY, K - 1)]
        rng.shuffle(found)
        return tuple(found)

    assert _success(fresh, "in every set") > 0.9


def test_without_the_secret_the_sets_are_others() -> None:
    other = decoys.plan(DIRECTORY, secret=b"t" * 32, k=K)
    target = DIRECTORY[0]
    assert set(decoys.anonymity_set(other, DIRECTORY, target, secret=b"t" * 32)) != set(_ask(target))
