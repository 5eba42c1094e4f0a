"""RLP, the encoding of Ethereum's headers and tries, read strictly: one value has one encoding.

Source: Ethereum yellow paper, appendix B. Integers are big-endian without leading zeros.
"""

from collections.abc import Sequence
from typing import TypeAlias

from ledger.proofs.errors import VerificationError

Item: TypeAlias = "bytes | list[Item]"
Encodable: TypeAlias = "bytes | int | Sequence[Encodable]"

MAX_BYTES = 1 << 20
MAX_DEPTH = 16


def decode(data: bytes, *, max_bytes: int = MAX_BYTES) -> Item:
    """The one item that `data` is, to its last byte.

    Raises:
        VerificationError: `RLP_INVALID`, not canonical, cut short, with bytes after it, longer than
            `max_bytes` or nested deeper than 16 lists.
    """
    if len(data) > max_bytes:
        raise VerificationError("RLP_INVALID", f"longer than {max_bytes} bytes")
    item, end = _read(data, 0, len(data), MAX_DEPTH)
    if end != len(data):
        raise VerificationError("RLP_INVALID", "bytes follow the item")
    return item


def decode_list(data: bytes, *, max_bytes: int = MAX_BYTES) -> list[Item]:
    """Like `decode`, for what must be a list."""
    item = decode(data, max_bytes=max_bytes)
    if isinstance(item, bytes):
        raise VerificationError("RLP_INVALID", "not a list")
    return item


def encode(value: Encodable) -> bytes:
    """The encoding of bytes, of an integer from 0 up, or of a sequence of such values."""
    if isinstance(value, int):
        value = value.to_bytes((value.bit_length() + 7) // 8, "big")
    if isinstance(value, bytes):
        if len(value) == 1 and value[0] < 0x80:
            return value
        return _prefix(len(value), 0x80) + value
    body = b"".join(encode(item) for item in value)
    return _prefix(len(body), 0xC0) + body


def integer(item: Item, *, bits: int = 256) -> int:
    """The integer that an item is; VerificationError `RLP_INVALID` for leading zeros or more bits."""
    if not isinstance(item, bytes) or len(item) * 8 > bits or item[:1] == b"\0":
        raise VerificationError("RLP_INVALID", f"not an integer of at most {bits} bits without leading zeros")
    return int.from_bytes(item, "big")


def fixed(item: Item, length: int) -> bytes:
    """The item, which must be exactly `length` bytes; VerificationError `RLP_INVALID` otherwise."""
    if not isinstance(item, bytes) or len(item) != length:
        raise VerificationError("RLP_INVALID", f"not a string of {length} bytes")
    return item


def _read(data: bytes, start: int, end: int, depth: int) -> tuple[Item, int]:
    if start >= end:
        raise VerificationError("RLP_INVALID", "cut short")
    first = data[start]
    if first < 0x80:
        return data[start : start + 1], start + 1
    base = 0x80 if first < 0xC0 else 0xC0
    body, stop = _extent(data, start, end, base)
    if base == 0x80:
        content = data[body:stop]
        if len(content) == 1 and content[0] < 0x80:
            raise VerificationError("RLP_INVALID", "a byte below 0x80 stands for itself")
        return content, stop
    if depth == 0:
        raise VerificationError("RLP_INVALID", f"nested deeper than {MAX_DEPTH} lists")
    items: list[Item] = []
    while body < stop:
        item, body = _read(data, body, stop, depth - 1)
        items.append(item)
    return items, stop


def _extent(data: bytes, start: int, end: int, base: int) -> tuple[int, int]:
    """Where the content of a string or list begins and ends."""
    length, body = data[start] - base, start + 1
    if length > 55:
        width = length - 55
        written = data[body : min(body + width, end)]
        if len(written) != width or written[0] == 0:
            raise VerificationError("RLP_INVALID", "a length is cut short or has leading zeros")
        length, body = int.from_bytes(written, "big"), body + width
        if length <= 55:
            raise VerificationError("RLP_INVALID", "a short length is written in the long form")
    if length > end - body:
        raise VerificationError("RLP_INVALID", "cut short")
    return body, body + length


def _prefix(length: int, base: int) -> bytes:
    if length <= 55:
        return bytes([base + length])
    written = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(written)]) + written
