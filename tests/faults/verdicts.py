"""Scenarios, how they may end, and the table of how they did."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.world import World


class Outcome(StrEnum):
    """How a case ended."""

    HEALED = "healed"
    DETECTED = "detected"
    SKIPPED = "skipped"
    BROKEN = "broken"


class Broken(AssertionError):
    """What the fault left is neither whole nor noticed."""


class Skip(Exception):
    """This case cannot be run here; the text says why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An ending that is allowed: `by` names who noticed."""

    outcome: Outcome
    by: tuple[str, ...] = ()


def healed() -> Verdict:
    """All is as if nothing had happened; the caller has let `outside` check that."""
    return Verdict(Outcome.HEALED)


def detected(by: Iterable[str], *, wanted: Iterable[str]) -> Verdict:
    """Somebody noticed; Broken where one of those who must have did not."""
    noticed = tuple(dict.fromkeys(by))
    missing = sorted(set(wanted) - set(noticed))
    if missing or not noticed:
        raise Broken(f"not noticed by {', '.join(missing) or 'anybody'}; noticed by {', '.join(noticed) or 'nobody'}")
    return Verdict(Outcome.DETECTED, noticed)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault; `guardless` says it is a sister, whose guard is off and which must end BROKEN."""

    name: str
    run: Callable[["World"], Verdict]
    guardless: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """How one seed of one scenario ended."""

    scenario: str
    seed: int
    outcome: Outcome
    seconds: float
    by: tuple[str, ...] = ()
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


SCENARIOS: dict[str, Scenario] = {}
SISTERS: dict[str, Scenario] = {}


def scenario(name: str) -> Callable[[Callable[["World"], Verdict]], Callable[["World"], Verdict]]:
    """Put a function among the scenarios."""

    def put(run: Callable[["World"], Verdict]) -> Callable[["World"], Verdict]:
        SCENARIOS[name] = Scenario(name, run)
        return run

    return put


def sister(name: str) -> Callable[[Callable[["World"], Verdict]], Callable[["World"], Verdict]]:
    """Put a function among those that show the harness can fail: a guard is off, the case must end BROKEN."""

    def put(run: Callable[["World"], Verdict]) -> Callable[["World"], Verdict]:
        SISTERS[name] = Scenario(name, run, guardless=True)
        return run

    return put


@dataclass
class Table:
    """All cases, and whether every one of them ended as it may."""

    target: str
    sisters: bool = False
    cases: list[Case] = field(default_factory=list)

    @property
    def failures(self) -> list[Case]:
        """The cases that ended otherwise; of the sisters, those whose missing guard nobody missed."""
        allowed = {Outcome.BROKEN} if self.sisters else {Outcome.HEALED, Outcome.DETECTED, Outcome.SKIPPED}
        return [case for case in self.cases if case.outcome not in allowed]

    def lines(self) -> list[str]:
        """The table as text, with a command for every case to look at."""
        by_name: dict[str, list[Case]] = {}
        for case in self.cases:
            by_name.setdefault(case.scenario, []).append(case)
        lines = [f"{'fault':<38}{'healed':>8}{'detected':>9}{'broken':>8}{'median':>9}  noticed by (of all seeds)"]
        for name, cases in by_name.items():
            counts = Counter(case.outcome for case in cases)
            who = Counter(one for case in cases for one in case.by)
            seen = ", ".join(f"{one} {count}" for one, count in who.most_common())
            if counts[Outcome.SKIPPED]:
                seen = f"skipped {counts[Outcome.SKIPPED]}: {cases[0].why}"
            if self.sisters and counts[Outcome.BROKEN]:
                seen = cases[0].why
            median = statistics.median(case.seconds for case in cases)
            numbers = "".join(f"{counts[one] or '·':>{width}}" for one, width in _COLUMNS)
            lines.append(f"{name:<38}{numbers}{median:>8.1f}s  {seen}")
        for case in self.failures:
            again = f"make faults FAULTS={self.target} ONLY={case.scenario} SEED={case.seed}"
            option = " SISTERS=1" if self.sisters else ""
            lines += [
                "",
                f"{case.scenario}, seed {case.seed}: {case.why or case.outcome}",
                f"    again: {again}{option}",
            ]
        return lines

    def summary(self) -> dict[str, Any]:
        """The same for programs."""
        counts = Counter(str(case.outcome) for case in self.cases)
        return {
            "faults": self.target,
            "sisters": self.sisters,
            "ok": not self.failures and bool(self.cases),
            "scenarios": len({case.scenario for case in self.cases}),
            "seeds": len({case.seed for case in self.cases}),
            "outcomes": dict(counts),
            "failed": [{"scenario": case.scenario, "seed": case.seed, "why": case.why} for case in self.failures],
        }


_COLUMNS = ((Outcome.HEALED, 8), (Outcome.DETECTED, 9), (Outcome.BROKEN, 8))
