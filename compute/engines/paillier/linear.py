"""Linear scores over encrypted numbers: the sum of weight times feature, where one of the two is encrypted.

Two shapes of the same product of powers:

*Packed rows.* The key's owner holds the features. It packs one feature of many rows into each ciphertext
    (`encrypt_columns`); whoever holds the weights raises each ciphertext to its weight (`score_columns`) and so scores
    as many rows at once as a plaintext has slots. 20 features of 31 rows at a time: 20 encryptions for 31 rows.
*Packed models.* The key's owner holds the weights, of one or several models, and packs the models' weights for one
    feature into each ciphertext (`encrypt_models`); whoever holds the features raises each to a row's feature
    (`score_row`) and has every model's score of that row in one ciphertext.

What the key's owner gets back carries fresh full noise (`noise.Full`, or `noise.Wide` for many), and should carry a
mask where the owner must not know the score: `masks` are added inside, modulo n, so that the owner's plaintext is
uniform and the rest stays here (`share_of_mask`).

Privacy: the other side sees ciphertexts and their number. The owner sees, without a mask, the scores and nothing else.
"""

import secrets
from collections.abc import Sequence

from gmpy2 import mpz

from compute.engines.paillier import packing, products, vectors
from compute.engines.paillier.keys import PublicKey
from compute.engines.paillier.noise import Full, Noise
from compute.engines.paillier.packing import Packing


def weight_rows(weights: Sequence[int]) -> int:
    """How many plaintexts a weighted sum adds up at most: the sum of the weights' sizes; at least 1."""
    return max(1, sum(map(abs, weights)))


def encrypt_columns(columns: Sequence[Sequence[int]], slots: Packing, noise: Noise) -> list[list[mpz]]:
    """Encrypt features column by column, packed over rows.

    Shapes: columns (features, rows); result (features, ceil(rows / slots)).
    """
    slots.check_fits(noise.public.plaintext_bits)
    return [vectors.encrypt(packing.pack_all(column, slots), noise) for column in columns]


def score_columns(
    public: PublicKey,
    encrypted: Sequence[Sequence[mpz]],
    weights: Sequence[int],
    *,
    masks: Sequence[int] = (),
    noise: Noise | None = None,
) -> list[mpz]:
    """Score packed rows: for each batch of rows, an encryption of the sum over features of weight times feature.

    Shapes: encrypted (features, batches), weights (features,), masks () or (batches,); result (batches,).

    Args:
        noise: where fresh noise comes from, uniform towards the owner; None for `Full`.
    """
    scored = [products.weighted(public, batch, weights) for batch in zip(*encrypted, strict=True)]
    return _finish(public, scored, masks, noise)


def encrypt_models(models: Sequence[Sequence[int]], slots: Packing, noise: Noise) -> list[mpz]:
    """Encrypt the weights of several models, packed for each feature.

    Shapes: models (models, features) with as many models as slots or fewer; result (features,).
    """
    slots.check_fits(noise.public.plaintext_bits)
    return vectors.encrypt([slots.pack(feature) for feature in zip(*models, strict=True)], noise)


def score_row(public: PublicKey, encrypted: Sequence[mpz], features: Sequence[int], *, mask: int | None = None) -> mpz:
    """Score one row under every packed model; features of any sign."""
    scored = products.weighted(public, encrypted, features)
    return _finish(public, [scored], () if mask is None else (mask,))[0]


def draw_masks(public: PublicKey, count: int) -> list[int]:
    """Uniform masks modulo n: what the owner decrypts is then uniform, whatever the score."""
    return [secrets.randbelow(int(public.n)) for _ in range(count)]


def share_of_mask(public: PublicKey, mask: int) -> int:
    """What must be added modulo n to the owner's plaintext to have the score again."""
    return -mask % int(public.n)


def _finish(
    public: PublicKey, ciphertexts: Sequence[mpz], masks: Sequence[int], noise: Noise | None = None
) -> list[mpz]:
    if masks:
        ciphertexts = [vectors.add_plain(public, one, mask) for one, mask in zip(ciphertexts, masks, strict=True)]
    source = noise or Full(public)
    return [one * source.draw() % public.n_square for one in ciphertexts]
