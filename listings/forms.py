"""The provider's form: it asks for the required fields; the API takes every field there is."""

import re
from collections.abc import Mapping
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
    "Types: category, integer, decimal(2), text. Personal information: none, pi, sensitive, minor. Block: yes or no. "
    "A ninth part may give a category's values (a, b, c) or the bounds of a number (0..600)."
)
_PARTS = 8
_DECIMAL = re.compile(r"decimal\((\d{1,2})\)")
# Where the form asks for what the specification calls otherwise.
_FIELD_OF = {
    "columns": "columns_text",
    "algorithms": "operations",
    "scenarios": "scenario_zh",
    "pricing": "unit_price_yuan",
    "rights": "rights_term",
    "output_policy": "min_cell",
    "pia_report": "pia_date",
}


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
    columns_text = forms.CharField(
        label=_("Columns"), widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}), help_text=_COLUMN_HELP
    )
    industry = forms.CharField(label=_("Industry (GB/T 4754)"), max_length=40)
    classification = forms.CharField(label=_("Class"), max_length=100)
    source_types = forms.MultipleChoiceField(
        label=_("Source"), choices=_choices(words.SourceType, _SOURCES), widget=forms.CheckboxSelectMultiple
    )
    source_statement = forms.CharField(label=_("Source statement"), max_length=4000, widget=forms.Textarea)
    region_scope = forms.ChoiceField(label=_("Region level"), choices=_choices(words.RegionScope, _REGIONS))
    region = forms.CharField(label=_("Region"), max_length=100, required=False)
    time_from = forms.DateField(label=_("First day"), widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}))
    time_to = forms.DateField(label=_("Last day"), widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}))
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
    pia_date = forms.DateField(
        label=_("Impact assessment, date"),
        required=False,
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        help_text=_("Needed where a column holds sensitive personal information (PIPL 55)."),
    )  # fmt: skip
    pia_digest = forms.RegexField(
        r"^[0-9a-f]{64}$",
        label=_("Impact assessment, SHA-256 of the report"),
        required=False,
        help_text=_("The report itself stays with you; `sha256sum FILE` prints this."),
    )
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
    rights_term = forms.DateField(
        label=_("Rights last until"), widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
    )

    def clean_columns_text(self) -> list[dict[str, Any]]:
        """Read the table of columns, line by line."""
        return [self._column(number, line) for number, line in enumerate(self._lines(), start=1)]

    def _lines(self) -> list[str]:
        return [line for line in self.cleaned_data["columns_text"].splitlines() if line.strip()]

    def _column(self, number: int, line: str) -> dict[str, Any]:
        parts = [part.strip() for part in line.split("|")]
        if len(parts) not in {_PARTS, _PARTS + 1} or not parts[6].isdecimal():
            raise forms.ValidationError(
                _("Line %(line)s: write eight parts separated by |, the grade as a number."), params={"line": number}
            )
        name, title_zh, title_en, kind, unit, personal, grade, block = parts[:_PARTS]
        decimal = _DECIMAL.fullmatch(kind)
        return {
            "name": name,
            "title_zh": title_zh,
            "title_en": title_en,
            "type": "decimal" if decimal else kind,
            "scale": int(decimal[1]) if decimal else 0,
            "unit": unit,
            "pi": personal,
            "grade": int(grade),
            "is_block_dimension": block.lower() in {"yes", "y", "是"},
        } | _range(kind, parts[_PARTS] if len(parts) > _PARTS else "")

    def clean(self) -> dict[str, Any]:
        """Date and digest of the impact assessment come together or not at all."""
        cleaned = super().clean() or {}
        if bool(cleaned.get("pia_date")) != bool(cleaned.get("pia_digest")) and not self.errors:
            self.add_error("pia_date", _("Give both the date and the digest of the impact assessment, or neither."))
        return cleaned

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
        assessed = data["pia_date"]
        report = {"date": assessed.isoformat(), "digest": data["pia_digest"]} if assessed else {}
        return {name: data[name] for name in same} | {
            "pia_report": report,
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
        lines = [_line(column) for column in columns_of(version)]
        return values | {
            "name_zh": product.name_zh,
            "name_en": product.name_en,
            "dataset": version.dataset,
            "dataset_commitment": version.dataset_commitment,
            "columns_text": "\n".join(lines),
            "pia_date": specification.pia_report.get("date"),
            "pia_digest": specification.pia_report.get("digest"),
            "scenario_code": scenario.get("code"),
            "scenario_zh": scenario.get("zh"),
            "scenario_en": scenario.get("en"),
            "operations": [one.get("operation", one.get("id")) for one in specification.algorithms],
            "min_cell": specification.output_policy.get("min_cell", 10),
            "unit_price_yuan": f"{price.get('unit_price_fen', 0) / 100:.2f}",
            "rights_term": (specification.rights or [{}])[0].get("term"),
        }

    @classmethod
    def by_control(cls, remarks: Mapping[str, str]) -> dict[str, str]:
        """A reviewer's remarks by the control that answers them; what the form does not ask is left out."""
        found = ((_FIELD_OF.get(name.partition("[")[0], name), text) for name, text in remarks.items())
        return {name: text for name, text in found if name in cls.base_fields}


def _range(kind: str, text: str) -> dict[str, Any]:
    """The ninth part of a line: a category's values, or the bounds of a number."""
    if kind == "category":
        return {"dictionary": [value.strip() for value in re.split("[,，]", text) if value.strip()]}
    low, dots, high = text.partition("..")
    return {"lower_bound": low.strip(), "upper_bound": high.strip()} if dots else {}


def _line(column: Mapping[str, Any]) -> str:
    """A column as the form writes it."""
    kind = f"decimal({column['scale']})" if column["type"] == "decimal" and column["scale"] else column["type"]
    parts = [column["name"], column["title_zh"], column["title_en"], kind, column["unit"], column["pi"]]
    parts += [str(column["grade"]), "yes" if column["is_block_dimension"] else "no"]
    if column["dictionary"]:
        parts.append(", ".join(column["dictionary"]))
    elif column["lower_bound"]:
        parts.append(f"{column['lower_bound']}..{column['upper_bound']}")
    return " | ".join(parts)
