"""The group: known answers of RFC 9496 and RFC 9380, and what is refused."""

import hashlib

import pytest

from compute.engines import ristretto

GENERATOR = "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"
# RFC 9496, appendix A.1: the generator 0 to 3 times
MULTIPLES = (
    "00" * 32,
    GENERATOR,
    "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
    "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
)
# RFC 9496, appendix A.2: not canonical, negative, not square, ...
NOT_POINTS = (
    "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
)


def scalar(number: int) -> bytes:
    return (number % ristretto.ORDER).to_bytes(32, "little")


def test_small_multiples_of_the_generator() -> None:
    for number, expected in enumerate(MULTIPLES[1:], start=1):
        assert ristretto.multiply_base(scalar(number)).hex() == expected
    assert ristretto.add(*[bytes.fromhex(GENERATOR)] * 3).hex() == MULTIPLES[3]


def test_the_map_of_uniform_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    # RFC 9496, appendix A.3: no expansion, only the map
    uniform = hashlib.sha512(b"Ristretto is traditionally a short shot of espresso coffee").digest()
    monkeypatch.setattr(ristretto, "expand", lambda data, *, domain: uniform)
    expected = "3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46"
    assert ristretto.hash_to_group(b"", domain=b"x").hex() == expected


def test_domains_are_apart_and_a_long_one_is_hashed() -> None:
    long = b"d" * 256
    assert ristretto.hash_to_group(b"a", domain=b"one") != ristretto.hash_to_group(b"a", domain=b"two")
    replaced = hashlib.sha512(b"H2C-OVERSIZE-DST-" + long).digest()
    assert ristretto.expand(b"a", domain=long) == ristretto.expand(b"a", domain=replaced)


def test_blinding_is_undone() -> None:
    point, blind, key = ristretto.hash_to_group(b"a", domain=b"d"), ristretto.random_scalar(), ristretto.random_scalar()
    blinded = ristretto.multiply(blind, point)
    assert blinded != point
    assert ristretto.multiply(ristretto.invert(blind), ristretto.multiply(key, blinded)) == ristretto.multiply(
        key, point
    )


@pytest.mark.parametrize("encoding", [*NOT_POINTS, MULTIPLES[0], "00", ""])
def test_what_is_no_point_is_refused(encoding: str) -> None:
    assert not ristretto.is_valid(bytes.fromhex(encoding))
    with pytest.raises(ristretto.NotInGroup):
        ristretto.multiply(scalar(2), bytes.fromhex(encoding))


@pytest.mark.parametrize("value", [bytes(32), ristretto.ORDER.to_bytes(32, "little"), b"", b"\x01"])
def test_what_is_no_scalar_is_refused(value: bytes) -> None:
    assert not ristretto.is_scalar(value)
    with pytest.raises(ristretto.NotInGroup):
        ristretto.invert(value)
    with pytest.raises(ristretto.NotInGroup):
        ristretto.multiply_base(value)
    with pytest.raises(ristretto.NotInGroup):
        ristretto.multiply(value, bytes.fromhex(GENERATOR))


def test_scalars_are_integers_modulo_the_order() -> None:
    assert ristretto.multiply_scalars(scalar(-2), scalar(3)) == scalar(-6)
    assert ristretto.subtract_scalars(scalar(1), scalar(3)) == scalar(-2)
    found = ristretto.random_scalar()
    assert ristretto.is_scalar(found)
    assert ristretto.multiply_scalars(found, ristretto.invert(found)) == scalar(1)
