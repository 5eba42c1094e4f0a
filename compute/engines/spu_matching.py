"""Private set intersection by SecretFlow's library, over keyed identifiers only.

The library reads and writes CSV files: they lie in the run's private directory and hold keyed values and nothing else,
so that neither an identifier nor anything that could be enumerated is ever written, and the library's digest of a whole
key set, by which it notices equal sets, says nothing outside this job.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import spu.psi as psi
from numpy.typing import NDArray

from compute.engines import launcher, spu_links
from compute.engines.base import StageContext
from compute.engines.errors import EngineRefused

KEY = "key"
_HEADER = b"key\n"
# Of a keyed value's 16 bytes the library gets 12: the width of its keys is a third of its work, and two of n meet by
# chance with probability below n^2 / 2^97, which is 2^-43 for 10^8.
_BYTES, _LETTERS = 12, 16
_KEPT = np.array([2**64 - 1, 2**64 - 2**32], np.uint64)
_PROTOCOLS: Mapping[str, psi.PsiProtocol] = {
    "rr22": psi.PsiProtocol.PROTOCOL_RR22,
    "kkrt": psi.PsiProtocol.PROTOCOL_KKRT,
    "ecdh": psi.PsiProtocol.PROTOCOL_ECDH,
    "sm2": psi.PsiProtocol.PROTOCOL_ECDH,
}

Int64 = NDArray[np.int64]
Words = NDArray[np.uint64]


def match(
    context: StageContext,
    keys: Sequence[bytes],
    *,
    stage: int,
    ranks: Sequence[int],
    protocol: str = "rr22",
    broadcast: bool = True,
) -> tuple[Int64, str]:
    """Find the keys that all of `ranks` hold, in one order common to all.

    Shapes: keys (n,) distinct, of 16 bytes each, of which 12 count; result (m,) positions in `keys`.
    Returns: the positions (none at a party that receives nothing), and a digest of the matched keys in order.
    Privacy: with `broadcast` every party learns the matching keys, otherwise the first of `ranks` alone; two parties
        learn each other's n. Three parties: the first two learn besides how many keys they share; more than three:
        parties may learn intersections of two.
    Sources: Rindal and Raghuraman, Blazing Fast PSI, CCS 2022 (rr22); Kolesnikov et al., CCS 2016 (kkrt); Meadows, IEEE
        S&P 1986 (ecdh over Curve25519, sm2 over the curve of GB/T 32918). Semi-honest.
    """
    words = np.frombuffer(b"".join(keys), dtype=">u8").reshape(-1, 2)
    connection = spu_links.connect(context, stage, ranks=ranks)
    return match_words(context, words, connection, ranks=ranks, protocol=protocol, broadcast=broadcast)


def match_words(
    context: StageContext, own: Words, connection: Any, *, ranks: Sequence[int], protocol: str, broadcast: bool
) -> tuple[Int64, str]:
    """`match` for keys as pairs of words, shape (n, 2), over a link that is open and may serve again."""
    source, target = context.work_dir / "keys.csv", context.work_dir / "matched.csv"
    own = (own & _KEPT).astype(np.uint64)
    order = _order(own)
    ordered = own[order]
    if (ordered[1:] == ordered[:-1]).all(axis=1).any():
        raise EngineRefused("ENGINE_ERROR", "Two ids of the dataset are the same; add the dataset again.")
    write(source, own)
    try:
        _execute(source, target, connection, protocol, len(ranks), broadcast)
    finally:
        launcher.remove_traces(context.work_dir)
        for path in context.work_dir.glob("keys.csv*"):
            path.unlink()
    matched = _read(target)
    target.unlink(missing_ok=True)
    if not broadcast and context.rank != ranks[0]:
        return np.zeros(0, np.int64), ""
    return order[_places(ordered, matched)], hashlib.sha256(matched.tobytes()).hexdigest()


def write(path: Path, words: Words) -> None:
    """Keys as the library reads them."""
    path.write_bytes(_HEADER + _lines(words))


def find(own: Words, path: Path) -> Int64:
    """The positions of the keys that the library's answer names, in order of key."""
    own = (own & _KEPT).astype(np.uint64)
    order = _order(own)
    places: Int64 = order[_places(own[order], _read(path))]
    return places


def _lines(words: Words) -> bytes:
    """A line of text for each key: 12 bytes are 16 letters of base64, without a comma, a quote or padding."""
    kept = np.ascontiguousarray(words.astype(">u8")).view(np.uint8).reshape(-1, 16)[:, :_BYTES]
    letters = np.frombuffer(base64.urlsafe_b64encode(kept.tobytes()), np.uint8).reshape(-1, _LETTERS)
    lines: bytes = np.concatenate([letters, np.full((len(letters), 1), ord("\n"), np.uint8)], axis=1).tobytes()
    return lines


def _read(path: Path) -> Words:
    """The library's answer as pairs of words, in order."""
    text = path.read_bytes().partition(b"\n")[2].translate(None, b'"\r\n') if path.exists() else b""
    found = np.zeros((len(text) // _LETTERS, 16), np.uint8)
    found[:, :_BYTES] = np.frombuffer(base64.urlsafe_b64decode(text), np.uint8).reshape(-1, _BYTES)
    words: Words = found.view(">u8").astype(np.uint64)
    return words[_order(words)]


def _order(words: Words) -> Int64:
    """Where the keys stand in order; by first words alone where no two are equal, which takes a third of the time."""
    order: Int64 = np.argsort(words[:, 0])
    first = words[order, 0]
    if (first[1:] == first[:-1]).any():
        order = np.lexsort((words[:, 1], words[:, 0]))
    return order


def _places(own: Words, matched: Words) -> Int64:
    """Where the matched keys stand among the own ones; both in order, every matched key is there.

    First words of 64 random bits hardly ever meet, so they are looked up first and the few that do are compared whole.
    """
    places = np.searchsorted(own[:, 0], matched[:, 0]).astype(np.int64)
    while (wrong := np.flatnonzero(own[places, 1] != matched[:, 1])).size:
        places[wrong] += 1
        if (own[places[wrong], 0] != matched[wrong, 0]).any():
            raise EngineRefused("ENGINE_ERROR", "The matching gave back a key that was not there; submit again.")
    return places


def _execute(source: Path, target: Path, connection: Any, protocol: str, parties: int, broadcast: bool) -> None:
    chosen = _PROTOCOLS[protocol]
    if parties > 2:
        chosen = psi.PsiProtocol.PROTOCOL_ECDH_3PC if parties == 3 else psi.PsiProtocol.PROTOCOL_ECDH_NPC
    curve = psi.EllipticCurveType.CURVE_SM2 if protocol == "sm2" else psi.EllipticCurveType.CURVE_25519
    psi.psi_execute(
        psi.PsiExecuteConfig(
            protocol_conf=psi.PsiProtocolConfig(
                protocol=chosen,
                receiver_rank=0,
                broadcast_result=broadcast,
                ecdh_params=psi.EcdhParams(curve=curve),
            ),
            input_params=psi.InputParams(path=str(source), selected_keys=[KEY], keys_unique=True),
            output_params=psi.OutputParams(path=str(target)),
        ),
        connection,
    )
