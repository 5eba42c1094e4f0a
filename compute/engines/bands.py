"""Counts of persons by declared bands, in the first tier of the privacy gate.

An owner may declare *cuts* of a numeric column (`bands = [3000, 6000]` in schema.toml): the bands below 3000, from
3000 to below 6000, from 6000. They are part of the dataset's version as its block dimensions are, so that a column is
only ever counted over one partition of its persons, blocks by bands, whatever anybody asks: two answers never
differ by the persons between 3000 and 3001.

The counts of one block over the bands of one column are its *histogram*. It is *told* whole or not at all, by a rule
that looks at this block and this column alone and at no request: every band has nobody or at least k persons, and
at least two bands have somebody.

- Leaving out only the small bands would not do: the block's own count is told too, and the count less the other
  bands is the small one. A second band left out beside it does not help where sums are told: of 11 persons who were
  late once or twice and 18 times together, 4 were late once and 7 twice. A histogram that is told has no small band
  that could be found, and one that is not told adds nothing to what count and sums tell anyhow.
- One band that holds everybody would tell each person's band.

Pure Python: the node's daemon may use it for previews.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil


def told(histogram: Sequence[int], *, k: int) -> list[int]:
    """What enters answers of the histogram of one block: the whole of it, or nobody in any band.

    Args:
        histogram: persons of one block in each band of one column, in order of the cuts.
    """
    somebody = [count for count in histogram if count]
    return list(histogram) if len(somebody) >= 2 and min(somebody) >= k else [0] * len(histogram)


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
