"""What staff send from the desk."""

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from exchange.web import labels

FIELD_ROWS = 5  # how many fields one return of a product names on this page; the API takes any number
REVIEW_FIELDS: tuple[tuple[str, str | Promise], ...] = (
    ("", _("Choose a field")),
    *labels.FIELDS.items(),
)


class DecisionForm(forms.Form):
    """A decision with its reason."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("The other side reads it, and it goes into the ledger."),
    )


class ReturnForm(DecisionForm):
    """What must be corrected, field by field."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for row in range(1, FIELD_ROWS + 1):
            self.fields[f"field_{row}"] = forms.ChoiceField(
                label=_("Field %(row)s") % {"row": row}, choices=REVIEW_FIELDS, required=False
            )
            self.fields[f"text_{row}"] = forms.CharField(
                label=_("What to correct (%(row)s)") % {"row": row}, required=False, max_length=500
            )

    def rows(self) -> list[tuple[forms.BoundField, forms.BoundField]]:
        """Pairs of field and text, for the page."""
        return [(self[f"field_{row}"], self[f"text_{row}"]) for row in range(1, FIELD_ROWS + 1)]

    def by_field(self) -> dict[str, str]:
        """The texts by field name; rows left empty are left out."""
        pairs = [
            (self.cleaned_data.get(f"field_{row}", ""), self.cleaned_data.get(f"text_{row}", ""))
            for row in range(1, FIELD_ROWS + 1)
        ]
        return {name: text for name, text in pairs if name and text}


class DepositForm(forms.Form):
    """One line of the bank's statement."""

    amount = forms.DecimalField(label=_("Amount in yuan"), min_value=Decimal("0.01"), max_digits=15, decimal_places=2)
    reference = forms.CharField(
        label=_("Bank reference"), max_length=100, help_text=_("As on the bank's statement; each line is booked once.")
    )

    def amount_fen(self) -> int:
        """The amount in fen."""
        return int(self.cleaned_data["amount"] * 100)
