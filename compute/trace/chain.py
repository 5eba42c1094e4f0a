"""`trace(reference, by=…)`: the chain of custody behind a digest or reference, as the asker may see it."""

from collections.abc import Callable, Iterable

from django.db.models import prefetch_related_objects
from django.urls import reverse

from compute.access import visible_computations
from compute.models import Computation
from compute.trace import access, lookup, origins, runs
from compute.trace.books import Books
from compute.trace.steps import Kind, Link, Step, Trace
from contracts.access import visible_contracts
from contracts.models import Contract
from exchange.members.models import Membership
from listings.models import ProductVersion

MAX_ONWARD = 50


def trace(reference: str, *, by: Membership | None) -> Trace:
    """The chain of custody that a reference belongs to.

    Parties of the contract see all of it, staff what `access.NEEDS` says, everybody else the public log.

    Raises:
        TraceReferenceInvalid, TraceNotFound: see `lookup.find`.
    """
    target = lookup.find(reference, by=by)
    if target.computation is not None:
        return of_computation(target.computation, by=by)
    if target.contract is not None:
        return of_contract(target.contract, by=by)
    if target.product is not None:
        return of_product(target.product, by=by)
    return of_log(target.subject)


def of_computation(computation: Computation, *, by: Membership | None) -> Trace:
    """From the source statements to the receivers of one result."""
    contract = computation.contract
    books = Books([computation.urn, contract.urn, *_products(contract)])
    steps = (*origins.contract_steps(contract, books), *runs.Run(computation, books).steps())
    return Trace("computation", computation.urn, contract.number, _as_seen(steps, contract, by=by))


def of_contract(contract: Contract, *, by: Membership | None) -> Trace:
    """From the source statements to a contract, and on to its computations."""
    books = Books([contract.urn, *_products(contract)])
    steps = _as_seen(origins.contract_steps(contract, books), contract, by=by)
    computations = visible_computations(by=by).filter(contract=contract).order_by("-created")[:MAX_ONWARD]
    onward = tuple(Link(row.ref, _address(row.ref)) for row in computations)
    return Trace("contract", contract.urn, contract.number, steps, onward)


def of_product(version: ProductVersion, *, by: Membership | None) -> Trace:
    """From the source statement to a listed product, and on to the contracts that name it."""
    product = version.product
    found = origins.product_steps(version, Books([product.urn]))

    def may(kind: Kind) -> bool:
        return access.may_see_product_step(kind, product=product, by=by)

    named = visible_contracts(by=by).filter(terms__objects__contains=[{"product": product.urn}])[:MAX_ONWARD]
    onward = tuple(Link(row.number, _address(row.ref)) for row in named)
    return Trace("product", product.urn, product.number or "", _seen(found, may, papers=True), onward)


def of_log(subject: str) -> Trace:
    """What the public log shows of a subject: kinds, times, places; no business content."""
    books = Books([subject])
    steps = []
    for entry in books.entries:
        place = books.place(entry)
        if place is not None and place.sealed:
            step = Step(Kind.ENTRY, subject, None, (), "", place, place.at, is_open=False)
            steps.append(step)
    return Trace("log", subject, "", tuple(steps))


def _products(contract: Contract) -> list[str]:
    prefetch_related_objects([contract], "signatures")
    return [item["product"] for item in contract.terms["objects"]]


def _as_seen(steps: Iterable[Step], contract: Contract, *, by: Membership | None) -> tuple[Step, ...]:
    def may(kind: Kind) -> bool:
        return access.may_see_step(kind, contract=contract, by=by)

    return _seen(steps, may, papers=access.may_read_papers(contract, by=by))


def _seen(steps: Iterable[Step], may: Callable[[Kind], bool], *, papers: bool) -> tuple[Step, ...]:
    answers: dict[Kind, bool] = {}
    found = []
    for step in steps:
        if step.kind not in answers:
            answers[step.kind] = may(step.kind)
        if answers[step.kind]:
            found.append(step.with_papers() if papers else step.without_papers())
        elif (closed := step.closed()) is not None:
            found.append(closed)
    return tuple(found)


def _address(ref: str) -> str:
    return reverse("compute:trace-of", args=[ref])
