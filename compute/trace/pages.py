"""The trace page: a search box, a picture of the chain, and every step with its signers."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from compute.errors import TraceNotFound, TraceReferenceInvalid
from compute.trace import words
from compute.trace.chain import trace
from compute.trace.steps import Kind, Signer, Standing, Step, Trace
from exchange.web import problems
from exchange.web.requests import MemberRequest

_ORDER = (Standing.SIGNED, Standing.WAITING, Standing.MISSING)


@dataclass(frozen=True, slots=True)
class Bead:
    """One kind of step in the picture: how many there are, and how they stand together."""

    kind: Kind
    word: Promise
    count: int
    standing: Standing
    anchor: str


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the chain: its beads for the picture, and its steps."""

    name: str
    word: Promise
    beads: tuple[Bead, ...]
    cards: tuple[dict[str, Any], ...]


@require_GET
def search(request: HttpRequest) -> HttpResponse:
    """The search box; what is asked for is shown at its own address."""
    query = request.GET.get("q", "").strip()
    if query and "/" not in query and len(query) <= 200:
        return HttpResponseRedirect(reverse("compute:trace-of", args=[query]))
    return render(request, "compute/trace.html", {"query": query})


@never_cache
@require_GET
def show(request: MemberRequest, reference: str) -> HttpResponse:
    """One chain of custody: template `compute/trace.html`.

    Context: `query`, `trace` (None when there is none), `phases` (Phase in the order of the chain), `problem`.
    """
    try:
        found = trace(reference, by=request.membership)
    except (TraceNotFound, TraceReferenceInvalid) as refusal:
        context = {"query": reference, "problem": problems.of_refusal(refusal).detail}
        return render(request, "compute/trace.html", context, status=refusal.status)
    return render(request, "compute/trace.html", {"query": reference, "trace": found, "phases": phases(found)})


def phases(found: Trace) -> list[Phase]:
    """The stretches of a chain that hold a step; closed steps lie in the stretch of their kind."""
    numbered = list(enumerate(found.steps, start=1))
    stretches = []
    for name, (word, kinds) in words.PHASES.items():
        mine = [(number, step) for number, step in numbered if step.kind in kinds]
        if mine:
            cards = tuple(_card(number, step) for number, step in mine)
            stretches.append(Phase(name, word, tuple(_beads(mine)), cards))
    return stretches


def _beads(mine: list[tuple[int, Step]]) -> list[Bead]:
    beads = []
    order = list(Kind)
    by_kind = sorted(mine, key=lambda one: order.index(one[1].kind))
    for kind, group in groupby(by_kind, key=lambda one: one[1].kind):
        several = list(group)
        worst = max((step.standing for _, step in several), key=_ORDER.index)
        beads.append(Bead(kind, words.KINDS[kind], len(several), worst, f"step-{several[0][0]}"))
    return beads


def _card(number: int, step: Step) -> dict[str, Any]:
    facts = [
        {"word": words.FACTS[fact.name], "value": fact.value, "reading": words.READINGS.get(fact.name, "")}
        for fact in step.facts
        if fact.value not in ("", None)
    ]
    return {
        "number": number,
        "step": step,
        "word": words.KINDS[step.kind],
        "standing": words.STANDINGS[step.standing],
        "facts": facts,
        "links": [{"word": words.LINKS[link.name], "address": link.address} for link in step.links],
        "signers": [_signed(one) for one in step.signers],
    }


def _signed(one: Signer) -> dict[str, Any]:
    return {
        "signer": one,
        "means": words.MEANS[one.means],
        "standing": words.STANDINGS[one.standing],
        "is_bad": one.standing in (Standing.MISSING, Standing.INVALID),
        "entry": one.entry.rsplit(":", 1)[-1] if one.entry else "",
    }
