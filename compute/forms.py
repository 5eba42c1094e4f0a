"""The request builder's form, and the reason a reviewer gives."""

import shlex
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from compute.protocol import operations
from contracts.models import Contract
from exchange.kernel.errors import DomainError
from exchange.web import labels

_LINES = forms.Textarea(attrs={"rows": 2, "spellcheck": "false"})


class ReviewForm(forms.Form):
    """Approve or reject, with the reason that the buyer reads."""

    reason = forms.CharField(label=_("Reason"), max_length=500, widget=forms.Textarea(attrs={"rows": 3}))


class RequestForm(forms.Form):
    """A draft request: what to compute under one contract. Nothing is sent; the buyer signs on its own machine."""

    operation = forms.ChoiceField(label=_("Operation"))
    group_by = forms.MultipleChoiceField(
        label=_("Group by"), required=False, help_text=_("At most three block columns; empty: one total.")
    )
    values = forms.MultipleChoiceField(label=_("Values"), help_text=_("One to eight numeric columns."))
    filters = forms.CharField(
        label=_("Filters"),
        required=False,
        widget=_LINES,
        help_text=_("One for each line: column=value,value"),
    )
    min_group = forms.IntegerField(label=_("Smallest group (persons)"), min_value=operations.MINIMUM_GROUP)
    group_provider = forms.ChoiceField(label=_("Provider of the groups"), required=False)
    value_provider = forms.ChoiceField(label=_("Provider of the values"), required=False)

    def __init__(self, *args: Any, contract: Contract, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.contract = contract
        terms = contract.terms
        columns = sorted({column for item in terms["objects"] for column in item["columns"]})
        providers = [
            (party["organization"], f"{party['name_zh']} {party['name_en']}")
            for party in terms["parties"]
            if party["role"] == "provider"
        ]
        choices = {
            "operation": [(code, labels.label(code, "operation")) for code in terms["computation"]["operations"]],
            "group_by": [(column, column) for column in columns],
            "values": [(column, column) for column in columns],
            "group_provider": [("", "—"), *providers],
            "value_provider": [("", "—"), *providers],
        }
        for name, values in choices.items():
            field = self.fields[name]
            if isinstance(field, forms.ChoiceField):
                field.choices = values
        self.fields["min_group"].initial = terms["output"]["min_cell"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        try:
            cleaned["parameters"] = self._parameters(cleaned)
            operations.check_parameters(cleaned["operation"], cleaned["parameters"], terms=self.contract.terms)
        except DomainError as error:
            raise forms.ValidationError(error.message, code=error.code) from error
        return cleaned

    def command(self) -> str:
        """The command that makes, signs and sends this request on the buyer's machine."""
        parameters = self.cleaned_data["parameters"]
        words = ["hengshu", "compute", "submit", self.contract.number, "--operation", self.cleaned_data["operation"]]
        if parameters["group_by"]:
            words += ["--group-by", ",".join(parameters["group_by"])]
        words += ["--values", ",".join(parameters["values"])]
        for item in parameters["filters"]:
            words += ["--filter", f"{item['column']}={','.join(item['in'])}"]
        for name in ("group_provider", "value_provider"):
            if name in parameters:
                words += [f"--{name.replace('_', '-')}", parameters[name]]
        words += ["--min-group", str(parameters["min_group"]), "--watch"]
        return shlex.join(words)

    def _parameters(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        parameters = {
            "group_by": cleaned["group_by"],
            "values": cleaned["values"],
            "filters": _filters(cleaned["filters"]),
            "min_group": cleaned["min_group"],
        }
        if cleaned["operation"] == operations.ALIGNED_STATISTICS:
            parameters |= {name: cleaned[name] for name in ("group_provider", "value_provider")}
        return parameters


def _filters(text: str) -> list[dict[str, Any]]:
    found = []
    for line in text.splitlines():
        column, equals, values = line.partition("=")
        if not line.strip():
            continue
        if not equals:
            raise forms.ValidationError(_("Write each filter as column=value,value on a line of its own."))
        found.append({"column": column.strip(), "in": [value.strip() for value in values.split(",")]})
    return found
