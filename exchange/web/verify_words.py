"""What the verification page says: names of the questions, and what each answer means."""

from typing import Any

from django.utils.translation import gettext as _


def words() -> dict[str, Any]:
    """The texts of `static/js/verify-page.js` in the language of the page."""
    return {
        "status": {"PASS": _("Passed"), "FAIL": _("Failed"), "NOT_CHECKED": _("Not checked")},
        "accepted": _("The receipt is genuine and whole."),
        "refused": _("The receipt is not accepted."),
        "partly": _("Nothing failed, but not everything could be checked."),
        "policy_own": _("Checked in this browser against the trust policy you brought."),
        "policy_served": _("Checked in this browser against the trust policy that this site serves."),
        "unreadable": _("The file or the trust policy cannot be read. Choose the receipt file as you received it."),
        "development_chain": _(
            "The anchor is on a development chain that the exchange itself runs; it is no proof towards outsiders."
        ),
        "code": _("Code"),
        "facts": {
            "number": _("Receipt number"),
            "computation": _("Computation"),
            "entries": _("Log entries shown"),
            "charge": _("Charge"),
            "anchor": _("Anchor"),
            "block": _("block"),
            "key": _("Exchange key used"),
            "hash": _("SHA-256 of the file"),
        },
        "names": {
            "bundle": _("The bundle is whole and signed by the exchange"),
            "contract": _("The contract is signed by every party named in it"),
            "request": _("The request is signed by the buyer named in the contract"),
            "job": _("The job is signed by the exchange and its result goes to the buyer's key"),
            "consents": _("Every party of the job has consented"),
            "reports": _("The execution reports are signed by the parties' keys and agree"),
            "checkpoint": _("The checkpoint is signed by the log's key"),
            "inclusion": _("Every entry is included in the log under the checkpoint"),
            "commitments": _("Every entry's commitment opens to the payload shown"),
            "entry_kinds": _("Authorization, acceptance, release and charge are all logged"),
            "authorization": _("The logged authorization is for exactly this run"),
            "charge": _("The charge is unit price times units"),
            "anchor": _("The anchor says the same as the checkpoint"),
            "chain": _("The chain itself holds this root"),
        },
        "details": _details(),
    }


def _details() -> dict[str, str]:
    return {
        "NOT_WHOLE": _("The bundle is damaged or has been changed; nothing further was checked."),
        "NO_ANCHOR": _("This bundle carries no anchor. The log's own signature is the only evidence of its order."),
        "OTHER_SIZE": _("The anchor covers another size of the log, and the bundle does not join the two."),
        "CHAIN_NOT_ASKED": _(
            "A browser page asks no chain. Ask a chain node that you trust whether the contract holds this root."
        ),
        "ED25519_UNSUPPORTED": _(
            "This browser cannot check Ed25519 signatures. Use a current browser, or run hengshu verify."
        ),
        "NOT_CANONICAL": _("The bytes are not in canonical form: the file was changed or saved anew by an editor."),
        "JSON_INVALID": _("The file is not JSON in UTF-8."),
        "TYPE_UNKNOWN": _("A document is not of the type and version that belongs here."),
        "SIGNATURE_INVALID": _("A signature does not match the document."),
        "SIGNATURE_MISSING": _("A required party has not signed the document."),
        "EXCHANGE_UNKNOWN": _("The contract was made at an exchange or log that this trust policy does not name."),
        "DIGEST_MISMATCH": _("A document refers to another one than is in this bundle."),
        "RESULT_KEY_MISMATCH": _("The result is sealed to another key than the buyer's."),
        "INCLUSION_INVALID": _("A path does not lead to the root of the checkpoint."),
        "COMMITMENT_INVALID": _("A commitment does not open to the payload shown."),
        "CHARGE_INVALID": _("The amount is not the contract's price times units, or not the one that was logged."),
        "ANCHOR_INVALID": _("The anchor contradicts the checkpoint or names another chain or contract."),
    }
