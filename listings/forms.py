"""The provider's form: it asks for the required fields; the API takes every field there is."""

from datetime import date
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from exchange.web import labels
from listings import words
from listings.actions.products import columns_of
from listings.models import Product

_COLUMN_HELP = _(
    "One column per line: name | Chinese title | English title | type | unit | personal information | grade | block. "
    "Types: category, integer, decimal, text. Personal information: none, pi, sensitive, minor. Block: yes or no."
)
_PARTS = 8


def _choices(kind: Any, names: Any) -> list[tuple[str, str | Promise]]:
    return [(word.value, names.get(word.value, word.value)) for word in kind if word.value]


_SOURCES = {
    "collected": _("Collected by ourselves"),
    "scraped_public": _("Collected from public sources"),
    "by_agreement": _("By agreement"),
    "derived": _("Derived"),
}
_REGIONS = {
    "international": _("International"),
    "national": _("National"),
    "province": _("Province"),
    "city": _("City"),
    "county": _("County"),
    "below_county": _("Below county"),
}
_FREQUENCIES = {
    "daily": _("Daily"),
    "weekly": _("Weekly"),
    "monthly": _("Monthly"),
    "yearly": _("Yearly"),
    "on_demand": _("On demand"),
    "real_time": _("Real time"),
    "other": _("Other"),
}
_BASES = {
    "consent": _("Consent"),
    "contract": _("Contract with the person"),
    "statutory_duty": _("Statutory duty"),
    "emergency": _("Emergency"),
    "news": _("News reporting"),
    "disclosed": _("Already lawfully disclosed"),
    "other_law": _("Another law"),
}


