"""What visitors send to the ledger's pages."""

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from ledger.proofs import receipts

MAX_RECEIPT_BYTES = receipts.MAX_BYTES


class ReceiptForm(forms.Form):
    """A receipt bundle to be judged. It is read in memory and not kept."""

    receipt = forms.FileField(label=_("Receipt bundle"), max_length=200, allow_empty_file=False)

    def clean_receipt(self) -> bytes:
        """The file's bytes, if it is of a size that a receipt can have."""
        file: UploadedFile[Any] = self.cleaned_data["receipt"]
        if file.size is None or file.size > MAX_RECEIPT_BYTES:
            raise forms.ValidationError(_("The file is too large to be a receipt bundle."))
        data: bytes = file.read()
        return data


class LogFilterForm(forms.Form):
    """Which part of the log to show; anything unreadable shows the newest page."""

    subject = forms.CharField(required=False, max_length=128, label=_("Subject"))
    kind = forms.CharField(required=False, max_length=64, label=_("Kind"))
    before = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)
