"""Counts of persons by declared bands, in the first tier of the privacy gate.

An owner may declare *cuts* of a numeric column (`bands = [3000, 6000]` in schema.toml): the bands below 3000, from
3000 to below 6000, from 6000. They are part of the dataset's version as its block dimensions are. A request names
no cuts, so that two answers never differ by the persons between 3000 and 3001.

Blocks by the bands of *all* banded columns are one fixed partition of the persons; a set of it is a *cell*. Counts
of a block by bands are *told* only where every cell of the block has nobody or at least k persons, whichever column
is asked for: a rule of the block and of the schema, not of the request. So whatever anybody combines out of any
number of answers is a combination of cells of at least k persons.

- Leaving out only the small bands would not do: the block's own count is told too, and the count less the other
  bands is the small one. A second band left out beside it does not help where sums are told: of 11 persons who were
  late once or twice and 18 times together, 4 were late once and 7 twice. A block that is told has no small band
  that could be found, and one that is not told adds nothing to what count and sums tell anyhow.
- Looking at each column for itself would not do: 20 persons earn below 3000 a month, 21 below 36,001 a year.
- One band that holds everybody would tell each person's band, so a column is told only where two bands have somebody.

Pure Python: the node's daemon may use it for previews.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, prod


def told(cells: Sequence[int], *, k: int) -> list[int]:
    """What enters answers of one block's cells: all of them, or nobody in any.

    Args:
        cells: persons of one block in each combination of the banded columns' bands, the last column's running fastest.
    """
    return [0] * len(cells) if any(0 < count < k for count in cells) else list(cells)


def histogram(cells: Sequence[int], *, widths: Sequence[int], place: int) -> list[int]:
    """Persons in each band of one column, nobody in any where only one band has somebody.

    Args:
        widths: number of bands of each banded column; place: which of them.
    """
    step = prod(widths[place + 1 :])
    found = [0] * widths[place]
    for number, count in enumerate(cells):
        found[number // step % widths[place]] += count
    return found if sum(1 for count in found if count) > 1 else [0] * widths[place]


def holding(histogram: Sequence[int], probability: Fraction) -> int:
    """Number of the band in which a quantile lies: that of the ⌈p·N⌉-th smallest of the N persons counted.

    Args:
        histogram: at least one person; probability: above 0, below 1.
    """
    place = ceil(probability * sum(histogram))
    for band, count in enumerate(histogram):
        place -= count
        if place <= 0:
            return band
    raise ValueError("the probability is not below 1")
