"""Why a computation has no result: code, party, stage, who can do something about it, and what; in two languages."""

from dataclasses import dataclass

from compute.errors import END_SENTENCES
from compute.models import Computation
from compute.protocol import codes
from exchange.web import sentences


@dataclass(frozen=True, slots=True)
class Ending:
    """One ending as pages and the API show it.

    Args:
        party: URN of the organisation at whose node or by whom it ended; empty where there is none.
        fault: who can do something about it: buyer, provider, party, exchange or nobody.
    """

    code: str
    stage: str
    party: str
    fault: str
    zh: str
    en: str


def of(computation: Computation) -> Ending | None:
    """The ending of a computation; None while it goes on, or when it was released."""
    code, stage = computation.end_code, computation.end_stage
    if not code:
        return None
    known = codes.get(code) if codes.is_known(code) else None
    if known is not None and stage == codes.Stage.PREFLIGHT:
        zh, en = known.sentence("zh", stage=stage), known.sentence("en", stage=stage)
    else:
        en = END_SENTENCES.get(code) or (known.sentence("en") if known else code)
        zh = sentences.sentence(code, english=en, language="zh")
    return Ending(
        code=code,
        stage=stage,
        party=computation.end_party.urn if computation.end_party else "",
        fault=known.fault_at(stage).value if known else codes.Fault.NOBODY.value,
        zh=zh,
        en=en,
    )
