"""What documents, contract and load allow, asked before anything is set aside. Who you are is asked elsewhere."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from compute.errors import ConcurrencyExceeded, RequestExpired, RequestSignatureInvalid, TermsChanged
from compute.models import Computation
from compute.protocol import shapes, terms
from compute.states import BEFORE_DISPATCH, RUNNING
from contracts.models import Contract
from exchange.kernel.errors import PermissionRefused
from exchange.members.models import Organization, SigningKey
from exchange.members.states import KeyPurpose
from ledger.proofs import statements
from ledger.proofs.errors import VerificationError

MAX_REQUEST_LIFE = timedelta(days=7)
MAX_SKEW = timedelta(minutes=5)  # how far the clock of the machine that signs may run ahead


def check_document(
    document: Mapping[str, Any], *, contract: Contract, organization: Organization, now: datetime
) -> None:
    """Raise unless the contract's buyer has signed this request, under these terms, for a time around now.

    Raises:
        PermissionRefused: the organisation is not the contract's buyer.
        TermsChanged, RequestSignatureInvalid, RequestExpired: the document.
    """
    buyer = terms.buyer(contract.terms)
    if buyer["organization"] != organization.urn:
        raise PermissionRefused("Only the contract's buyer can ask for its computations.")
    if document["terms_digest"] != contract.terms_digest:
        raise TermsChanged("The request names other terms than those signed; read the contract again and sign anew.")
    try:
        statements.verify(document, signers=[buyer["document_key"]])
    except VerificationError as error:
        raise RequestSignatureInvalid(
            f"The request is not signed by the buyer's key in the contract: {error.message}."
        ) from error
    registered = SigningKey.objects.valid_at(now).for_purpose(KeyPurpose.DOCUMENT)
    if not registered.filter(organization=organization, value=buyer["document_key"]).exists():
        raise RequestSignatureInvalid(
            "The buyer's key in the contract is revoked or replaced; agree on a new contract."
        )
    created, expires = shapes.parse_time(document["created"]), shapes.parse_time(document["expires"])
    if created > now + MAX_SKEW:
        raise RequestExpired("The request was made in the future; set the clock of the machine that signs.")
    if expires <= now or expires > now + MAX_REQUEST_LIFE + MAX_SKEW:
        raise RequestExpired("The request has expired, or asks for more than 7 days; make a new one.")


def check_concurrency(contract: Contract) -> None:
    """Raise when as many runs as agreed are under way. The caller holds the contract's row.

    Raises:
        ConcurrencyExceeded: wait for one to end.
    """
    limit = contract.terms["computation"]["max_concurrency"]
    busy = Computation.objects.filter(contract=contract).in_states(BEFORE_DISPATCH | RUNNING).count()
    if busy >= limit:
        raise ConcurrencyExceeded(
            f"{busy} of {limit} computations of this contract are under way; wait for one to end."
        )
