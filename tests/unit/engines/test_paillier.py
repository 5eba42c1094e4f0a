"""Paillier: keys that phe understands, noise that is what it says, and foreign numbers refused."""

import secrets
from functools import cache

import gmpy2
import phe.paillier
import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.engines.errors import PartInvalid
from compute.engines.paillier import fixed_base, keys, noise, primes, vectors
from compute.engines.paillier.cores import Crew

TEST_BITS = 256
NUMBERS = st.lists(st.integers(-(2**100), 2**100), max_size=6)


@cache
def owner():
    return keys.generate(TEST_BITS, small_for_tests=True)


@cache
def sources():
    public = owner().public
    return (
        noise.Full(public),
        noise.Owner(owner(), draws=100),
        noise.Short(public, draws=100, small_for_tests=True),
        noise.Short(public, exponent_bits=40, draws=100, small_for_tests=True),
        noise.Wide(public, draws=100),
    )


@settings(max_examples=40, deadline=None)
@given(numbers=NUMBERS, which=st.integers(0, 4))
def test_what_is_added_under_encryption_decrypts_to_the_sum(numbers, which):
    public = owner().public

    encrypted = vectors.encrypt(numbers, sources()[which])
    received = vectors.read(public, vectors.write(public, encrypted), count=len(numbers))

    assert owner().decrypt_signed(vectors.total(public, received)) == sum(numbers)
    assert [owner().decrypt_signed(one) for one in received] == numbers


@given(number=st.integers(-(2**100), 2**100))
def test_phe_reads_what_we_encrypt_and_we_read_what_phe_encrypts(number):
    public = owner().public
    ours = vectors.encrypt([number], sources()[1])[0]

    assert owner().phe.decrypt(phe.paillier.EncryptedNumber(public.phe, int(ours))) == number
    theirs = public.phe.encrypt(number, precision=1)
    assert owner().decrypt_signed(mpz(theirs.ciphertext())) == number


def test_every_noise_is_an_nth_residue_and_never_the_same_twice():
    n = owner().public.n
    group = (owner().p - 1) * (owner().q - 1)
    for source in sources():
        drawn = [source.draw() for _ in range(20)]

        # n-th residues are exactly the elements whose order divides that of the units modulo n: they encrypt zero.
        assert all(gmpy2.powmod(one, group, n * n) == 1 for one in drawn)
        assert len(set(drawn)) == 20


def test_the_owners_noise_reaches_every_nth_residue_and_each_as_often():
    # p = 11 and q = 7: 60 residues. 6,000 draws give each 100 +- 10, seven times which no honest run leaves.
    key = keys.OwnerKey(keys.PublicKey(mpz(77), mpz(2)), mpz(11), mpz(7), (mpz(2), mpz(5)), (mpz(2), mpz(3)))
    source = noise.Owner(key, draws=100)
    residues = {gmpy2.powmod(root, 77, 77**2) for root in range(1, 77) if gmpy2.gcd(root, 77) == 1}

    counts = dict.fromkeys(residues, 0)
    for _ in range(6_000):
        counts[source.draw()] += 1

    assert len(residues) == 60
    assert 30 < min(counts.values()) <= max(counts.values()) < 170


def test_wide_noise_reaches_every_nth_residue_and_each_as_often(monkeypatch):
    # 11 and 7 are 3 modulo 4, as our primes are. A y of Jacobi symbol -1 whose powers are half of all is one in four
    # here (in keys of full length, all but 2^-240), so y is given.
    monkeypatch.setattr(noise.secrets, "randbelow", lambda limit: 2)
    assert gmpy2.jacobi(2, 77) == -1
    source = noise.Wide(keys.PublicKey(mpz(77), mpz(2)), draws=100)
    residues = {gmpy2.powmod(root, 77, 77**2) for root in range(1, 77) if gmpy2.gcd(root, 77) == 1}

    counts = dict.fromkeys(residues, 0)
    for _ in range(6_000):
        counts[source.draw()] += 1

    assert 30 < min(counts.values()) <= max(counts.values()) < 170


