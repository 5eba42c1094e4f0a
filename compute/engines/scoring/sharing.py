"""Numbers of a party outside the circuit as shares for the three inside: ABY3's replicated sharing, and its way home.

x = x0 + x1 + x2 modulo 2^64; the circuit's party i gets (x_i, x_i+1). x0 and x1 are drawn by the operating system, so
each pair by itself is two uniform numbers, whatever x is. With x = 5, modulo 100: x0 = 81, x1 = 37, x2 = 87; the
parties hold (81, 37), (37, 87), (87, 81), and 81 + 37 + 87 = 205, which is 5.

Source: Mohassel and Rindal, ABY3, CCS 2018, section 3.
"""

import base64
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import spu
import spu.libspu as libspu
from numpy.typing import NDArray

from compute.engines.errors import EngineRefused

STORAGE = "aby3.AShr<FM64>"
PARTIES = 3
_ELEMENT = 16  # two words of 64 bits

Int64 = NDArray[np.int64]


def split(values: Int64) -> list[bytes]:
    """The three parties' shares of an array, in row order, 16 bytes a number."""
    flat = np.ascontiguousarray(values, np.int64).reshape(-1).view(np.uint64)
    drawn = np.frombuffer(os.urandom(16 * flat.size), np.uint64).reshape(2, -1)
    words = [drawn[0], drawn[1], flat - drawn[0] - drawn[1]]
    return [np.stack([words[index], words[(index + 1) % PARTIES]], axis=1).tobytes() for index in range(PARTIES)]


def load(content: bytes, shape: Sequence[int], *, index: int) -> Any:
    """A share as the library takes it, of the party with this index in the circuit.

    Raises:
        EngineRefused: JOB_DIFFERS when it has another length than the shape says.
    """
    if len(content) != _ELEMENT * int(np.prod(shape)):
        raise EngineRefused("JOB_DIFFERS", "A party sent shares of another length than agreed; check the versions.")
    config = libspu.RuntimeConfig(protocol=libspu.ProtocolKind.ABY3, field=libspu.FieldType.FM64)
    like = np.zeros(tuple(shape), np.int64)
    share = spu.Io(PARTIES, config).make_shares(like, libspu.Visibility.VIS_SECRET)[index]
    chunk = libspu.ValueChunk()
    chunk.ParseFromString(share.share_chunks[0])
    if len(share.share_chunks) != 1 or chunk.total_bytes != len(content):
        raise EngineRefused("PARTITION_TOO_LARGE", "The input is larger than one share may be; ask for fewer rows.")
    chunk.content = content
    share.share_chunks = [chunk.SerializeToString()]
    return share


def content(share: Any) -> bytes:
    """The bytes of a share out of the circuit; EngineRefused ENGINE_ERROR for anything but an arithmetic share."""
    meta = libspu.ValueMeta()
    meta.ParseFromString(share.meta)
    if meta.storage_type != STORAGE:
        raise EngineRefused("ENGINE_ERROR", "The circuit left something other than an arithmetic share.")
    found = b""
    for data in share.share_chunks:
        chunk = libspu.ValueChunk()
        chunk.ParseFromString(data)
        found += chunk.content
    return found


def describe(share: Any) -> Mapping[str, Any]:
    """A share as members of a part."""
    return {"storage": STORAGE, "shares": base64.b64encode(content(share)).decode()}
