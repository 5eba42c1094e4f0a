"""A trace as the API gives it: steps, the public proof of every entry, and papers for those who may have them."""

from typing import Any

from django.db.models import Count

from compute.trace.steps import Paper, Place, Signer, Step, Trace
from exchange.kernel import identifiers
from ledger import actions as ledger
from ledger.actions.witnessing import quorum
from ledger.errors import DisclosureErased, NotYetSealed
from ledger.models import Checkpoint, Entry, Log

TYPE = "hengshu/trace/v1"
_OPENED = ("urn:hengshu:computation:", "urn:hengshu:contract:")  # reviews of products hold officers' reasons

_LOOK_BACK = 50  # checkpoints; witnesses answer within seconds


def document(trace: Trace) -> dict[str, Any]:
    """The whole trace; `proofs` by entry and `checkpoints` by log are what anybody may have."""
    proofs, checkpoints = _proofs(trace)
    return {
        "type": TYPE,
        "kind": trace.kind,
        "subject": trace.subject,
        "title": trace.title,
        "steps": [_step(step) for step in trace.steps],
        "onward": [{"name": link.name, "address": link.address} for link in trace.onward],
        "defects": [
            {"code": step.defect, "step": index, "kind": step.kind.value}
            for index, step in enumerate(trace.steps)
            if step.defect
        ],
        "proofs": proofs,
        "checkpoints": checkpoints,
    }


def _step(step: Step) -> dict[str, Any]:
    actor = step.actor
    return {
        "kind": step.kind.value,
        "subject": step.subject,
        "is_open": step.is_open,
        "standing": step.standing.value,
        "defect": step.defect or None,
        "responsible": actor
        and {
            "organization": actor.organization,
            "name_zh": actor.name_zh,
            "name_en": actor.name_en,
            "role": actor.role,
        },
        "signers": [_signer(one) for one in step.signers],
        "digest": step.digest or None,
        "entry": step.place and _place(step.place),
        "at": step.at and step.at.isoformat(),
        "facts": [{"name": fact.name, "value": fact.value} for fact in step.facts],
        "links": [{"name": link.name, "address": link.address} for link in step.links],
        "papers": [_paper(paper) for paper in step.papers],
        "opening": _opening(step),
    }


def _signer(one: Signer) -> dict[str, Any]:
    return {
        "organization": one.actor.organization,
        "name_zh": one.actor.name_zh,
        "name_en": one.actor.name_en,
        "role": one.actor.role,
        "means": one.means.value,
        "key": one.key,
        "entry": one.entry or None,
        "standing": one.standing.value,
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "urn": place.entry,
        "kind": place.kind,
        "subject": place.subject,
        "issuer": place.issuer,
        "at": place.at.isoformat(),
        "log": place.origin or None,
        "index": place.index,
        "sealed": place.sealed,
        "anchored": place.anchored,
    }


def _paper(paper: Paper) -> dict[str, Any]:
    return {"form": paper.form, "document": paper.document, "signers": list(paper.signers)}


def _opening(step: Step) -> dict[str, Any] | None:
    """What the entry's commitment opens to, for those whose business it is; None where it was erased."""
    place = step.place
    if place is None or not (step.is_open and step.may_open) or not place.subject.startswith(_OPENED):
        return None
    entry = Entry.objects.select_related("disclosure").get(ref=place.ref)
    try:
        payload = ledger.payload_of(entry)
    except DisclosureErased:
        return None
    return {"payload": payload, "salt": bytes(entry.disclosure.salt or b"").hex()}


def _proofs(trace: Trace) -> tuple[dict[str, Any], dict[str, str]]:
    """The public proof of every entry of a trace, each under the newest checkpoint that the witnesses have seen."""
    proofs: dict[str, Any] = {}
    checkpoints: dict[str, str] = {}
    urns = [step.place.entry for step in trace.steps if step.place is not None]
    urns += [one.entry for step in trace.steps for one in step.signers if one.entry]
    refs = {identifiers.parse_urn(urn, kind="entry") for urn in urns}
    witnessed: dict[int, Checkpoint | None] = {}
    for entry in Entry.objects.filter(ref__in=refs, leaf__isnull=False).select_related("leaf__log").order_by("pk"):
        log = entry.leaf.log
        if log.number not in witnessed:
            witnessed[log.number] = _witnessed(log)
        seen = witnessed[log.number]
        under = seen if seen is not None and entry.leaf.index < seen.size else ledger.checkpoint_of(entry)
        try:
            proof = ledger.inclusion_proof(entry, checkpoint=under)
        except NotYetSealed:
            continue
        name = f"{log.origin}@{under.size if under else 0}"
        checkpoints[name] = proof["checkpoint"]
        proofs[entry.urn] = {"checkpoint": name, "leaf": proof["leaf"], "index": proof["index"], "path": proof["path"]}
    return proofs, checkpoints


def _witnessed(log: Log) -> Checkpoint | None:
    """The newest of a log's last checkpoints that a quorum of witnesses has cosigned."""
    newest = Checkpoint.objects.filter(log=log).annotate(seen=Count("cosignatures")).order_by("-size")[:_LOOK_BACK]
    return next((one for one in newest if one.seen >= quorum()), None)  # type: ignore[attr-defined]
