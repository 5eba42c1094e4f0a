"""What the data subject's page says while it works in the browser."""

from typing import Any

from django.utils.translation import gettext as _

from exchange.web import labels
from listings.words import LegalBasis


def words() -> dict[str, Any]:
    """The texts of `static/js/subject-page.js` in the language of the page; it fills in {names} itself."""
    return {
        "loading": _("Fetching the list of notices …"),
        "tried": _("{done} of {total} notices tried"),
        "found": _("{runs} runs used your data since {since}"),
        "nothing": _("None of the {notices} notices since {since} is for this card."),
        "untrusted": _(
            "{batches} batches hold a notice for this card that is damaged or not signed by its buyer. Complain to the"
            " exchange."
        ),
        "stopped": _("Stopped. Choose the card again to start anew."),
        "unreachable": _("The notices could not be fetched. Check the network and choose the card again."),
        "unreadable": _("This file is no notice card. Choose the file that you saved when you made the card."),
        "unsupported": _(
            "This browser has no X25519 and cannot open notices. Take a current Chrome, Edge, Firefox or Safari, or the"
            " command line."
        ),
        "made": _("The card was saved to your downloads. Its public key stands below."),
        "trace": _("Public record of this run"),
        "keep": _("Save the signed notice"),
        "purposes": {code: str(word) for code, word in labels.PURPOSES.items()},
        "bases": {one.value: str(labels.SPECIFICATION[one.value]) for one in LegalBasis if one.value},
        "facts": {
            "operation": _("Operation"),
            "purpose": _("Purpose"),
            "basis": _("Legal basis"),
            "providers": _("Whose data about you"),
            "own": _("Data that the user itself brought"),
            "model": _("Model version"),
            "contract": _("Contract"),
            "computation": _("Computation"),
        },
    }
