"""Engines by their id. Importing this loads no engine, and getting one loads no numeric library."""

from collections.abc import Mapping
from importlib import import_module, metadata
from typing import Any

from compute.engines.base import Engine
from compute.engines.errors import EngineRefused

_ENGINES: Mapping[str, tuple[str, str]] = {
    "additive_sharing/1": ("compute.engines.additive", "AdditiveSharing"),
    "aby3_aligned/1": ("compute.engines.aligned", "AlignedStatistics"),
    "oprf_lookup/1": ("compute.engines.lookup", "OprfLookup"),
    "keyed_consistency/1": ("compute.engines.consistency", "KeyedConsistency"),
    "aby3_join/1": ("compute.engines.hidden_join", "JoinedStatistics"),
    "cheetah_aligned/1": ("compute.engines.two_party", "TwoPartyStatistics"),
    "ddh_paillier_sum/1": ("compute.engines.matched_sum", "MatchedSum"),
    "psi_matching/1": ("compute.engines.matching", "Matching"),
    "ub_psi/1": ("compute.engines.membership", "Membership"),
    "aby3_scoring/1": ("compute.engines.scoring.engine", "CreditScoring"),
    "aby3_training/1": ("compute.engines.scoring.training", "ModelTraining"),
    "paillier_scoring/1": ("compute.engines.scoring.paired", "PairedScoring"),
    "paillier_training/1": ("compute.engines.scoring.paired_training", "PairedTraining"),
}
TRANSPORT = "mutual TLS 1.3, one-job pinned certificates"


def ids() -> list[str]:
    """Every engine that may be dispatched; the reference is not among them."""
    return list(_ENGINES)


def get(engine_id: str) -> Engine:
    """The engine by its id; EngineRefused ENGINE_UNKNOWN."""
    place = _ENGINES.get(engine_id)
    if place is None:
        raise EngineRefused("ENGINE_UNKNOWN", f"This node has no engine {engine_id}; it has {', '.join(_ENGINES)}.")
    engine: Engine = getattr(import_module(place[0]), place[1])()
    return engine


def describe(engine_id: str) -> dict[str, Any]:
    """The `engine` member of an execution report: protocol, adversary model, transport and versions."""
    engine = get(engine_id)
    return {
        "id": engine.id,
        "protocol": engine.card.protocol,
        "adversary_model": engine.card.adversary_model,
        "transport": TRANSPORT,
        "software": {name: metadata.version(name) for name in ("hengshu", *engine.packages)},
    }