def test_without_the_sign_half_of_the_residues_would_be_missing(monkeypatch):
    monkeypatch.setattr(noise.secrets, "randbelow", lambda limit: 2)
    source = noise.Wide(keys.PublicKey(mpz(77), mpz(2)), draws=100)
    drawn = secrets.randbits
    monkeypatch.setattr(noise.secrets, "randbits", lambda bits: drawn(bits) if bits > 1 else 0)

    assert len({source.draw() for _ in range(2_000)}) == 30


def test_a_table_of_a_smaller_group_would_not_reach_them_all():
    # The sister of the test above: an element that does not generate the group is found out by the factors of p - 1.
    assert primes.order_is_full(mpz(2), prime=mpz(11), factors=(mpz(2), mpz(5)))
    assert not primes.order_is_full(mpz(3), prime=mpz(11), factors=(mpz(2), mpz(5)))  # 3 has order 5
    assert len({gmpy2.powmod(3, exponent, 11) for exponent in range(10)}) == 5


@given(exponent=st.integers(0, 2**64 - 1), draws=st.sampled_from([1, 50, 5_000]))
@settings(max_examples=30, deadline=None)
def test_powers_by_table_equal_powers(exponent, draws):
    modulus = mpz(2**89 - 1)
    powers = fixed_base.Powers(mpz(3), modulus, exponent_bits=64, draws=draws)

    assert powers.power(exponent) == gmpy2.powmod(3, exponent, modulus)


