"""What runs under ABY3 among three parties: a join that shows nobody who met whom, scoring, and training.

The join. The requester's n keys (padded) and one agency's m keys (padded) are keyed hashes of 59 bits with a last bit
for the side, all of them secret. One sort brings equal hashes together, the requester's first: a difference of exactly
one between neighbours is a match, and whether there is one stays a secret bit. A second sort by place brings the
requester's rows back into its own order, each with what the neighbour had. Both sorts do the same work whatever the
keys are. Example: requester 7, 9; agency 9 with months 30. Doubled keys 14, 18, 19 in order; 19 - 18 = 1, so the second
row carries (1, 30) and the first (0, 0).

Two hashes of n + m rows are equal by chance with probability below (n + m)^2 / 2^60: 2^-24 at 2^18 rows.

Sources: Mohassel, Rindal and Rosulek, Fast Database Joins and PSI for Secret Shared Data, CCS 2020 (join on shares);
Asharov et al., Efficient Secure Three-Party Sorting, CCS 2022 (the library's radix sort).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import spu
import spu.libspu as libspu
import spu.utils.frontend as frontend
from numpy.typing import NDArray

from compute.engines.scoring import answers, sharing
from compute.engines.scoring.cards import HIGHEST, LOWEST, REASONS

Int64 = NDArray[np.int64]
_SECRET = libspu.Visibility.VIS_SECRET
BITS = 3  # rows of an agency's columns before its values: consent, the spouse's consent, dispute


class Circuit:
    """One party's side of the computation among three; variables stay shared between the programs it runs."""

    def __init__(self, connection: Any, *, index: int) -> None:
        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]  # jax leaves it untyped
        config = libspu.RuntimeConfig(protocol=libspu.ProtocolKind.ABY3, field=libspu.FieldType.FM64)
        config.experimental_enable_colocated_optimization = True  # an input stays with its owner until it is used
        config.sigmoid_mode = libspu.RuntimeConfig.SigmoidMode.SIGMOID_REAL
        self.index = index
        self._runtime, self._io = spu.Runtime(connection, config), spu.Io(sharing.PARTIES, config)
        self._shapes: dict[str, Any] = {}

    def own(self, name: str, shape: Sequence[int], *, owner: int, array: Int64 | None) -> None:
        """Input of one of the three; the others give None."""
        found = np.zeros(tuple(shape), np.int64) if array is None else np.ascontiguousarray(array, np.int64)
        if found.shape != tuple(shape):
            raise ValueError("an input has another shape than agreed")
        self._runtime.set_var(name, self._io.make_shares(found, _SECRET, owner)[self.index])
        self._shapes[name] = np.zeros(tuple(shape), np.int64)

    def received(self, name: str, shape: Sequence[int], content: bytes) -> None:
        """Input of a party outside: this party's share of it."""
        self._runtime.set_var(name, sharing.load(content, shape, index=self.index))
        self._shapes[name] = np.zeros(tuple(shape), np.int64)

    def run(self, program: Callable[..., Any], inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Run a program over named variables; its results stay shared under the names of the outputs."""
        examples = [self._shapes[name] for name in inputs]
        executable, made = frontend.compile(
            frontend.Kind.JAX, program, examples, {}, list(inputs), [_SECRET] * len(inputs), lambda _: list(outputs)
        )
        self._runtime.run(executable)
        for name, found in zip(outputs, jax.tree_util.tree_leaves(made), strict=True):
            self._shapes[name] = np.zeros(found.shape, found.dtype)

    def share(self, name: str) -> Any:
        """This party's share of a variable."""
        return self._runtime.get_var(name)

    def forget(self, *names: str) -> None:
        """Drop variables that are not needed any more."""
        for name in names:
            self._runtime.del_var(name)
            del self._shapes[name]


def join(slots: int, rows: int) -> Callable[..., Any]:
    """The hidden join for `slots` keys of the requester and `rows` keys of one agency.

    Shapes: keys (slots,), theirs (rows,), columns (w, rows); result (1 + w, slots): found, then the columns, which
        are zero where nothing was found.
    """
    places = np.concatenate([np.arange(slots), np.full(rows, slots)]).astype(np.int64)

    def program(keys: Any, theirs: Any, columns: Any) -> Any:
        width = columns.shape[0]
        both = jnp.concatenate([2 * keys, 2 * theirs + 1])
        wide = jnp.concatenate([jnp.zeros((width, slots), jnp.int64), columns], axis=1)
        both, place, *payload = jax.lax.sort([both, jnp.asarray(places), *wide], num_keys=1)
        # A match follows the requester's row at a difference of one, everything else at two or more; that is cheaper to
        # ask than equality. Behind an agency's row it may hold as well, and goes nowhere.
        is_same = (both[1:] - both[:-1] < 2).astype(jnp.int64)
        nothing = jnp.zeros(1, jnp.int64)
        beside = [jnp.concatenate([found, nothing]) for found in (is_same, *(one[1:] for one in payload))]
        _, *back = jax.lax.sort([place, *beside], num_keys=1)
        found = back[0][:slots]
        return jnp.stack([found, *(found * one[:slots] for one in back[1:])])

    return program


@dataclass(frozen=True, slots=True)
class Layout:
    """What the three must know of a scoring: numbers of features, nothing of the model.

    Args:
        widths: features of each agency; spouse: for each agency, which of its features need the spouse's consent.
        own: features of the requester; cuts: cuts a feature, 0 for a linear model; shift: see `cards`.
    """

    widths: tuple[int, ...]
    spouse: tuple[tuple[bool, ...], ...]
    own: int
    cuts: int
    shift: int

    @property
    def features(self) -> int:
        """All features, the agencies' first."""
        return sum(self.widths) + self.own

    @property
    def model_numbers(self) -> int:
        """How many numbers a model has."""
        return (2 * self.cuts + 3) * self.features + 1


def gathered(layout: Layout, own: Any, found: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    """(values, presence, who is known anywhere, who must not be used), the first two one row a feature.

    Shapes: own (own features, slots); found, for each agency (found, consent, spouse's consent, dispute, columns...,
        slots).
    """
    values, present, unknown, allowed = [], [], 1, 1
    for one, about_spouse in zip(found, layout.spouse, strict=True):
        known, consent, with_spouse = one[0], one[1], one[0] * one[2]
        unknown = unknown * (1 - known)
        allowed = allowed * (1 - known + consent)  # consent is zero where nothing was found
        values += list(one[1 + BITS :])
        present += [with_spouse if is_spouse else known for is_spouse in about_spouse]
    values += list(own)
    present += [jnp.ones_like(values[0])] * layout.own
    return jnp.stack(values), jnp.stack(present), 1 - unknown, 1 - allowed


def disputed(found: Sequence[Any]) -> Any:
    """Whether any agency's record of the slot's person is disputed; which agency's stays secret. Shape: (slots,)."""
    undisputed = 1
    for one in found:
        undisputed = undisputed * (1 - one[3])  # zero where nothing was found
    return 1 - undisputed


def score(layout: Layout) -> Callable[..., Any]:
    """Scores and reasons, packed as in `answers`; shapes: model (numbers,), then as in `gathered`; result (slots,)."""

    def program(model: Any, own: Any, *found: Any) -> Any:
        values, present, known, denied = gathered(layout, own, found)
        cuts, steps, first, absent, best, base = _apart(model, layout)
        if layout.cuts:
            is_reached = (values[:, None, :] >= cuts[:, :, None]).astype(jnp.int64)
            given = first[:, None] + jnp.sum(is_reached * steps[:, :, None], axis=1)
        else:
            given = first[:, None] * values
        given = absent[:, None] + present * (given - absent[:, None])
        total = base + jnp.sum(given, axis=0)
        total = jnp.right_shift(total, layout.shift) if layout.shift else total
        codes = _reasons(best[:, None] - given)
        is_scored = known * (1 - denied)
        packed = jnp.clip(total, LOWEST, HIGHEST) + (codes << answers.SCORE_BITS)
        packed = packed + (disputed(found) << answers.DISPUTED_BIT)
        return is_scored * packed + (((1 - known) + 2 * denied) << answers.STATUS_BIT)

    return program


def with_own(program: Callable[..., Any], layout: Layout) -> Callable[..., Any]:
    """A program that takes the requester's columns second, also where the requester has none to give."""

    def without(first: Any, *found: Any) -> Any:
        return program(first, [], *found)

    return program if layout.own else without


def _apart(model: Any, layout: Layout) -> tuple[Any, Any, Any, Any, Any, Any]:
    size, wide = layout.features, layout.features * layout.cuts
    cuts, steps = (model[start : start + wide].reshape(size, layout.cuts) for start in (0, wide))
    rest = model[2 * wide :]
    return cuts, steps, rest[:size], rest[size : 2 * size], rest[2 * size : 3 * size], rest[3 * size]


def _reasons(lost: Any) -> Any:
    """The places of the largest losses, five bits each; losing nothing is no reason.

    Each loss carries its code in its low five bits, so that no two are equal and the earlier of two equal losses is
    the larger. One pass of comparing neighbours carries the largest through; four passes give four.
    """
    size = lost.shape[0]
    codes = jnp.asarray(answers.REASON_ZERO - np.arange(size, dtype=np.int64))[:, None]
    keyed = (lost > 0).astype(jnp.int64) * (lost * (1 << answers.REASON_BITS) + codes)
    rows, found = [keyed[place] for place in range(size)], jnp.zeros_like(keyed[0])
    for number in range(min(REASONS, size)):
        largest, left = rows[0], []
        for row in rows[1:]:
            is_larger = (row > largest).astype(jnp.int64)
            larger = largest + is_larger * (row - largest)
            left.append(largest + row - larger)
            largest = larger
        rows = left
        code = jnp.bitwise_and(largest, (1 << answers.REASON_BITS) - 1)
        found = found + (code << (number * answers.REASON_BITS))
    return found


@dataclass(frozen=True, slots=True)
class Descent:
    """Mini-batch gradient descent, in public numbers.

    Args:
        epochs: passes over the rows; batch: rows a step; rate, decay: step length and L2 penalty.
    """

    epochs: int
    batch: int
    rate: float
    decay: float


VALUE_BITS = 12  # standardised values enter as whole numbers of 2^-12
WEIGHT_BITS = 18  # the library's fixed point: a weight is a whole number of 2^-18


def train(layout: Layout, descent: Descent) -> Callable[..., Any]:
    """Logistic regression over the rows that every agency knows and may use; the others weigh nothing.

    Shapes: label (slots,), then as in `gathered`; result (features + 1,), the last the constant.
    """

    def program(label: Any, own: Any, *found: Any) -> Any:
        values, present, _, denied = gathered(layout, own, found)
        weight = 1 - denied
        for one in found:
            weight = weight * one[0]
        rows = (values * present * weight[None, :]).astype(jnp.float32) * np.float32(2**-VALUE_BITS)
        mask = weight.astype(jnp.float32)
        table = jnp.concatenate([rows, mask[None, :]], axis=0).T
        target, slots = (label * weight).astype(jnp.float32), label.shape[0]
        # Steps are means over the rows that count: how many those are stays secret, so it divides under shares.
        scale = np.float32(descent.rate) / (jnp.sum(weight).astype(jnp.float32) * np.float32(1 / slots))
        batches = slots // descent.batch

        def step(number: Any, weights: Any) -> Any:
            start = (number % batches) * descent.batch
            some = jax.lax.dynamic_slice(table, (start, 0), (descent.batch, table.shape[1]))
            wanted = jax.lax.dynamic_slice(target, (start,), (descent.batch,))
            counts = jax.lax.dynamic_slice(mask, (start,), (descent.batch,))
            error = jax.nn.sigmoid(some @ weights) * counts - wanted
            slope = (some.T @ error) * np.float32(1 / descent.batch) * scale
            return weights - slope - np.float32(descent.rate * descent.decay) * weights

        return jax.lax.fori_loop(0, descent.epochs * batches, step, jnp.zeros(table.shape[1], jnp.float32))

    return program


def trained_model(layout: Layout, *, offset: int, factor: int) -> Callable[..., Any]:
    """The model of a scoring from trained weights: score = offset - factor x log-odds, reasons against the average.

    Shapes: weights (features + 1,) whole numbers of 2^-18; result (numbers,) as `score` takes it.
    """
    scale = 1 << (VALUE_BITS + WEIGHT_BITS)

    def program(weights: Any) -> Any:
        size = layout.features
        first, nothing = -factor * weights[:size], jnp.zeros(2 * size, jnp.int64)
        base = offset * scale - factor * (1 << VALUE_BITS) * weights[size:]
        return jnp.concatenate([first, nothing, base])

    return program
