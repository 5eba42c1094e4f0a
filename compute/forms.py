"""The request builder's form, and the reason a reviewer gives."""

import shlex
from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from compute.protocol import operations
from contracts.models import Contract
from exchange.kernel import identifiers
from exchange.kernel.errors import DomainError
from exchange.web import labels, problems
from listings.models import Column
from listings.words import ColumnType

STATISTICS = {operations.JOINT_STATISTICS, operations.ALIGNED_STATISTICS}
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
        chinese = (get_language() or "zh").startswith("zh")
        providers = [
            (party["organization"], party["name_zh"] if chinese else party["name_en"])
            for party in terms["parties"]
            if party["role"] == "provider"
        ]
        groups, values = _columns(terms, chinese=chinese)
        choices = {
            "operation": [(code, labels.label(code, "operation")) for code in terms["computation"]["operations"]],
            "group_by": groups,
            "values": values,
            "group_provider": [("", "—"), *providers],
            "value_provider": [("", "—"), *providers],
        }
        for name, options in choices.items():
            field = self.fields[name]
            if isinstance(field, forms.ChoiceField):
                field.choices = options
        if operations.ALIGNED_STATISTICS not in terms["computation"]["operations"]:
            del self.fields["group_provider"], self.fields["value_provider"]
        self.fields["min_group"].initial = terms["output"]["min_cell"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        try:
            cleaned["parameters"] = self._parameters(cleaned)
            operations.check_parameters(cleaned["operation"], cleaned["parameters"], terms=self.contract.terms)
        except DomainError as error:
            raise forms.ValidationError(problems.of_refusal(error).detail, code=error.code) from error
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


class ParametersForm(forms.Form):
    """A draft request of an operation whose parameters are written as JSON; checked here, signed by the buyer."""

    operation = forms.ChoiceField(label=_("Operation"))
    parameters = forms.JSONField(
        label=_("Parameters (JSON)"),
        widget=forms.Textarea(attrs={"rows": 14, "spellcheck": "false", "class": "font-monospace"}),
        help_text=_("The members are described in docs/reference/operations.md."),
    )

    def __init__(self, *args: Any, contract: Contract, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.contract = contract
        field = self.fields["operation"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [
                (code, labels.label(code, "operation")) for code in contract.terms["computation"]["operations"]
            ]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors:
            try:
                operations.check_parameters(cleaned["operation"], cleaned["parameters"], terms=self.contract.terms)
            except DomainError as error:
                raise forms.ValidationError(problems.of_refusal(error).detail, code=error.code) from error
        return cleaned

    def command(self) -> str:
        """The command that makes, signs and sends this request; the parameters lie in a file beside it."""
        words = ["hengshu", "compute", "submit", self.contract.number, "--operation", self.cleaned_data["operation"]]
        return shlex.join([*words, "--parameters", "parameters.json", "--watch"])


def request_form(contract: Contract) -> type[RequestForm] | type[ParametersForm]:
    """The form for the contract's operation: grouped statistics have fields of their own."""
    return RequestForm if set(contract.terms["computation"]["operations"]) <= STATISTICS else ParametersForm


def _columns(terms: Mapping[str, Any], *, chinese: bool) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What can be grouped by and what can be summed, as far as the products' registrations tell; each named once."""
    groups: dict[str, str] = {}
    values: dict[str, str] = {}
    for item in terms["objects"]:
        ref = identifiers.parse_urn(item["product"], kind="product")
        found = Column.objects.filter(version__product__ref=ref, version__version=item["version"])
        for column in found.filter(name__in=item["columns"]).order_by("position"):
            title = column.title_zh if chinese else column.title_en
            named = f"{column.name} · {title}" if title else column.name
            if column.is_block_dimension:
                groups.setdefault(column.name, named)
            elif column.type in (ColumnType.INTEGER, ColumnType.DECIMAL):
                values.setdefault(column.name, named)
    return list(groups.items()), list(values.items())


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