def test_more_draws_make_wider_digits_and_memory_bounds_them():
    widths = [fixed_base.best_width(4096, exponent_bits=1024, draws=draws) for draws in (1, 1_000, 10**9)]

    assert widths == sorted(widths)
    rows = -(-1024 // widths[-1])
    assert rows * (1 << widths[-1]) * 512 <= fixed_base.MAX_TABLE_BYTES
    with pytest.raises(OverflowError):
        fixed_base.Powers(mpz(3), mpz(101), exponent_bits=8, draws=1).power(256)


def test_a_key_has_the_form_that_short_exponents_ask_for():
    key = owner()

    assert key.public.n == key.p * key.q
    assert key.public.n.bit_length() == TEST_BITS
    assert key.p % 4 == key.q % 4 == 3
    assert gmpy2.gcd(key.p - 1, key.q - 1) == 2
    for prime, factors in ((key.p, key.p_factors), (key.q, key.q_factors)):
        assert gmpy2.is_prime(prime)
        assert all(gmpy2.is_prime(factor) for factor in factors)
        assert gmpy2.mul(2, gmpy2.mul(factors[1] * factors[2], factors[3] * factors[4])) == prime - 1
        assert min(factors[1:]).bit_length() == TEST_BITS // 8
    assert owner().public.phe == phe.paillier.PaillierPublicKey(int(key.public.n))
    assert str(int(key.p)) not in repr(key)


def test_the_base_of_short_noise_generates_all_of_jacobi_symbol_one():
    key = owner()
    root = next(one for one in range(2, 200) if gmpy2.jacobi(one, key.public.n) == -1)
    base = key.public.base % key.public.n  # h^n modulo n

    assert gmpy2.jacobi(base, key.public.n) == 1
    assert gmpy2.jacobi(base, key.p) == gmpy2.jacobi(base, key.q) == -1  # no square: those are half of the group
    order = (key.p - 1) * (key.q - 1) // 2
    assert gmpy2.powmod(base, order, key.public.n) == 1
    assert all(
        gmpy2.powmod(base, order // factor, key.public.n) != 1 for factor in {*key.p_factors, *key.q_factors[1:]}
    )
    assert gmpy2.jacobi(gmpy2.powmod(root, key.public.n, key.public.n), key.public.n) == -1  # full noise has both


def test_a_base_of_small_order_would_give_plaintexts_away():
    """Why the base matters: with h of order 2, anybody squares the ciphertext and reads the plaintext."""
    public = owner().public
    weak = keys.PublicKey(public.n, public.n_square - 1)
    attack = {
        key: (gmpy2.powmod(vectors.encrypt([1234], noise.Short(key, small_for_tests=True))[0], 2, public.n_square) - 1)
        // public.n
        * gmpy2.invert(2, public.n)
        % public.n
        for key in (weak, public)
    }

    assert attack[weak] == 1234
    assert attack[public] != 1234


def test_short_keys_and_short_exponents_are_for_tests_only():
    with pytest.raises(ValueError, match="2048"):
        keys.generate(1024)
    with pytest.raises(ValueError, match="2048"):
        keys.read_public(owner().public.to_bytes(), bits=TEST_BITS)
    with pytest.raises(ValueError, match="256"):
        noise.Short(owner().public, exponent_bits=255)
    with pytest.raises(ValueError, match="256"):
        noise.Short(owner().public)  # half of a test key


def test_a_peers_key_is_read_and_a_forged_one_refused():
    public = owner().public
    written = public.to_bytes()
    n, base = written[: TEST_BITS // 8], written[TEST_BITS // 8 :]
    forged = {
        "torn": written[:-1],
        "too short a modulus": bytes(TEST_BITS // 8) + base,
        "even": (int(public.n) - 1).to_bytes(len(n), "big") + base,
        "a prime": int(gmpy2.next_prime(public.n)).to_bytes(len(n), "big") + base,
        "a square": int(max(owner().p, owner().q) ** 2).to_bytes(len(n), "big") + base,
        "a small factor": int(public.n - public.n % 14 + 7).to_bytes(len(n), "big") + base,
        "no base": n + bytes(len(base)),
        "a base that divides n": n + int(owner().p).to_bytes(len(base), "big"),
        "a base beyond n^2": n + b"\xff" * len(base),
    }

    assert keys.read_public(written, bits=TEST_BITS, small_for_tests=True) == public
    for what, data in forged.items():
        assert refuses(data), what


def refuses(data):
    try:
        keys.read_public(data, bits=TEST_BITS, small_for_tests=True)
    except PartInvalid:
        return True
    return False


def test_foreign_ciphertexts_are_refused():
    public, other = owner().public, keys.generate(TEST_BITS + 16, small_for_tests=True).public
    good = vectors.encrypt([1, 2], sources()[0])
    junk = {
        "zero": [good[0], mpz(0)],
        "n^2": [public.n_square, good[0]],
        "a multiple of a prime": [good[0], owner().p * 5],
        "of a longer key": vectors.encrypt([1, 2], noise.Full(other)),
    }

    vectors.check(public, good)
    for numbers in junk.values():
        with pytest.raises(PartInvalid):
            vectors.check(public, numbers)
    for data, count in ((vectors.write(public, good), 1), (vectors.write(public, good)[1:], 2), (b"", 1)):
        with pytest.raises(PartInvalid):
            vectors.read(public, data, count=count)


def test_the_origin_of_a_sum_shows_in_its_noise_and_fresh_noise_hides_it():
    """The owner knows every noise it drew: without fresh noise it can tell which ciphertexts were added."""
    public = owner().public
    encrypted = vectors.encrypt([1, 2, 3], sources()[1])

    def guess(received):
        subsets = [[0, 1], [0, 2], [1, 2]]
        return [one for one in subsets if vectors.total(public, [encrypted[place] for place in one]) == received]

    bare = vectors.total(public, [encrypted[0], encrypted[2]])

    assert guess(bare) == [[0, 2]]  # the attack, with the guard off
    assert guess(vectors.hide_origin(public, bare)) == []
    assert owner().decrypt_signed(vectors.hide_origin(public, bare)) == 4


def test_processes_give_the_same_in_order():
    chunks = [[place, -place] for place in range(7)]
    with Crew(vectors.Encryptor, owner(), 10, processes=2) as crew:
        written = list(crew.map(chunks))

    found = [[owner().decrypt_signed(one) for one in vectors.read(owner().public, data, count=2)] for data in written]
    assert found == chunks
    with Crew(vectors.Encryptor, owner(), 10) as alone:
        assert len(list(alone.map(chunks))) == len(chunks)


def test_randomness_is_the_operating_systems():
    assert isinstance(primes._random, secrets.SystemRandom)
