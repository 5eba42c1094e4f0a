"""Drawing noise with OpenDP: `python -I -m compute.engines.privacy.noise` reads a plan and writes the noise, as JSON.

The noise does not depend on any row: adding it to exact integers is the mechanism. So a node draws it once for each
distinct query, after the budget is spent, and keeps it; a repeated query gets the same noise again. OpenDP's samplers
are exact (no floating point) and draw from the operating system; its own privacy map is asked what was spent, and a
mechanism that would spend more than the plan's epsilon is not run.

Source: opendp.org, make_laplace and make_gaussian over vectors of 64-bit integers; Canonne, Kamath and Steinke 2020.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import prod
from typing import Any

from compute.engines.privacy import sensitivity
from compute.protocol import privacy


def draw(plan: Mapping[str, Any]) -> list[list[int]]:
    """Noise for each component, one number for each group; `plan` is what `Plan.describe` gives.

    Shapes: result (components, groups).
    Raises:
        ArithmeticError: OpenDP's map says that more than epsilon would be spent; nothing has been drawn.
    """
    import opendp.prelude as dp  # loads numpy: only in the process that draws

    dp.enable_features("contrib")
    groups = prod(len(categories) for _, categories in plan["groups"])
    is_laplace = plan["mechanism"] == privacy.LAPLACE
    metric = dp.l1_distance(T="i64") if is_laplace else dp.l2_distance(T=float)
    make: Any = dp.m.make_laplace if is_laplace else dp.m.make_gaussian
    domain = dp.vector_domain(dp.atom_domain(T="i64"))
    mechanisms = [make(domain, metric, scale=scale) for _, _, scale in plan["components"]]
    spent = [
        found.map(moved if is_laplace else float(moved))
        for found, (_, moved, _) in zip(mechanisms, plan["components"], strict=True)
    ]
    _check_spent(plan, spent)
    return [[int(number) for number in found([0] * groups)] for found in mechanisms]


def _check_spent(plan: Mapping[str, Any], spent: Sequence[float]) -> None:
    total = sum((Fraction(found) for found in spent), Fraction(0))
    if plan["mechanism"] == privacy.LAPLACE:
        allowed = Fraction(plan["epsilon_micro"], privacy.MICRO)
    else:
        allowed = Fraction(sensitivity.rho_of(plan["epsilon_micro"], plan["delta_pico"])) * (1 + Fraction(1, 10**9))
    if total > allowed:
        raise ArithmeticError("the noise would spend more than it was allowed")


if __name__ == "__main__":
    json.dump(draw(json.load(sys.stdin)), sys.stdout)
