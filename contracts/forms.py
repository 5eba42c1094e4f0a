"""Forms of the contract pages: what a person types, turned into the words of the actions."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from compute.protocol import operations
from contracts.terms import Choices
from exchange.members.models import Organization
from listings.models import Product

_FEN = Decimal(100)
_MOST_YUAN = Decimal("10000000000")


class ProposalForm(forms.Form):
    """A buyer's proposal over listed products."""

    products = forms.MultipleChoiceField(label=_("Products"))
    operation = forms.ChoiceField(
        label=_("Operation"),
        choices=[
            (operations.JOINT_STATISTICS, _("Joint statistics")),
            (operations.ALIGNED_STATISTICS, _("Aligned statistics")),
        ],
    )
    compute_party = forms.ChoiceField(label=_("Compute party"), required=False)
    purpose = forms.SlugField(label=_("Purpose code"), initial="credit_risk_statistics", max_length=64)
    scenario_zh = forms.CharField(label=_("Scenario in Chinese"), max_length=2000, widget=forms.Textarea)
    scenario_en = forms.CharField(
        label=_("Scenario in English"), max_length=4000, required=False, widget=forms.Textarea
    )
    legal_basis = forms.CharField(label=_("Legal basis"), max_length=400, initial="PIPL 13(1)(3)")
    unit_price_yuan = forms.DecimalField(
        label=_("Unit price in yuan, tax included"), min_value=0, max_value=_MOST_YUAN, decimal_places=2
    )
    quota_total = forms.IntegerField(label=_("Runs in total"), min_value=1, initial=20)
    quota_per_day = forms.IntegerField(label=_("Runs a day"), min_value=1, initial=20)
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
        listed = Product.objects.listed().with_version()
        self._products = [(one.ref, f"{one.name} · {one.number} · {one.provider.name}") for one in listed]
        self.fields["products"].choices = self._products  # type: ignore[attr-defined]
        members = Organization.objects.admitted().filter(is_exchange=False)
        self.fields["compute_party"].choices = [  # type: ignore[attr-defined]
            ("", _("None")),
            *((one.ref, one.name) for one in members),
        ]

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
            purpose=data["purpose"].replace("-", "_"),
            effective_from=now,
            effective_to=now + timedelta(days=data["days"]),
            unit_price_fen=int(data["unit_price_yuan"] * _FEN),
            quota_total=data["quota_total"],
            quota_per_day=data["quota_per_day"],
            min_cell=data["min_cell"],
            approval=data["approval"],
            scenario_zh=data["scenario_zh"].replace("\r\n", " ").replace("\n", " "),
            scenario_en=data["scenario_en"].replace("\r\n", " ").replace("\n", " "),
            legal_basis=data["legal_basis"],
        )


class DepositForm(forms.Form):
    """A line of the bank's statement."""

    amount_yuan = forms.DecimalField(
        label=_("Amount in yuan"), min_value=Decimal("0.01"), max_value=_MOST_YUAN, decimal_places=2
    )
    reference = forms.CharField(label=_("The bank's reference"), max_length=100)

    def amount_fen(self) -> int:
        """The amount in whole fen: at most two decimals, so exact."""
        return int(self.cleaned_data["amount_yuan"] * _FEN)
