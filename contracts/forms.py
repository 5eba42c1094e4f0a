"""Forms of the contract pages: what a person types, turned into the words of the actions."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from compute.protocol import operations
from contracts.terms import Choices
from contracts.usage import Unit
from exchange.members.models import Organization
from exchange.web import labels
from listings.models import Product
from listings.words import LegalBasis

_FEN = Decimal(100)
_MOST_YUAN = Decimal("10000000000")


class ProposalForm(forms.Form):
    """A buyer's proposal over listed products."""

    products = forms.MultipleChoiceField(label=_("Products"), widget=forms.CheckboxSelectMultiple)
    operation = forms.ChoiceField(
        label=_("Operation"),
        choices=list(labels.OPERATIONS.items()),
    )
    compute_party = forms.ChoiceField(label=_("Compute party"), required=False)
    columns = forms.MultipleChoiceField(
        label=_("Columns"),
        required=False,
        help_text=_("Only what you need: the law asks for the minimum. Nothing chosen: every column that can be used."),
    )
    purpose = forms.ChoiceField(label=_("Purpose"), choices=list(labels.PURPOSES.items()))
    scenario_zh = forms.CharField(label=_("Scenario in Chinese"), max_length=2000, widget=forms.Textarea)
    scenario_en = forms.CharField(
        label=_("Scenario in English"), max_length=4000, required=False, widget=forms.Textarea
    )
    legal_basis = forms.ChoiceField(
        label=_("Legal basis"),
        initial=LegalBasis.CONTRACT.value,
        choices=[(one.value, labels.SPECIFICATION[one.value]) for one in LegalBasis if one.value],
    )
    unit_price_yuan = forms.DecimalField(
        label=_("Unit price in yuan, tax included"), min_value=0, max_value=_MOST_YUAN, decimal_places=2
    )
    unit = forms.ChoiceField(
        label=_("Counted"),
        required=False,
        choices=[("", _("As usual for the operation")), *((one.value, labels.TERMS[one.value]) for one in Unit)],
    )
    quota_total = forms.IntegerField(label=_("Units in total"), min_value=1, initial=20)
    quota_per_day = forms.IntegerField(label=_("Units a day"), min_value=1, initial=20)
    days = forms.IntegerField(label=_("Term in days"), min_value=1, max_value=365, initial=365)
    min_cell = forms.IntegerField(
        label=_("Smallest group of persons"), min_value=operations.MINIMUM_GROUP, initial=operations.MINIMUM_GROUP
    )
    approval = forms.ChoiceField(
        label=_("Providers' consent"),
        choices=[("standing", _("Standing consent")), ("per_run", _("Consent run by run"))],
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        listed = list(Product.objects.listed().with_version())
        self._products = [(one.ref, f"{one.name} · {one.number} · {one.provider.name}") for one in listed]
        self.fields["products"].choices = self._products  # type: ignore[attr-defined]
        self.fields["columns"].choices = [(one.name, _columns_of(one)) for one in listed]  # type: ignore[attr-defined]
        self._numbers = {one.ref: str(one.number) for one in listed}
        members = Organization.objects.admitted().filter(is_exchange=False)
        self.fields["compute_party"].choices = [  # type: ignore[attr-defined]
            ("", _("None")),
            *((one.ref, one.name) for one in members),
        ]

    def clean(self) -> dict[str, Any]:
        """Columns belong to the products chosen."""
        cleaned = super().clean() or {}
        chosen = {self._numbers[ref] for ref in cleaned.get("products", [])}
        if set(_by_product(cleaned.get("columns", []))) - chosen:
            self.add_error("columns", _("Choose columns of the chosen products only."))
        return cleaned

    @property
    def product_count(self) -> int:
        """How many products there are to choose from."""
        return len(self._products)

    def choices(self) -> Choices:
        """The buyer's choices, with the price in fen."""
        data = self.cleaned_data
        now = timezone.now().replace(microsecond=0)
        return Choices(
            operation=data["operation"],
            purpose=data["purpose"],
            effective_from=now,
            effective_to=now + timedelta(days=data["days"]),
            unit_price_fen=int(data["unit_price_yuan"] * _FEN),
            unit=data["unit"],
            quota_total=data["quota_total"],
            quota_per_day=data["quota_per_day"],
            min_cell=data["min_cell"],
            approval=data["approval"],
            scenario_zh=data["scenario_zh"].replace("\r\n", " ").replace("\n", " "),
            scenario_en=data["scenario_en"].replace("\r\n", " ").replace("\n", " "),
            legal_basis=data["legal_basis"],
            columns=_by_product(data["columns"]),
        )


def _columns_of(product: Product) -> list[tuple[str, str]]:
    """What a contract may use of a product, as choices."""
    chinese = (get_language() or "zh").startswith("zh")
    return [
        (f"{product.number}:{column.name}", f"{column.name} · {column.title_zh if chinese else column.title_en}")
        for column in product.version.columns.all()
    ]


def _by_product(chosen: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in chosen:
        number, _colon, name = one.partition(":")
        found.setdefault(number, []).append(name)
    return found


class DepositForm(forms.Form):
    """A line of the bank's statement."""

    amount_yuan = forms.DecimalField(
        label=_("Amount in yuan"), min_value=Decimal("0.01"), max_value=_MOST_YUAN, decimal_places=2
    )
    reference = forms.CharField(label=_("The bank's reference"), max_length=100)

    def amount_fen(self) -> int:
        """The amount in whole fen: at most two decimals, so exact."""
        return int(self.cleaned_data["amount_yuan"] * _FEN)
