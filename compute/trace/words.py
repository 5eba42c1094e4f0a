"""The words of a trace in the language of the page."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from compute.trace.steps import Kind, Means, Standing

KINDS: Mapping[Kind, Promise] = {
    Kind.SOURCE: _("Source statement"),
    Kind.CERTIFICATE: _("Registration certificate"),
    Kind.PRODUCT: _("Listed product"),
    Kind.CONTRACT: _("Contract"),
    Kind.REVOCATION: _("Contract revoked"),
    Kind.REQUEST: _("Request"),
    Kind.REVIEW: _("Staff review"),
    Kind.CONSENT: _("Consent"),
    Kind.AUTHORIZATION: _("Authorisation"),
    Kind.RUN: _("Run at one party"),
    Kind.RESULT: _("Result accepted"),
    Kind.CHARGE: _("Charge"),
    Kind.RELEASE: _("Result released"),
    Kind.DELIVERY: _("Handed to the receiver"),
    Kind.RECEIPT: _("Usage receipt"),
    Kind.END: _("Ended without a result"),
    Kind.ENTRY: _("Log entry"),
}

MEANS: Mapping[Means, Promise] = {
    Means.DOCUMENT: _("own key on the document"),
    Means.CHAIN: _("own address on the on-chain grant"),
    Means.ENTRY: _("log entry under the log's key"),
}

STANDINGS: Mapping[Standing, Promise] = {
    Standing.SIGNED: _("Signed"),
    Standing.WAITING: _("Waiting for the seal"),
    Standing.MISSING: _("Signature missing"),
    Standing.INVALID: _("Signature invalid"),
}

FACTS: Mapping[str, Promise] = {
    "source_statement": _("Source of the data"),
    "dataset_commitment": _("Data set commitment"),
    "certificate": _("Certificate number"),
    "product_zh": _("Chinese name"),
    "product_en": _("English name"),
    "product_number": _("Product number"),
    "version": _("Version"),
    "grade": _("Grade"),
    "contract_number": _("Contract number"),
    "state": _("State"),
    "operation": _("Operation"),
    "purpose": _("Purpose"),
    "consent": _("Decision"),
    "policy_rule": _("Policy rule"),
    "min_group": _("Smallest group (persons)"),
    "rank": _("Rank"),
    "task": _("Task"),
    "engine": _("Engine"),
    "units": _("Units"),
    "part": _("Sealed part"),
    "amount_fen": _("Amount"),
    "receiver_zh": _("Receiver (Chinese name)"),
    "receiver_en": _("Receiver (English name)"),
    "receipt_number": _("Receipt number"),
    "end_code": _("Why"),
}

# How a value is read: the label table it belongs to, or `hash`, `money`; as it is otherwise.
READINGS: Mapping[str, str] = {
    "dataset_commitment": "hash",
    "part": "hash",
    "amount_fen": "money",
    "state": "state",
    "consent": "state",
    "task": "state",
    "operation": "operation",
    "purpose": "purpose",
    "grade": "grade",
    "engine": "engine",
    "end_code": "failure",
}

LINKS: Mapping[str, Promise] = {
    "product": _("Product page"),
    "certificate": _("Certificate"),
    "contract": _("Contract page"),
    "computation": _("Computation page"),
    "receipt": _("Receipt (JSON)"),
}

PHASES: Mapping[str, tuple[Promise, tuple[Kind, ...]]] = {
    "origin": (_("Where it comes from"), (Kind.SOURCE, Kind.CERTIFICATE, Kind.PRODUCT)),
    "right": (
        _("Why it was allowed"),
        (Kind.CONTRACT, Kind.REVOCATION, Kind.REQUEST, Kind.REVIEW, Kind.CONSENT, Kind.AUTHORIZATION),
    ),
    "run": (_("What was done"), (Kind.RUN, Kind.RESULT, Kind.CHARGE, Kind.END)),
    "receivers": (_("Where it went"), (Kind.RELEASE, Kind.DELIVERY, Kind.RECEIPT)),
    "log": (_("What the public log shows"), (Kind.ENTRY,)),
}
