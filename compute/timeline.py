"""Read models of one computation: how far each party is, and the evidence step by step."""

from dataclasses import dataclass
from datetime import datetime

from compute import deadlines
from compute.models import Computation, NodeTask
from exchange.kernel import identifiers
from exchange.members.models import Organization
from ledger.models import Anchor, Checkpoint, Entry, Leaf


@dataclass(frozen=True, slots=True)
class StageEvent:
    """One line of a party's log of the run: a word of `compute.protocol.stages`, and numbers."""

    stage: str
    percent: int
    seconds: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PartyProgress:
    """One party of a computation as pages and the API show it; `code` is how its own report says that it ended."""

    organization: str
    name_zh: str
    name_en: str
    rank: int
    role: str
    consent: str
    state: str
    stage: str
    percent: int
    code: str
    events: list[StageEvent]


@dataclass(frozen=True, slots=True)
class Step:
    """One fact of the evidence: who said it, where it stands in the log, and what covers it.

    Args:
        index: place in the log; None until sequenced.
        checkpoint_size: size of the first signed checkpoint that covers it; None until signed.
        block: number of the block that anchors it; None until anchored.
    """

    entry: str
    kind: str
    at: datetime
    issuer: str
    issuer_name_zh: str
    issuer_name_en: str
    index: int | None
    checkpoint_size: int | None
    block: int | None
    transaction: str


def parties(computation: Computation) -> list[PartyProgress]:
    """Every party of the plan in rank order, whether or not its task exists yet."""
    tasks = {task.organization_id: task for task in computation.tasks.prefetch_related("events")}
    consents = {consent.organization.urn: consent for consent in computation.consents.all()}
    found = []
    for party in computation.plan["parties"]:
        consent = consents[party["organization"]]
        task = tasks.get(consent.organization_id)
        found.append(
            PartyProgress(
                organization=party["organization"],
                name_zh=consent.organization.name_zh,
                name_en=consent.organization.name_en,
                rank=party["rank"],
                role=party["role"],
                consent=consent.state,
                state=task.state if task else "",
                stage=task.stage if task else "",
                percent=task.percent if task else 0,
                code=str((task.report or {}).get("code") or "") if task else "",
                events=_events(task) if task else [],
            )
        )
    return found


def _events(task: NodeTask) -> list[StageEvent]:
    """The stages of the claim that counts, in order."""
    return [
        StageEvent(event.stage, event.percent, event.seconds, event.size_bytes)
        for event in task.events.all()
        if event.fencing_token == task.fencing_token
    ]


def steps(computation: Computation) -> list[Step]:
    """The entries about a computation in log order, each with the checkpoint and block that cover it."""
    entries = list(Entry.objects.about(computation.urn).with_evidence())
    names = _names({entry.issuer for entry in entries})
    found = []
    for entry in entries:
        leaf = getattr(entry, "leaf", None)
        index = leaf.index if leaf else None
        checkpoint = _first_checkpoint(leaf)
        anchor = _first_anchor(leaf)
        zh, en = names.get(entry.issuer, ("", ""))
        found.append(
            Step(
                entry=entry.urn,
                kind=entry.kind,
                at=entry.at,
                issuer=entry.issuer,
                issuer_name_zh=zh,
                issuer_name_en=en,
                index=index,
                checkpoint_size=checkpoint,
                block=anchor.block_number if anchor else None,
                transaction=anchor.transaction_hash if anchor else "",
            )
        )
    return found


def estimated_seconds(computation: Computation) -> int | None:
    """How long the run will take by the nodes' own estimates; None before they say, or where none says it."""
    return deadlines.estimated_seconds(consent.document for consent in computation.consents.all() if consent.document)


def learned(computation: Computation) -> list[dict[str, str]]:
    """What each party learns by the run, as the nodes' own reports say it: `role`, `zh`, `en`, each once."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for task in computation.tasks.all():
        for item in (task.report or {}).get("learned", []):
            found.setdefault((item["role"], item["en"]), item)
    return list(found.values())


def _first_checkpoint(leaf: Leaf | None) -> int | None:
    if leaf is None:
        return None
    covering = Checkpoint.objects.filter(log_id=leaf.log_id, size__gt=leaf.index)
    return covering.order_by("size").values_list("size", flat=True).first()


def _first_anchor(leaf: Leaf | None) -> Anchor | None:
    if leaf is None:
        return None
    covering = Anchor.objects.filter(log_id=leaf.log_id, size__gt=leaf.index)
    return covering.order_by("-deployment__epoch", "size").first()


def _names(urns: set[str]) -> dict[str, tuple[str, str]]:
    refs = [urn.rsplit(":", 1)[-1] for urn in urns if urn.startswith(identifiers.make_urn("org", "0" * 26)[:-26])]
    return {item.urn: (item.name_zh, item.name_en) for item in Organization.objects.filter(ref__in=refs)}
