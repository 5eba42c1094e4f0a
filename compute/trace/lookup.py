"""From what somebody holds (a digest, a reference, a number) to what it belongs to, if they may know of it."""

import re
from dataclasses import dataclass

from django.db.models import BinaryField, F, Func, Q

from compute.access import visible_computations
from compute.errors import TraceNotFound, TraceReferenceInvalid
from compute.models import Computation
from contracts.access import visible_contracts
from contracts.models import Contract
from exchange.kernel import identifiers
from exchange.members.models import Membership
from ledger.models import Entry
from listings.access import access_product
from listings.errors import ProductNotFound
from listings.models import Product, ProductVersion, RegistrationCertificate

_DIGEST = re.compile(r"(?:sha256:|0x)?([0-9a-fA-F]{64})", re.ASCII)
_ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}", re.ASCII)
_URN = re.compile(r"urn:hengshu:[a-z]+:([0-9A-HJKMNP-TV-Z]{26})", re.ASCII)
_NUMBER = re.compile(r"(?:DPC?|DTC|UMR)-[0-9A-Z-]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Target:
    """What a reference leads to: one of the three, or, for strangers, a subject of the public log."""

    computation: Computation | None = None
    contract: Contract | None = None
    product: ProductVersion | None = None
    subject: str = ""


def find(reference: str, *, by: Membership | None) -> Target:
    """What a reference belongs to, as far as the asker may know.

    Args:
        reference: digest of a sealed part, job, request, report, consent, terms, specification, certificate or
            receipt; URN or ULID of a computation, contract, product or entry; number of a contract, product,
            certificate or receipt.
    Raises:
        TraceReferenceInvalid: no reference of any of these forms.
        TraceNotFound: nothing, or nothing of the asker's business; the two look the same.
    """
    text = reference.strip()
    digest = _DIGEST.fullmatch(text)
    if digest:
        return _found(_by_digest(digest[1].lower(), by=by))
    urn = _URN.fullmatch(text)
    if urn or _ULID.fullmatch(text.upper()):
        ref = urn[1] if urn else text.upper()
        return _found(_by_name(ref, by=by) or _by_entry(ref, by=by) or _public(ref))
    if _NUMBER.fullmatch(text.upper()):
        return _found(_by_number(text.upper(), by=by))
    raise TraceReferenceInvalid(
        "Give a digest of 64 hex characters, a reference of 26 characters, a urn:hengshu:… or a number such as UMR-…."
    )


def _found(target: Target | None) -> Target:
    if target is None:
        raise TraceNotFound("There is nothing by this digest or reference that you may see; check it and who you are.")
    return target


def _by_digest(digest: str, *, by: Membership | None) -> Target | None:
    """The digest columns are indexed one by one; each question is a lookup of its own."""
    computations = visible_computations(by=by)
    for condition in (
        Q(tasks__part__digest=digest),
        Q(authorization__job_digest=digest),
        Q(request_digest=digest),
        Q(tasks__report_digest=digest),
        Q(consents__digest=digest),
    ):
        found = computations.filter(condition).first()
        if found is not None:
            return Target(computation=found)
    sealed = Func(F("result__receipt"), function="sha256", output_field=BinaryField())
    receipted = computations.filter(result__receipt__isnull=False).annotate(sha=sealed)
    ref = receipted.filter(sha=bytes.fromhex(digest)).values_list("ref", flat=True).first()
    if ref is not None:
        return Target(computation=computations.get(ref=ref))
    contract = visible_contracts(by=by).filter(terms_digest=digest).first()
    if contract is not None:
        return Target(contract=contract)
    versions = ProductVersion.objects.filter(
        Q(specification_digest=digest) | Q(certificate__record_digest=digest), submitted_at__isnull=False
    )
    return _version(versions.select_related("product").first(), by=by)


def _by_name(ref: str, *, by: Membership | None) -> Target | None:
    computation = visible_computations(by=by).filter(ref=ref).first()
    if computation is not None:
        return Target(computation=computation)
    contract = visible_contracts(by=by).filter(ref=ref).first()
    if contract is not None:
        return Target(contract=contract)
    return _newest(Product.objects.filter(ref=ref).select_related("current").first(), by=by)


def _by_entry(ref: str, *, by: Membership | None) -> Target | None:
    """What an entry is about; strangers get the public history of its subject."""
    entry = Entry.objects.filter(ref=ref).first()
    subject = _URN.fullmatch(entry.subject) if entry is not None else None
    return (_by_name(subject[1], by=by) or _public(subject[1])) if subject else None


def _by_number(number: str, *, by: Membership | None) -> Target | None:
    computation = visible_computations(by=by).filter(result__number=number).first()
    if computation is not None:
        return Target(computation=computation)
    contract = visible_contracts(by=by).filter(number=number).first()
    if contract is not None:
        return Target(contract=contract)
    certificate = RegistrationCertificate.objects.filter(number=number).select_related("version__product").first()
    if certificate is not None:
        return Target(product=certificate.version)  # certificates are public
    return _newest(Product.objects.filter(number=number).select_related("current").first(), by=by)


def _public(ref: str) -> Target | None:
    """A subject that the public log names, whoever asks."""
    for kind in ("computation", "contract", "product"):
        subject = identifiers.make_urn(kind, ref)
        if Entry.objects.filter(subject=subject, leaf__isnull=False).exists():
            return Target(subject=subject)
    return None


def _newest(product: Product | None, *, by: Membership | None) -> Target | None:
    """The newest version of a product that was ever handed in."""
    if product is None:
        return None
    handed_in = product.versions.filter(submitted_at__isnull=False).select_related("product").order_by("-version")
    return _version(handed_in.first(), by=by)


def _version(version: ProductVersion | None, *, by: Membership | None) -> Target | None:
    if version is None:
        return None
    try:
        access_product(version.product.ref, by=by)
    except ProductNotFound:
        return None
    return Target(product=version)
