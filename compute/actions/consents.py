"""What the parties' own nodes answer to a request: signed consents, one for each party."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from compute import schedule
from compute.actions import moves
from compute.errors import ConsentClosed, ConsentInvalid
from compute.models import Computation, Consent
from compute.protocol import documents, shapes, terms
from compute.states import ComputationState, ConsentState
from exchange.kernel import identifiers
from exchange.kernel.errors import DomainError
from exchange.members.models import Organization
from ledger import actions as ledger
from ledger.kinds import EntryKind
from ledger.proofs import statements
from ledger.proofs.errors import VerificationError

_SKEW = timedelta(minutes=5)  # how far a node's clock may run ahead


@transaction.atomic
def answer(*, organization: Organization, document: Mapping[str, Any], now: datetime | None = None) -> Consent:
    """Record a party's signed consent or refusal.

    Raises:
        ConsentInvalid: it does not fit the request, the contract or its signer.
        ConsentClosed: another answer of this party is recorded, or none is asked for any more.
    Idempotent: the same document again changes nothing.
    """
    now = now or timezone.now()
    computation = _computation_of(document)
    locked = moves.lock(computation.pk)
    consent = locked.consents.filter(organization=organization).first()
    if consent is None:
        raise ConsentInvalid("Your organisation is not asked for consent to this computation.")
    digest = statements.digest(document)
    if consent.digest == digest:
        return consent
    if consent.state != ConsentState.PENDING or locked.state != ComputationState.CONSENTING:
        raise ConsentClosed(f"The computation is {locked.state} and this party's answer is {consent.state}.")
    _check(document, computation=locked, organization=organization, now=now)
    granted = document["decision"] == "granted"
    consent.state = (ConsentState.GRANTED if granted else ConsentState.REFUSED).value
    consent.document, consent.digest, consent.decided_at = dict(document), digest, now
    consent.save(update_fields=["state", "document", "digest", "decided_at"])
    ledger.record(
        kind=EntryKind.CONSENT_GRANTED if granted else EntryKind.CONSENT_REFUSED,
        subject=locked.urn,
        issuer=organization.urn,
        payload={
            "computation": locked.urn,
            "request_digest": locked.request_digest,
            "consent": document["id"],
            "consent_digest": digest,
            "organization": organization.urn,
            "basis": document["basis"],
        },
        key=f"consent:{locked.ref}:{organization.ref}",
    )
    if granted:
        schedule.advance_later()
    else:
        moves.end(
            locked,
            ComputationState.REJECTED,
            code="CONSENT_REFUSED",
            stage="consent",
            party=organization,
            issuer=organization.urn,
            now=now,
        )
    return consent


def _computation_of(document: Mapping[str, Any]) -> Computation:
    try:
        documents.check_consent(document)
        ref = identifiers.parse_urn(document["computation"], kind="computation")
    except (DomainError, ValueError) as error:
        raise ConsentInvalid(f"The consent is not one this version reads: {error}") from error
    found = Computation.objects.by_ref(ref)
    if found is None:
        raise ConsentInvalid("There is no such computation; poll again.")
    return found


def _check(document: Mapping[str, Any], *, computation: Computation, organization: Organization, now: datetime) -> None:
    agreed = computation.contract.terms
    expected = {
        "computation": computation.urn,
        "request_digest": computation.request_digest,
        "contract": computation.contract.urn,
        "terms_digest": computation.contract.terms_digest,
        "organization": organization.urn,
    }
    wrong = [name for name, value in expected.items() if document[name] != value]
    party = terms.party(agreed, organization.urn)
    if wrong or party is None:
        raise ConsentInvalid(f"The consent names another {', '.join(wrong) or 'organization'} than this computation.")
    if not shapes.parse_time(document["issued"]) <= now + _SKEW or now >= shapes.parse_time(document["expires"]):
        raise ConsentInvalid("The consent is not valid at this time; check the node's clock and sign again.")
    if computation.policy.get("needs_run_consent") and document["basis"] != "per_run":
        raise ConsentInvalid("The policy wants consent for this very run; standing consent is not enough.")
    if agreed["computation"]["approval"] == "per_run" and document["basis"] != "per_run":
        raise ConsentInvalid("The contract wants consent for each run; standing consent is not enough.")
    try:
        statements.verify(document, signers=[party["document_key"]])
    except VerificationError as error:
        raise ConsentInvalid(f"The consent is not signed by the key in the contract: {error.message}.") from error
