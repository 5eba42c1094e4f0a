"""What visitors and members send from the front pages."""

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from exchange.kernel import identifiers
from exchange.members.states import MerchantKind
from exchange.web import labels
from ledger.proofs import canonical
from ledger.proofs.errors import VerificationError

MAX_CARD_BYTES = 16 * 1024


def _read_card(file: "UploadedFile[Any]") -> dict[str, Any]:
    if file.size is None or file.size > MAX_CARD_BYTES:
        raise forms.ValidationError(_("The file is too large to be a key card."))
    try:
        card = canonical.parse(file.read(), max_bytes=MAX_CARD_BYTES)
    except VerificationError:
        card = None
    if not isinstance(card, dict):
        raise forms.ValidationError(
            _("This is not a key card; send the file exactly as hengshu keys show --json printed it.")
        )
    return card


class CardForm(forms.Form):
    """A signed key card: public halves only."""

    card = forms.FileField(
        label=_("Key card"),
        help_text=_("The JSON file that hengshu keys show --json printed. It holds public keys only."),
    )

    def clean_card(self) -> dict[str, Any]:
        """The card as a document; whether it is genuine is judged by the registry."""
        return _read_card(self.cleaned_data["card"])


class ApplicationForm(forms.Form):
    """An organisation asks to be admitted."""

    name_zh = forms.CharField(label=_("Name in Chinese"), max_length=200)
    name_en = forms.CharField(label=_("Name in English"), max_length=200)
    uscc = forms.CharField(
        label=_("Unified social credit code"),
        min_length=18,
        max_length=18,
        help_text=_("18 characters; the last one is a check character."),
    )
    kinds = forms.MultipleChoiceField(
        label=_("What you want to do here"),
        choices=[(kind.value, labels.MERCHANT_KINDS[kind.value]) for kind in MerchantKind],
        widget=forms.CheckboxSelectMultiple,
    )
    legal_representative = forms.CharField(label=_("Legal representative"), max_length=100)
    business_scope = forms.CharField(
        label=_("Business scope"), max_length=1000, widget=forms.Textarea(attrs={"rows": 3})
    )
    address = forms.CharField(label=_("Registered address"), max_length=300)
    contact_name = forms.CharField(label=_("Contact person"), max_length=100)
    contact_email = forms.EmailField(label=_("Contact e-mail"))
    card = forms.FileField(
        label=_("Key card"),
        required=False,
        help_text=_("May follow later. Your private keys never leave your own machine."),
    )

    def clean_uscc(self) -> str:
        """The credit code in capitals, with the right check character (GB 32100-2015)."""
        code: str = self.cleaned_data["uscc"].strip().upper()
        if not identifiers.uscc_is_valid(code):
            raise forms.ValidationError(_("The check character does not match; compare it with your licence."))
        return code

    def clean_card(self) -> dict[str, Any] | None:
        """The card as a document, or None when it follows later."""
        file = self.cleaned_data.get("card")
        return None if file is None else _read_card(file)
