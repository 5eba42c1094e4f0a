"""Private set intersection by SecretFlow's library, over keyed identifiers only.

The library reads and writes CSV files: they lie in the run's private directory and hold a keyed value and a row number,
so that neither an identifier nor anything that could be enumerated is ever written, and the library's digest of a whole
key set, by which it notices equal sets, says nothing outside this job.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import spu.psi as psi
from numpy.typing import NDArray

from compute.engines import identifiers, launcher, spu_links
from compute.engines.base import StageContext
from compute.engines.errors import EngineRefused

_KEY, _ROW = "key", "row"
_PROTOCOLS: Mapping[str, psi.PsiProtocol] = {
    "rr22": psi.PsiProtocol.PROTOCOL_RR22,
    "kkrt": psi.PsiProtocol.PROTOCOL_KKRT,
    "ecdh": psi.PsiProtocol.PROTOCOL_ECDH,
    "sm2": psi.PsiProtocol.PROTOCOL_ECDH,
}

Int64 = NDArray[np.int64]


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

    Shapes: keys (n,) distinct, identifiers.SIZE bytes each; result (m,) positions in `keys`.
    Returns: the positions (none at a party that receives nothing), and a digest of the matched keys in order.
    Privacy: with `broadcast` every party learns the matching keys, otherwise the first of `ranks` alone; two parties
        learn each other's n. Three parties: the first two learn besides how many keys they share; more than three:
        parties may learn intersections of two.
    Sources: Rindal and Raghuraman, Blazing Fast PSI, CCS 2022 (rr22); Kolesnikov et al., CCS 2016 (kkrt); Meadows, IEEE
        S&P 1986 (ecdh over Curve25519, sm2 over the curve of GB/T 32918). Semi-honest.
    """
    if len(set(keys)) != len(keys):
        raise EngineRefused("ENGINE_ERROR", "Two ids of the dataset are the same; add the dataset again.")
    source, target = context.work_dir / "keys.csv", context.work_dir / "matched.csv"
    _write(source, keys)
    try:
        _execute(source, target, spu_links.connect(context, stage, ranks=ranks), protocol, len(ranks), broadcast)
    finally:
        launcher.remove_traces(context.work_dir)
        for path in context.work_dir.glob("keys.csv*"):
            path.unlink()
    if not broadcast and context.rank != ranks[0]:
        target.unlink(missing_ok=True)
        return np.zeros(0, np.int64), ""
    found = _read(target)
    target.unlink(missing_ok=True)
    return found[_ROW].to_numpy(np.int64), hashlib.sha256("\n".join(found[_KEY]).encode()).hexdigest()


def _write(path: Path, keys: Sequence[bytes]) -> None:
    text, width = b"".join(keys).hex(), 2 * identifiers.SIZE
    lines = (f"{text[place * width : (place + 1) * width]},{place}\n" for place in range(len(keys)))
    with path.open("w", encoding="ascii") as file:
        file.write(f"{_KEY},{_ROW}\n")
        file.writelines(lines)


def _read(path: Path) -> pd.DataFrame:
    """The library's answer, in order of key."""
    if not path.exists():
        return pd.DataFrame({_KEY: pd.Series([], dtype=str), _ROW: pd.Series([], dtype=np.int64)})
    found = pd.read_csv(path, dtype={_KEY: str, _ROW: np.int64})
    return found.sort_values(_KEY, kind="stable")


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
            input_params=psi.InputParams(path=str(source), selected_keys=[_KEY], keys_unique=True),
            output_params=psi.OutputParams(path=str(target)),
        ),
        connection,
    )
