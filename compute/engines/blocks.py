"""What one owner's rows add up to, block by block: the seam between counting rows and letting numbers out.

Whoever gates or noises works on these few numbers and never on rows. Pure Python, exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BlockTotals:
    """Totals of each block, in order of block number; scaled integers of the owner's own scales.

    Args:
        counts: persons; sums, squares: of each value column; products: of each pair of value columns;
        cells: persons of each block in each combination of all banded columns' bands (`bands.py`); empty if unasked.
    """

    counts: list[int]
    sums: Mapping[str, Sequence[int]] = field(default_factory=dict)
    squares: Mapping[str, Sequence[int]] = field(default_factory=dict)
    products: Mapping[tuple[str, str], Sequence[int]] = field(default_factory=dict)
    cells: Sequence[Sequence[int]] = ()
