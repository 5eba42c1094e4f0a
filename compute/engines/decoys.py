"""Sticky households: whom to ask for beside those one means, where no encrypted table may be shipped.

Every household belongs to one fixed set of at least k households of the same region and age, and a look-up of any
member asks for all persons of all households of the set. So two look-ups of one person ask for the same, a look-up
of a neighbour in the set asks for that same again, and however many are seen, each of the k is as likely as the
others. Whole households, because a family among strangers stands out.

The sets are cut once: households of a class (region and age) in order of a keyed value, k after k, the last set
taking what is left over. The cuts are kept, as keyed values. Households that come later fall between two cuts, so
no set is ever cut anew: a set that changed its members would give its constant ones away. Classes of fewer than k
households are joined with those of their region, and regions of fewer than k with one another.

Seven households, keyed values 3 8 15 | 21 40 77 95, k = 3: cut at 21. A new one with 50 joins the second set.

What it gives is one in k, not more: the register's owner reads all k households' records and knows that one was meant.
Prior knowledge counts: an owner that expects a certain official does not need the set. The look-up through an encrypted
table (`lookup.py`) has neither weakness; this is the light alternative.
"""

import bisect
import hmac
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MINIMUM = 2
DEFAULT = 100
_VALUE = b"hengshu/decoys/household/v1"


@dataclass(frozen=True, slots=True)
class Household:
    """One household of the directory that the requester keeps: its name there, its class, and its persons."""

    name: str
    region: str
    age_band: str
    persons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The cuts: for each class the keyed values at which a set ends and the next begins; made once, then kept."""

    k: int
    joined: Mapping[tuple[str, str], str]  # class -> the pool it was joined into
    cuts: Mapping[str, tuple[bytes, ...]]


def plan(households: Sequence[Household], *, secret: bytes, k: int = DEFAULT) -> Plan:
    """Cut a directory into sets of at least k households.

    Raises:
        ValueError: the directory has fewer than k households, or k is no number of households to hide among.
    """
    if not MINIMUM <= k <= len(households):
        raise ValueError(f"a set needs between {MINIMUM} and all {len(households)} households")
    joined = _pools(households, k)
    values: dict[str, list[bytes]] = defaultdict(list)
    for household in households:
        values[joined[household.region, household.age_band]].append(_keyed(household.name, secret))
    cuts = {}
    for pool, found in values.items():
        found.sort()
        cuts[pool] = tuple(found[number * k] for number in range(1, len(found) // k))
    return Plan(k, joined, cuts)


def anonymity_set(
    cut: Plan, households: Sequence[Household], target: Household, *, secret: bytes
) -> tuple[Household, ...]:
    """The households to ask for when one of them is meant, in an order that says nothing; the target among them.

    Raises:
        ValueError: the target is of a class that the plan does not know, or is not in the directory.
    """
    pool = cut.joined.get((target.region, target.age_band))
    if pool is None or target not in households:
        raise ValueError("the target is not in the directory that was cut")
    wanted = bisect.bisect_right(cut.cuts[pool], _keyed(target.name, secret))
    found = [
        (value, household)
        for household in households
        if cut.joined.get((household.region, household.age_band)) == pool
        and bisect.bisect_right(cut.cuts[pool], value := _keyed(household.name, secret)) == wanted
    ]
    return tuple(household for _, household in sorted(found, key=lambda item: item[0]))


def _pools(households: Sequence[Household], k: int) -> dict[tuple[str, str], str]:
    """The pool of each class: its own, its region's, or that of all small regions together."""
    classes: dict[tuple[str, str], int] = defaultdict(int)
    for household in households:
        classes[household.region, household.age_band] += 1
    pools = {found: "/".join(found) if count >= k else found[0] for found, count in classes.items()}
    rest: dict[str, int] = defaultdict(int)
    for found, count in classes.items():
        rest[pools[found]] += count
    small = {pool for pool, count in rest.items() if count < k}
    if small and sum(rest[pool] for pool in small) < k:  # too few even together: they join the largest pool
        largest = max(rest, key=lambda pool: (rest[pool], pool))
        return {found: largest if pool in small else pool for found, pool in pools.items()}
    return {found: "" if pool in small else pool for found, pool in pools.items()}


def _keyed(name: str, secret: bytes) -> bytes:
    return hmac.digest(secret, _VALUE + name.encode(), "sha256")[:16]
