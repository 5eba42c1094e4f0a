"""What this app reads of a contract beyond its terms: every party's proof, its revocations and its parties'."""

from typing import Any

from contracts.models import Contract, ContractParty, Revocation
from exchange.kernel import identifiers
from exchange.members.actions import key_revocations
from exchange.members.exchange_keys import exchange_organization
from exchange.members.models import Organization

MAX_REVOCATIONS = 200  # in one answer to a node; a node keeps what it has learnt


def signed_terms(contract: Contract) -> dict[str, Any]:
    """The terms with the proofs of all who signed, in the order in which they signed."""
    proofs = contract.signatures.order_by("pk").values_list("proof", flat=True)
    return {**contract.terms, "proof": list(proofs)}


def revocations_for(organization: Organization) -> list[dict[str, Any]]:
    """The signed revocations of every contract an organisation is a party of, newest first."""
    rows = Revocation.objects.filter(contract__parties__organization=organization).order_by("-pk")
    return list(rows.values_list("document", flat=True)[:MAX_REVOCATIONS])


def key_revocations_for(organization: Organization) -> list[dict[str, Any]]:
    """The signed revocations of the keys of everybody an organisation has a contract with, and of the exchange's."""
    shared = ContractParty.objects.filter(organization=organization).values("contract")
    partners = ContractParty.objects.filter(contract__in=shared).values_list("organization__ref", flat=True).distinct()
    urns = [*(identifiers.make_urn("org", ref) for ref in partners), exchange_organization().urn]
    return key_revocations.revocations_of(urns)[:MAX_REVOCATIONS]
