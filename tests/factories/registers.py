"""A land register and declarations as the private look-up scenario describes them; regions 9901xx do not exist."""

import random
from dataclasses import dataclass

REGISTER_COLUMNS = ("pid", "unit_no", "area_m2", "usage", "share_kind", "acquired_on")
DECLARATION_COLUMNS = ("batch_no", "official", "person", "relation", "declared_units")
BATCHES, BATCH_SIZE = 19, 45


@dataclass(frozen=True)
class Declared:
    """One row of the requester's own table."""

    batch: int
    official: str
    person: str
    relation: str
    units: int

    def row(self) -> tuple[str, ...]:
        """Its cells."""
        return (str(self.batch), self.official, self.person, self.relation, str(self.units))


@dataclass(frozen=True)
class Scenario:
    """The register's rows and the requester's declarations."""

    register: list[tuple[str, ...]]
    declarations: list[Declared]

    def batch(self, number: int) -> list[Declared]:
        """The declarations of one batch."""
        return [item for item in self.declarations if item.batch == number]

    def oracle(self, declared: Declared) -> dict[str, object]:
        """What a plain search finds for one declaration: records and verdict."""
        records = [list(row[1:]) for row in self.register if row[0].upper() == declared.person.upper()]
        verdict = "match" if records else "no_record"
        if len(records) != declared.units:
            verdict = "undeclared" if len(records) > declared.units else "over_declared"
        return {
            "verdict": verdict,
            "declared": declared.units,
            "found": len(records),
            "records": records,
        }


def resident_id(rng: random.Random) -> str:
    """An identity number with a valid check character (GB 11643) and a region that does not exist."""
    birth = f"{rng.randrange(1945, 2008)}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}"
    body = f"9901{rng.randrange(1, 30):02d}{birth}{rng.randrange(1000):03d}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return body + "10X98765432"[sum(int(digit) * weight for digit, weight in zip(body, weights, strict=True)) % 11]


def scenario(*, seed: int, register_persons: int) -> Scenario:
    """855 persons in 19 batches of 45: officials, spouses, and of every second official one relative more.

    32 of 100 hold something; 6 of 100 officials have one unit more than they declared, 2 of 100 one fewer.
    """
    rng = random.Random(seed)
    known: set[str] = set()

    def person() -> str:
        while (found := resident_id(rng)) in known:
            continue
        known.add(found)
        return found

    register: list[tuple[str, ...]] = []
    for _ in range(register_persons):
        register += _units(rng, person(), 1 + (rng.random() > 0.78) + (rng.random() > 0.94))
    declarations: list[Declared] = []
    for batch in range(1, BATCHES + 1):
        official = ""
        for place in range(BATCH_SIZE):
            relation = ("本人", "配偶", "子女")[place % 5 % 3 if place % 5 < 3 else place % 5 - 3]
            own = person()
            official = own if relation == "本人" else official
            held = 1 + (rng.random() > 0.78) if rng.random() < 0.32 else 0
            register += _units(rng, own, held)
            shift = rng.random() if relation == "本人" else 1.0
            declared = max(0, held - 1) if shift < 0.06 else held + 1 if shift < 0.08 else held
            declarations.append(Declared(batch, official, own, relation, declared))
    rng.shuffle(register)
    return Scenario(register, declarations)


def _units(rng: random.Random, person: str, count: int) -> list[tuple[str, ...]]:
    return [
        (
            person,
            f"99{rng.randrange(10**10):010d}GB{rng.randrange(10**5):05d}F{rng.randrange(10**8):08d}",
            f"{rng.randrange(3000, 30000) / 100:.2f}",
            rng.choice(("住宅", "商业", "车位")),
            rng.choice(("单独所有", "共同共有")),
            f"{rng.randrange(1995, 2026)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}",
        )
        for _ in range(count)
    ]