class ProductForm(forms.Form):
    """What the first form asks for. `specification()` and `columns()` give the actions their arguments."""

    name_zh = forms.CharField(label=_("Name (Chinese)"), max_length=40)
    name_en = forms.CharField(label=_("Name (English)"), max_length=120)
    abstract_zh = forms.CharField(label=_("Abstract (Chinese)"), max_length=400, widget=forms.Textarea)
    abstract_en = forms.CharField(label=_("Abstract (English)"), max_length=1200, widget=forms.Textarea, required=False)
    dataset = forms.RegexField(
        r"^[a-z][a-z0-9_]{0,62}$", label=_("Dataset"), help_text=_("Its name on your own data node.")
    )
    dataset_commitment = forms.RegexField(
        r"^[0-9a-f]{64}$",
        label=_("Dataset commitment"),
        required=False,
        help_text=_("What `hengshu-node dataset add` printed; the data itself stays with you."),
    )
    columns_text = forms.CharField(label=_("Columns"), widget=forms.Textarea, help_text=_COLUMN_HELP)
    industry = forms.CharField(label=_("Industry (GB/T 4754)"), max_length=40)
    classification = forms.CharField(label=_("Class"), max_length=100)
    source_types = forms.MultipleChoiceField(
        label=_("Source"), choices=_choices(words.SourceType, _SOURCES), widget=forms.CheckboxSelectMultiple
    )
    source_statement = forms.CharField(label=_("Source statement"), max_length=4000, widget=forms.Textarea)
    region_scope = forms.ChoiceField(label=_("Region level"), choices=_choices(words.RegionScope, _REGIONS))
    region = forms.CharField(label=_("Region"), max_length=100, required=False)
    time_from = forms.DateField(label=_("First day"), widget=forms.DateInput(attrs={"type": "date"}))
    time_to = forms.DateField(label=_("Last day"), widget=forms.DateInput(attrs={"type": "date"}))
    update_freq = forms.ChoiceField(label=_("Updated"), choices=_choices(words.UpdateFrequency, _FREQUENCIES))
    volume_rows = forms.IntegerField(label=_("Rows, about"), min_value=1)
    grade_general = forms.TypedChoiceField(
        label=_("Grade you propose"), coerce=int, choices=[(grade, labels.GRADES[str(grade)]) for grade in range(1, 5)]
    )
    persons_approx = forms.IntegerField(label=_("Persons, about"), min_value=0, initial=0)
    legal_basis = forms.ChoiceField(
        label=_("Legal basis"), choices=[("", "—"), *_choices(words.LegalBasis, _BASES)], required=False
    )
    deident_method = forms.CharField(label=_("De-identification"), max_length=400, required=False)
    scenario_code = forms.ChoiceField(label=_("Purpose"), choices=list(labels.PURPOSES.items()))
    scenario_zh = forms.CharField(label=_("Scenario (Chinese)"), max_length=400, widget=forms.Textarea)
    scenario_en = forms.CharField(label=_("Scenario (English)"), max_length=400, widget=forms.Textarea, required=False)
    prohibited_uses = forms.MultipleChoiceField(
        label=_("Prohibited uses"),
        choices=[pair for pair in labels.USES.items() if pair[0] != "none"],
        widget=forms.CheckboxSelectMultiple,
    )
    delivery_modes = forms.MultipleChoiceField(
        label=_("Delivery"),
        choices=_choices(words.DeliveryMode, labels.TECHNIQUES),
        widget=forms.CheckboxSelectMultiple,
    )
    operations = forms.MultipleChoiceField(
        label=_("Operations"), choices=list(labels.OPERATIONS.items()), widget=forms.CheckboxSelectMultiple
    )
    min_cell = forms.IntegerField(label=_("Smallest cell"), min_value=10, initial=10)
    unit_price_yuan = forms.DecimalField(
        label=_("Price per released call, yuan"), min_value=0, max_digits=12, decimal_places=2
    )
    rights_term = forms.DateField(label=_("Rights last until"), widget=forms.DateInput(attrs={"type": "date"}))

    def clean_columns_text(self) -> list[dict[str, Any]]:
        """Read the table of columns, line by line."""
        return [self._column(number, line) for number, line in enumerate(self._lines(), start=1)]

    def _lines(self) -> list[str]:
        return [line for line in self.cleaned_data["columns_text"].splitlines() if line.strip()]

    def _column(self, number: int, line: str) -> dict[str, Any]:
        parts = [part.strip() for part in line.split("|")]
        if len(parts) != _PARTS or not parts[6].isdecimal():
            raise forms.ValidationError(
                _("Line %(line)s: write eight parts separated by |, the grade as a number."), params={"line": number}
            )
        name, title_zh, title_en, kind, unit, personal, grade, block = parts
        return {
            "name": name,
            "title_zh": title_zh,
            "title_en": title_en,
            "type": kind,
            "unit": unit,
            "pi": personal,
            "grade": int(grade),
            "is_block_dimension": block.lower() in {"yes", "y", "是"},
        }

    def specification(self, *, holder: str, uscc: str) -> dict[str, Any]:
        """The specification's fields. `holder` and `uscc` are the provider's."""
        data = self.cleaned_data
        same = (
            "abstract_zh", "abstract_en", "industry", "classification", "source_types", "source_statement",
            "region_scope", "region", "time_from", "time_to", "update_freq", "volume_rows", "grade_general",
            "persons_approx", "legal_basis", "deident_method", "prohibited_uses", "delivery_modes",
        )  # fmt: skip
        term: date = data["rights_term"]
        right = {"holder": holder, "uscc": uscc, "rights": ["hold", "use", "operate"], "term": term.isoformat()}
        price = {"unit": "per_call", "unit_price_fen": int(data["unit_price_yuan"] * 100), "currency": "CNY"}
        scenario = {"code": data["scenario_code"], "zh": data["scenario_zh"], "en": data["scenario_en"]}
        return {name: data[name] for name in same} | {
            "scenarios": [scenario],
            "algorithms": [{"operation": one} for one in data["operations"]],
            "output_policy": {"schema": "grouped_statistics/v1", "min_cell": data["min_cell"]},
            "pricing": [price],
            "rights": [right],
        }

    def columns(self) -> list[dict[str, Any]]:
        """The columns' fields."""
        found: list[dict[str, Any]] = self.cleaned_data["columns_text"]
        return found

    @classmethod
    def values_of(cls, product: Product) -> dict[str, Any]:
        """A product as the form shows it."""
        version = product.version
        specification = version.specification
        scenario = (specification.scenarios or [{}])[0]
        price = (specification.pricing or [{}])[0]
        values = {name: getattr(specification, name) for name in cls.base_fields if hasattr(specification, name)}
        lines = [
            " | ".join(
                str(part)
                for part in (
                    column["name"],
                    column["title_zh"],
                    column["title_en"],
                    column["type"],
                    column["unit"],
                    column["pi"],
                    column["grade"],
                    "yes" if column["is_block_dimension"] else "no",
                )
            )
            for column in columns_of(version)
        ]
        return values | {
            "name_zh": product.name_zh,
            "name_en": product.name_en,
            "dataset": version.dataset,
            "dataset_commitment": version.dataset_commitment,
            "columns_text": "\n".join(lines),
            "scenario_code": scenario.get("code"),
            "scenario_zh": scenario.get("zh"),
            "scenario_en": scenario.get("en"),
            "operations": [one.get("operation") for one in specification.algorithms],
            "min_cell": specification.output_policy.get("min_cell", 10),
            "unit_price_yuan": f"{price.get('unit_price_fen', 0) / 100:.2f}",
            "rights_term": (specification.rights or [{}])[0].get("term"),
        }
