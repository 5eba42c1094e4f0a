"""The first half of a chain of custody: source statement, certificate, product, contract."""

from collections.abc import Mapping
from typing import Any

from django.urls import reverse

from compute.protocol import terms as protocol
from compute.trace.books import Books, actor_of, by_document, document_keys
from compute.trace.steps import Actor, Fact, Kind, Link, Means, Paper, Signer, Standing, Step
from contracts.models import Contract
from exchange.members.permissions import Role
from ledger.kinds import EntryKind
from ledger.proofs import grants
from ledger.proofs.errors import VerificationError
from listings.models import Product, ProductVersion, RegistrationCertificate
from listings.states import ReviewDecision

DATA_INTEGRITY, EIP712_GRANT = "data_integrity", "eip712_grant"


def product_steps(version: ProductVersion, books: Books, *, terms: Mapping[str, Any] | None = None) -> tuple[Step, ...]:
    """Source, certificate and listing of one version of a product.

    Args:
        terms: signed terms that name this version, where the chain goes on to a contract: the provider's
            signature on them covers the digests of specification and data set.
    """
    found = [_source(version, books, terms=terms), _certificate(version, books)]
    if terms is not None or version.product.is_listed:
        found.append(_product(version, books))
    return tuple(found)


def contract_steps(contract: Contract, books: Books) -> tuple[Step, ...]:
    """Every product under a contract, the contract with all its signatures, and what ended it."""
    terms = signed_terms(contract)
    steps: list[Step] = []
    versions = _versions(contract)
    for item in contract.terms["objects"]:
        version = versions.get((item["product"], item["version"]))
        if version is not None:
            steps += product_steps(version, books, terms=terms)
    return (*steps, _contract(contract, terms, books), *_revocations(contract, books))


def signed_terms(contract: Contract) -> dict[str, Any]:
    """The terms with every proof on them."""
    proofs = [signature.proof for signature in contract.signatures.all()]
    return {**contract.terms, "proof": proofs} if proofs else dict(contract.terms)


def product_link(product: Product) -> Link:
    """The product's page."""
    return Link("product", product.get_absolute_url())


def contract_link(contract: Contract) -> Link:
    """The contract's page."""
    return Link("contract", reverse("contracts:detail", args=[contract.ref]))


def party_actor(terms: Mapping[str, Any], organization: str) -> Actor:
    """A party of a contract as its terms name it."""
    party = protocol.party(terms, organization) or {}
    return Actor(
        organization=organization,
        name_zh=party.get("name_zh", ""),
        name_en=party.get("name_en", ""),
        role=party.get("role", ""),
    )


def _versions(contract: Contract) -> dict[tuple[str, int], ProductVersion]:
    refs = [item["product"].rsplit(":", 1)[-1] for item in contract.terms["objects"]]
    rows = ProductVersion.objects.filter(product__ref__in=refs).select_related(
        "product__provider", "specification", "certificate"
    )
    return {(row.product.urn, row.version): row for row in rows}


def _source(version: ProductVersion, books: Books, *, terms: Mapping[str, Any] | None) -> Step:
    product, digest = version.product, version.specification_digest
    entry = books.of_version(EntryKind.PRODUCT_SUBMITTED, product.urn, version=version.version, digest=digest)
    place = books.place(entry)
    provider = actor_of(product.provider, Role.PROVIDER)
    signers = [books.by_entry(entry, provider)]
    papers: tuple[Paper, ...] = ()
    if terms is not None:
        party = protocol.party(terms, product.provider.urn) or {}
        signers.append(_named_by_terms(version, terms, key=party.get("document_key", ""), provider=provider))
    specification = version.specification
    return Step(
        kind=Kind.SOURCE,
        subject=product.urn,
        actor=provider,
        signers=tuple(signers),
        digest=digest,
        place=place,
        at=version.submitted_at or version.created,
        facts=(
            Fact("source_statement", specification.source_statement),
            Fact("dataset_commitment", version.dataset_commitment),
        ),
        papers=papers,
        links=(product_link(product),),
    )


def _named_by_terms(version: ProductVersion, terms: Mapping[str, Any], *, key: str, provider: Actor) -> Signer:
    """The provider's signature on terms that name the digests of this very version."""
    signer = by_document(terms, key=key, actor=provider)
    named = any(
        (item["product"], item["specification_digest"], item["dataset_commitment"])
        == (version.product.urn, version.specification_digest, version.dataset_commitment)
        for item in terms["objects"]
    )
    if named or signer.standing is not Standing.SIGNED:
        return signer
    return Signer(actor=provider, means=Means.DOCUMENT, key=key, entry="", standing=Standing.INVALID)


