"""Models that outlive a run: each party's share and its own scaling, in its node's kept directory.

A trained model is never in one place. Each of the three computing parties keeps its replicated share of the weights,
which is two uniform numbers a weight; each owner of columns keeps how it standardised them. A later scoring takes both
from here, at the same parties in the same places. Two of the three together could open the model, one cannot.

`scoring-models/models/<sha-256 of the version>.json`, mode 0600, beside the engines' own directories at the node:
training writes there and scoring reads. The requester's own cards lie there too, under their commitments.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compute.engines.base import StageContext
from compute.engines.errors import EngineRefused
from ledger.proofs import canonical

MODEL_TYPE = "hengshu/shared-model/v1"
_FOLDER = "models"
_RELEASED = "released-cards.txt"
COMMON = "scoring-models"  # of the two engines of this package, beside their own directories


@dataclass(frozen=True, slots=True)
class SharedModel:
    """What one party keeps of a model.

    Args:
        version: the computation that trained it; organizations: by rank; features: columns by rank, the requester's
            first; shares: base64, 16 bytes a weight, None at the requester, which is outside the circuit.
        means, spreads: of this party's own columns, in their declared scaled units.
    """

    version: str
    organizations: tuple[str, ...]
    features: tuple[tuple[str, ...], ...]
    rank: int
    shares: str | None
    means: tuple[float, ...]
    spreads: tuple[float, ...]

    @property
    def commitment(self) -> str:
        """SHA-256 of what all parties know of the model alike; a scoring names it."""
        return commitment(self.version, organizations=self.organizations, features=self.features)


def directory(context: StageContext) -> Path | None:
    """Where this node keeps models, cards and withdrawals; None where nothing is kept."""
    return None if context.state is None else context.state.parent / COMMON


def commitment(version: str, *, organizations: Sequence[str], features: Sequence[Sequence[str]]) -> str:
    """The digest that names a trained model: version, parties and columns, no weight."""
    public = {
        "type": MODEL_TYPE,
        "version": version,
        "organizations": list(organizations),
        "features": [list(columns) for columns in features],
    }
    return hashlib.sha256(canonical.encode(public)).hexdigest()


def write(directory: Path, model: SharedModel) -> None:
    """Keep a model; an older one of the same version is replaced."""
    path = _path(directory, model.version)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump({"type": MODEL_TYPE, **asdict(model)}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read(directory: Path | None, version: str, *, expected: str, rank: int) -> SharedModel:
    """This party's piece of the model that a request names; EngineRefused JOB_DIFFERS without exactly that one."""
    try:
        found = _load(directory, version)
    except (OSError, KeyError, TypeError, ValueError):
        raise EngineRefused("JOB_DIFFERS", "This node keeps no such model; train it again or name another.") from None
    if found.commitment != expected or found.rank != rank:
        raise EngineRefused("JOB_DIFFERS", "The model kept here is not the one that the request names.")
    return found


def read_card(directory: Path | None, expected: str) -> bytes:
    """The requester's card with this commitment; EngineRefused JOB_DIFFERS without one."""
    path = None if directory is None else directory / "cards" / f"{expected}.json"
    if path is None or not path.is_file():
        raise EngineRefused(
            "JOB_DIFFERS", "The requester's node keeps no model of that commitment; add it to the node."
        )
    return path.read_bytes()


def write_card(directory: Path, document: Mapping[str, Any]) -> str:
    """Keep a card of this node's own; returns its commitment."""
    data = canonical.encode(dict(document))
    found = hashlib.sha256(data).hexdigest()
    folder = directory / "cards"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(folder / f"{found}.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    return found


def release_card(directory: Path, commitment: str) -> None:
    """Note at an agency's node that its reviewers have seen the card of this commitment and release it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(directory / _RELEASED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
        file.write(commitment + "\n")
        file.flush()
        os.fsync(file.fileno())


def check_released(directory: Path | None, commitment: str) -> None:
    """Refuse a card that this agency has not released: a card of one feature would read that feature out.

    Raises:
        EngineRefused: RELEASE_MISSING.
    """
    path = None if directory is None else directory / _RELEASED
    if path is None or not path.is_file() or commitment not in path.read_text(encoding="utf-8").split():
        raise EngineRefused("RELEASE_MISSING", "This agency has not released the model; have its card reviewed.")


def _path(directory: Path, version: str) -> Path:
    return directory / _FOLDER / f"{hashlib.sha256(version.encode()).hexdigest()}.json"


def _load(directory: Path | None, version: str) -> SharedModel:
    if directory is None:
        raise ValueError("nothing is kept here")
    value = json.loads(_path(directory, version).read_text(encoding="utf-8"))
    if value.pop("type") != MODEL_TYPE:
        raise ValueError("not a model")
    for name in ("organizations", "means", "spreads"):
        value[name] = tuple(value[name])
    value["features"] = tuple(tuple(columns) for columns in value["features"])
    return SharedModel(**value)
