"""Gradient descent over shared moments between bank and agency: no weight, gradient or loss is opened.

The loss is quadratic (`moments.py`), so a step needs the product of the shared matrix G and the shared weights w. With
G = G0 + G1 and w = w0 + w1 at bank (0) and agency (1), three of the four products are the bank's or under the agency's
key: the agency sends its share G1 encrypted once and w1 at every step; the bank raises the first to w0 and the second
to G0, adds G0 w0 and a mask, and sends the sum back with uniform noise. The agency decrypts and adds G1 w1. Both have a
share modulo 2^128 and go on by themselves: truncating, learning rate, decay, momentum of 4/5.

Truncating a share by t bits is each party's own shift; the result is off by one in the last place, and wrong with
probability |x| / 2^(128 - t), below 2^-30 for all steps of a training together.

Sources: Mohassel and Zhang, SecureML, S&P 2017, theorem 1 (truncation); Polyak 1964 (momentum).
"""

import secrets
from collections.abc import Sequence

from gmpy2 import mpz

from compute.engines import link
from compute.engines.base import Progress
from compute.engines.lookup_papers import OWNER, REQUESTER, exchange
from compute.engines.paillier import keys, noise, products, vectors
from compute.engines.scoring.moments import MASK_BITS, RING, RING_BITS, VALUE_BITS, Moments, Plan, unpacked

WEIGHT_BITS = 18  # binary places of a trained weight, as under ABY3
_WORK_BITS, _SLOPE_BITS = 24, 34  # of weights and slopes during the descent
_RATE_BITS, _DECAY_BITS, _MOMENTUM_BITS = 10, 20, 10
_MOMENTUM = 819  # of 1,024
_PRODUCT_BITS = 2 * RING_BITS + 6  # 62 products of two ring elements
_WIDTH = _PRODUCT_BITS + MASK_BITS + 1
_NO_BYTES = b""


def truncated(share: int, bits: int, *, is_first: bool) -> int:
    """One party's share of x / 2^bits from its share of x, modulo RING."""
    return share >> bits if is_first else -(-share % RING >> bits) % RING


def places(bits: int) -> int:
    """How many products one plaintext carries back."""
    return (bits - 2) // _WIDTH


class Descent:
    """What both sides do alike: everything but the product.

    Args:
        is_first: of the bank.
    """

    def __init__(self, plan: Plan, moments: Moments, *, is_first: bool) -> None:
        self._plan, self._moments, self._is_first = plan, moments, is_first
        self.weights = [0] * plan.columns
        self._before = [0] * plan.columns

    def step(self, product: Sequence[int]) -> None:
        """Go down the slope, given this party's share of G w; all modulo RING."""
        plan, size = self._plan, self._plan.slots.bit_length() - 1
        rate = plan.rate * (1 << _RATE_BITS) // 1000
        decay = plan.decay * (1 << _DECAY_BITS) // 1_000_000
        found = []
        for one, weight, before, target in zip(product, self.weights, self._before, self._moments.vector, strict=True):
            # (G w / 4 - c / 2) / slots + decay w, in 34 binary places
            slope = self._cut(one, 2 * VALUE_BITS + _WORK_BITS + size + 2 - _SLOPE_BITS)
            slope -= target << (_SLOPE_BITS - VALUE_BITS - 1 - size)
            slope += self._cut(weight * decay, _WORK_BITS + _DECAY_BITS - _SLOPE_BITS)
            down = self._cut(slope * rate, _SLOPE_BITS + _RATE_BITS - _WORK_BITS)
            on = self._cut((weight - before) * _MOMENTUM, _MOMENTUM_BITS)
            found.append((weight - down + on) % RING)
        self._before, self.weights = self.weights, found

    def finished(self) -> list[int]:
        """This party's shares of the weights, in WEIGHT_BITS binary places."""
        return [self._cut(weight, _WORK_BITS - WEIGHT_BITS) for weight in self.weights]

    def _cut(self, share: int, bits: int) -> int:
        return truncated(share % RING, bits, is_first=self._is_first)