def _certificate(version: ProductVersion, books: Books) -> Step:
    certificate = RegistrationCertificate.objects.filter(version=version).first()
    product = version.product
    review = version.reviews.filter(decision=ReviewDecision.APPROVED.value).order_by("pk").last()
    approved = books.of_version(
        EntryKind.PRODUCT_APPROVED, product.urn, version=version.version, digest=version.specification_digest
    )
    issued = books.keyed(f"certificate:{certificate.number}") if certificate else None
    registrar = books.officer(Role.REGISTRAR)
    reviewer = books.officer(review.role if review else Role.COMPLIANCE_REVIEWER)
    document = certificate.document if certificate else None
    key = ((document or {}).get("exchange") or {}).get("document_key", "")
    known = key if key in document_keys(books.exchange) else ""
    place = books.place(issued)
    digest = certificate.record_digest if certificate else ""
    return Step(
        kind=Kind.CERTIFICATE,
        subject=product.urn,
        actor=registrar,
        signers=(
            books.by_entry(approved, reviewer),
            books.by_entry(issued, registrar, says=digest),
            by_document(document if known else None, key=key, actor=books.officer("exchange"), entry=place),
        ),
        digest=digest,
        place=place,
        at=certificate.issued_at if certificate else None,
        facts=(Fact("certificate", certificate.number),) if certificate else (),
        papers=(Paper(DATA_INTEGRITY, document, (key,)),) if document else (),
        links=(Link("certificate", certificate.get_absolute_url()),) if certificate else (),
    )


def _product(version: ProductVersion, books: Books) -> Step:
    product = version.product
    entry = books.of_version(EntryKind.PRODUCT_LISTED, product.urn, version=version.version)
    place = books.place(entry)
    officer = books.officer(Role.LISTING_OFFICER)
    return Step(
        kind=Kind.PRODUCT,
        subject=product.urn,
        actor=officer,
        signers=(books.by_entry(entry, officer),),
        digest=version.specification_digest,
        place=place,
        at=place.at if place else product.listed_at,
        facts=(
            Fact("product_zh", product.name_zh),
            Fact("product_en", product.name_en),
            Fact("product_number", product.number or ""),
            Fact("version", version.version),
            Fact("grade", version.grade),
        ),
        links=(product_link(product),),
    )


def _contract(contract: Contract, terms: dict[str, Any], books: Books) -> Step:
    agreed = books.keyed(f"contract.agreed:{contract.ref}")
    proposed = books.keyed(f"contract.proposed:{contract.ref}")
    signers, papers = [], []
    for party in contract.terms["parties"]:
        urn = party["organization"]
        entry = books.keyed(f"contract.signed:{contract.ref}:{urn.rsplit(':', 1)[-1]}")
        signers.append(
            by_document(terms, key=party["document_key"], actor=party_actor(terms, urn), entry=books.place(entry))
        )
        signers.append(books.by_entry(entry, party_actor(terms, urn), says=contract.terms_digest))
    papers.append(Paper(DATA_INTEGRITY, terms, tuple(party["document_key"] for party in contract.terms["parties"])))
    for grant in contract.grants.select_related("organization"):
        party = protocol.party(terms, grant.organization.urn) or {}
        address = party.get("chain_address", "")
        place = books.place(books.keyed(f"contract.granted:{grant.grant_id}"))
        signers.append(
            Signer(
                actor=party_actor(terms, grant.organization.urn),
                means=Means.CHAIN,
                key=address,
                entry=place.entry if place else "",
                standing=_grant_standing(grant.document, address, contract.terms_digest),
            )
        )
        papers.append(Paper(EIP712_GRANT, grant.document, (address,)))
    signers.append(books.by_entry(agreed, books.officer("exchange"), says=contract.terms_digest))
    place = books.place(agreed) or books.place(proposed)
    return Step(
        kind=Kind.CONTRACT,
        subject=contract.urn,
        actor=party_actor(terms, contract.buyer.urn),
        signers=tuple(signers),
        digest=contract.terms_digest,
        place=place,
        at=place.at if place else contract.created,
        facts=(Fact("contract_number", contract.number), Fact("state", contract.state)),
        papers=tuple(papers),
        links=(contract_link(contract),),
    )


def _grant_standing(document: Mapping[str, Any], address: str, terms_digest: str) -> Standing:
    try:
        grants.verify_grant(document, grantor=address)
    except VerificationError:
        return Standing.INVALID
    named = str(document.get("terms_digest", "")).removeprefix("0x").lower()
    return Standing.SIGNED if named == terms_digest else Standing.INVALID


def _revocations(contract: Contract, books: Books) -> list[Step]:
    steps = []
    for row in contract.revocations.select_related("organization"):
        party = protocol.party(contract.terms, row.organization.urn) or {}
        actor = party_actor(contract.terms, row.organization.urn)
        entry = books.keyed(f"contract.revoked:{row.digest}")
        place = books.place(entry)
        key = party.get("document_key", "")
        steps.append(
            Step(
                kind=Kind.REVOCATION,
                subject=contract.urn,
                actor=actor,
                signers=(
                    by_document(row.document, key=key, actor=actor, entry=place, terms_digest=contract.terms_digest),
                    books.by_entry(entry, actor, says=row.digest),
                ),
                digest=row.digest,
                place=place,
                at=row.received,
                papers=(Paper(DATA_INTEGRITY, row.document, (key,)),),
                links=(contract_link(contract),),
            )
        )
    return steps
