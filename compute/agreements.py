"""What this app reads of a contract beyond its terms: the document with every party's proof, and its revocations."""

from typing import Any

from contracts.models import Contract, Revocation
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