def of_agency(mesh: link.Mesh, plan: Plan, owner: keys.OwnerKey, moments: Moments, progress: Progress) -> list[int]:
    """The agency's side: its shares of the weights. Learns: uniform numbers."""
    descent, matrix = Descent(plan, moments, is_first=False), moments.matrix
    source = noise.Owner(owner, draws=plan.columns * (plan.steps + plan.theirs))
    held = [matrix[one][two] for one, two in _shared(plan)]
    exchange(mesh, REQUESTER, vectors.write(owner.public, vectors.encrypt(held, source)))
    per, count = places(plan.bits), -(-plan.columns // places(plan.bits))
    for number in range(plan.steps):
        exchange(mesh, REQUESTER, vectors.write(owner.public, vectors.encrypt(descent.weights, source)))
        received = vectors.read(owner.public, exchange(mesh, REQUESTER, _NO_BYTES), count=count)
        cross = [one for found in received for one in unpacked(owner.decrypt(found), width=_WIDTH, places=per)]
        own = [sum(g * w for g, w in zip(row, descent.weights, strict=True)) for row in matrix]
        descent.step([(one + two) % RING for one, two in zip(cross[: plan.columns], own, strict=True)])
        progress("compute", 60 + 35 * (number + 1) // plan.steps)
    return descent.finished()


def of_bank(mesh: link.Mesh, plan: Plan, public: keys.PublicKey, moments: Moments, progress: Progress) -> list[int]:
    """The bank's side: its shares of the weights. Learns: nothing but ciphertexts."""
    descent, source = Descent(plan, moments, is_first=True), noise.Wide(public, draws=plan.steps)
    pairs = _shared(plan)
    received = vectors.read(public, exchange(mesh, OWNER, _NO_BYTES), count=len(pairs))
    held = {pair: found for (one, two), found in zip(pairs, received, strict=True) for pair in ((one, two), (two, one))}
    for number in range(plan.steps):
        theirs = vectors.read(public, exchange(mesh, OWNER, _NO_BYTES), count=plan.columns)
        masks = [secrets.randbits(_PRODUCT_BITS + MASK_BITS) for _ in range(plan.columns)]
        rows = [
            vectors.add_plain(public, _cross(public, row, held, descent.weights, theirs, moments), masks[row])
            for row in range(plan.columns)
        ]
        exchange(mesh, OWNER, vectors.write(public, _packed(public, rows, source, per=places(plan.bits))))
        own = [sum(g * w for g, w in zip(row, descent.weights, strict=True)) for row in moments.matrix]
        descent.step([(one - mask) % RING for one, mask in zip(own, masks, strict=True)])
        progress("compute", 60 + 35 * (number + 1) // plan.steps)
    return descent.finished()


def _shared(plan: Plan) -> list[tuple[int, int]]:
    """The places of the matrix, one of each symmetric two, that the agency has a share of."""
    return [(one, two) for one in range(plan.theirs) for two in range(one, plan.columns)]


def _cross(
    public: keys.PublicKey,
    row: int,
    held: dict[tuple[int, int], mpz],
    weights: Sequence[int],
    theirs: Sequence[mpz],
    moments: Moments,
) -> mpz:
    """One row of G1 w0 + G0 w1 under the agency's key."""
    known = [(held[row, column], weight) for column, weight in enumerate(weights) if (row, column) in held]
    terms = [*known, *zip(theirs, moments.matrix[row], strict=True)]
    return products.weighted(public, [one for one, _ in terms], [power for _, power in terms])


def _packed(public: keys.PublicKey, rows: Sequence[mpz], source: noise.Noise, *, per: int) -> list[mpz]:
    """Several rows to a ciphertext, the first in the lowest slot, with fresh noise."""
    found, shift = [], mpz(1) << _WIDTH
    for start in range(0, len(rows), per):
        total = mpz(1)
        for one in reversed(rows[start : start + per]):
            total = pow(total, shift, public.n_square) * one % public.n_square
        found.append(total * source.draw() % public.n_square)
    return found
