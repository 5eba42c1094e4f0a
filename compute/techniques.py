"""Which technique may touch which data: the policy matrix of the exchange, as one table (pure).

Deny by default: what no row names is refused. `TABLE` rows are read from the top and the first that
matches decides the techniques; every `OVERLAYS` row that matches then narrows the answer, adds
controls or stops it. Several products are judged one by one and `combine`d to the strictest answer.
The table is judged again whenever a computation is authorized: grade, consent and certificate may
have changed since the product was listed.

Source: the exchange's domain rules, policy matrix P0 to P19 (DSL, PIPL, NDSR, JR/T 0197, HGR and
others; `docs/subsystems/dispatch.md` says how the rows are read).
"""

from collections.abc import Iterable, Sequence

from compute.technique_rows import OVERLAYS, TABLE
from compute.technique_words import (
    DENIED,
    EVIDENCE,
    FLOOR_MIN_CELL,
    PURPOSES,
    VERSION,
    Classification,
    Control,
    Decision,
    Facts,
    Flag,
    Personal,
    Row,
    TaskKind,
    Technique,
    Verdict,
    When,
)

__all__ = [
    "DENIED",
    "FLOOR_MIN_CELL",
    "OVERLAYS",
    "PURPOSES",
    "TABLE",
    "VERSION",
    "Classification",
    "Control",
    "Decision",
    "Facts",
    "Flag",
    "Personal",
    "Row",
    "TaskKind",
    "Technique",
    "Verdict",
    "When",
    "combine",
    "decide",
]


def decide(facts: Facts) -> Decision:
    """Judge one product for one use. Pure: the same facts and table version give the same answer."""
    row = next((row for row in TABLE if row.matches(facts)), None)
    if row is None:
        return _refusal(
            DENIED,
            "策略表没有允许这种用法，默认拒绝。",
            "No row of the policy table allows this use; it is refused by default.",
        )
    if row.verdict is Verdict.REJECTED:
        return _refusal(row.rule, row.zh, row.en)
    allowed, controls, min_cell = row.allowed or frozenset(), row.controls, row.min_cell
    fired: list[Row] = [row]
    for overlay in OVERLAYS:
        if not overlay.matches(facts):
            continue
        if overlay.verdict is Verdict.REJECTED:
            return _refusal(overlay.rule, overlay.zh, overlay.en)
        fired.append(overlay)
        allowed = allowed if overlay.allowed is None else allowed & overlay.allowed
        controls = (controls | overlay.controls) - overlay.waives
        min_cell = max(min_cell, overlay.min_cell)
    if not allowed:
        return _refusal(DENIED, "各条规则没有共同允许的技术。", "The rules that apply have no technique in common.")
    missing = frozenset(c for c in controls if c in EVIDENCE and not EVIDENCE[c] & facts.all_flags())
    held = bool(missing) or any(found.verdict is Verdict.HELD for found in fired)
    return Decision(
        rule=row.rule,
        verdict=Verdict.HELD if held else Verdict.ALLOWED,
        allowed=allowed,
        controls=controls,
        min_cell=min_cell,
        zh="".join(found.zh for found in fired),
        en=" ".join(found.en for found in fired),
        overlays=tuple(dict.fromkeys(found.rule for found in fired[1:])),
        missing=missing,
    )


def combine(decisions: Sequence[Decision]) -> Decision:
    """The strictest of several products' answers: techniques in common, controls of all, largest cell.

    Any refusal is the answer. The row named is that of the product with the most controls.
    """
    if not decisions:
        return _refusal(DENIED, "没有可供判断的产品。", "There is no product to judge.")
    refused = next((decision for decision in decisions if decision.verdict is Verdict.REJECTED), None)
    if refused is not None:
        return refused
    allowed = frozenset.intersection(*(decision.allowed for decision in decisions))
    if not allowed:
        return _refusal(DENIED, "各产品没有共同允许的技术。", "The products have no allowed technique in common.")
    strictest = max(decisions, key=lambda decision: (len(decision.controls), decision.min_cell, decision.rule))
    held = any(decision.verdict is Verdict.HELD for decision in decisions)
    return Decision(
        rule=strictest.rule,
        verdict=Verdict.HELD if held else Verdict.ALLOWED,
        allowed=allowed,
        controls=_union(decision.controls for decision in decisions),
        min_cell=max(decision.min_cell for decision in decisions),
        zh=strictest.zh,
        en=strictest.en,
        overlays=tuple(sorted({rule for decision in decisions for rule in decision.overlays})),
        missing=_union(decision.missing for decision in decisions),
    )


def _union(sets: Iterable[frozenset[Control]]) -> frozenset[Control]:
    return frozenset().union(*sets)


def _refusal(rule: str, zh: str, en: str) -> Decision:
    return Decision(rule, Verdict.REJECTED, frozenset(), frozenset(), FLOOR_MIN_CELL, zh, en)
