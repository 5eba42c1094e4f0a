"""A model between two parties as each keeps it: how it standardised its columns, and its shares of the weights.

The bank keeps its shares of the weights of the agency's columns, then, whole, the weights of its own columns and the
constant; the agency keeps its shares of the weights of its columns. 16 bytes each, modulo 2^128, 18 binary places.
"""

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.engines import greeting
from compute.engines.errors import EngineRefused
from compute.engines.scoring import forms, kept
from compute.engines.scoring.moments import LARGEST, RING, VALUE_BITS
from compute.engines.scoring.training import MINIMUM_ROWS

SHARE_BYTES = 16

Int64 = NDArray[np.int64]


def standardised(values: Int64, usable: Any, *, model: kept.SharedModel) -> tuple[Int64, kept.SharedModel]:
    """Whole numbers of 2^-12 of a spread from the mean of the usable rows, zero where not usable; and how it was done.

    Shapes: values, usable (columns, rows).

    Raises:
        EngineRefused: MIN_GROUP_TOO_SMALL when too few rows of a column may be used.
    """
    if any(int(one.sum()) < MINIMUM_ROWS for one in usable):
        raise EngineRefused("MIN_GROUP_TOO_SMALL", f"A model needs {MINIMUM_ROWS} usable rows; add more.")
    means = tuple(float(column[one].mean()) for column, one in zip(values, usable, strict=True))
    spreads = tuple(float(column[one].std()) or 1.0 for column, one in zip(values, usable, strict=True))
    made = replace(model, means=means, spreads=spreads)
    return scaled(values, usable, model=made), made


def scaled(values: Int64, usable: Any, *, model: kept.SharedModel) -> Int64:
    """The same with the means and spreads of a model that is kept."""
    centred = (values - np.array(model.means)[:, None]) / np.array(model.spreads)[:, None]
    found = np.clip(np.rint(centred * (1 << VALUE_BITS)), -LARGEST, LARGEST).astype(np.int64)
    whole: Int64 = found * usable
    return whole


def write_shares(shares: Sequence[int]) -> bytes:
    """Shares as they are sent and kept."""
    return b"".join(share.to_bytes(SHARE_BYTES, "big") for share in shares)


def read_shares(data: bytes, *, count: int) -> list[int]:
    """Shares that somebody wrote; EngineRefused JOB_DIFFERS for another number."""
    if len(data) != count * SHARE_BYTES:
        raise greeting.differs("Shares have another length than agreed; check the versions.")
    return [int.from_bytes(data[start : start + SHARE_BYTES], "big") for start in range(0, len(data), SHARE_BYTES)]


def shares(model: kept.SharedModel, *, count: int) -> list[int]:
    """What a party keeps of the weights."""
    return read_shares(base64.b64decode(model.shares or ""), count=count)


def agency_points(values: Int64, *, model: kept.SharedModel, factor: int) -> list[int]:
    """What the agency's shares make of its rows, modulo 2^64, of which the sum keeps fewer bits.

    Shapes: values (columns, rows), standardised; result (rows,).
    """
    coefficients = forms.trained_coefficients(shares(model, count=len(values)), factor=factor)
    found: list[int] = (np.array(coefficients, np.int64) @ values).tolist()  # wraps around, which is all right here
    return found


def bank_points(values: Int64, *, model: kept.SharedModel, theirs: int, offset: int, factor: int) -> list[int]:
    """What the bank's own columns and the constant make of its rows, in units of 2^-30 points.

    Shapes: values (columns, rows), standardised; result (rows,).
    """
    own = [_signed(share) for share in shares(model, count=theirs + len(values) + 1)[theirs:]]
    start = (offset << forms.TRAINED_SHIFT) - factor * (own[-1] << VALUE_BITS)
    rows = values.T.tolist()
    return [start - factor * sum(weight * value for weight, value in zip(own[:-1], row, strict=True)) for row in rows]


def _signed(share: int) -> int:
    return share - RING if 2 * share > RING else share
