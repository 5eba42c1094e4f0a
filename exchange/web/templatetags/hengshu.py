"""Tags and filters every template may use without loading them: money, hashes, states, times, words."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.forms import BaseForm, BoundField, SelectMultiple, Textarea
from django.templatetags.static import static
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import get_language

from compute.protocol import cards, codes, operations
from exchange.web import labels
from exchange.web import verify_words as words_of_verification

register = template.Library()


def _is_chinese() -> bool:
    return (get_language() or "zh-hans").startswith("zh")


@register.filter
def money_fen(value: Any) -> str:
    """Integer fen as yuan: 50000 becomes ¥500.00; nothing becomes a dash."""
    if value is None or value == "":
        return "—"
    fen = int(value)
    sign = "−" if fen < 0 else ""
    return f"{sign}¥{abs(fen) // 100:,}.{abs(fen) % 100:02d}"


@register.filter
def basis_points(value: Any) -> str:
    """Basis points as a percentage: 4850 becomes 48.5 %."""
    if value is None or value == "":
        return "—"
    whole, rest = divmod(int(value), 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") + " %"


@register.filter
def short_hash(value: Any, length: int = 8) -> str:
    """A long hash, key or reference, shortened in the middle for reading."""
    text = str(value or "")
    return text if len(text) <= 2 * length + 3 else f"{text[:length]}…{text[-6:]}"


@register.filter
def urn_ref(value: Any) -> str:
    """The reference inside a URN: what stands after its last colon."""
    return str(value or "").rpartition(":")[2]


@register.filter
def urn_kind(value: Any) -> str:
    """The kind inside a URN such as urn:hengshu:contract:01J…: contract."""
    parts = str(value or "").split(":")
    return parts[2] if len(parts) == 4 else ""


@register.filter
def label(value: Any, table: str = "") -> str:
    """The words for a state, kind or code, in the language of the page."""
    return "" if value is None or value == "" else labels.label(value, table)


@register.filter
def localized(value: Any, name: str = "") -> str:
    """The Chinese or English one of two texts: of `name_zh`/`name_en` on an object or in a mapping, or of `zh`/`en`."""
    if value is None or value == "":
        return ""
    order = ("zh", "en") if _is_chinese() else ("en", "zh")
    for language in order:
        member = f"{name}_{language}" if name else language
        found = value.get(member) if isinstance(value, Mapping) else getattr(value, member, None)
        if found:
            return str(found)
    return ""


@register.inclusion_tag("components/security_card.html")
def security_card(code: Any) -> dict[str, Any]:
    """The security card of an engine, or of an operation's engine: who may be curious, what each role learns, cost."""
    operation = operations.OPERATIONS.get(str(code))
    engine = operation.engine if operation else str(code)
    return {"engine": engine, "card": cards.card(engine)}


@register.filter
def party_name(terms: Any, organization: Any) -> str:
    """The name of a party of a contract's terms by its URN; the exchange itself goes by the word `exchange`."""
    if organization == "exchange":
        return localized(terms["exchange"], "name")
    found = next((one for one in terms["parties"] if one["organization"] == organization), None)
    return urn_ref(organization) if found is None else localized(found, "name")


@register.filter
def failure(code: Any) -> str:
    """The sentence of a run's failure code: what is so and what to do next. Unknown codes are shown as they are."""
    try:
        return codes.get(str(code)).sentence("zh" if _is_chinese() else "en")
    except (KeyError, ValueError):
        return str(code or "")


@register.filter
def moment(value: Any) -> datetime | None:
    """A time in local time, from a datetime or from a document's text; None for anything else."""
    found = value if isinstance(value, datetime) else parse_datetime(str(value or ""))
    return localtime(found) if found is not None and found.tzinfo is not None else found


@register.filter
def hexadecimal(value: Any) -> str:
    """Bytes as lower-case hex."""
    return bytes(value or b"").hex()


@register.filter
def get(mapping: Any, key: Any) -> Any:
    """A member of a mapping by a name that is itself a variable."""
    return mapping.get(key) if isinstance(mapping, Mapping) else None


@register.filter
def words(text: str) -> list[str]:
    """The words of a text, for a loop over field names."""
    return text.split()


@register.filter
def field_named(form: BaseForm, name: str) -> BoundField:
    """A form's field by a name that is itself a variable."""
    return form[name]


@register.filter
def kind_of_control(field: BoundField) -> str:
    """Which component draws a form field: select, check, checks, file, hidden or input."""
    name = type(field.field.widget).__name__
    if getattr(field.field.widget, "input_type", "") == "hidden":
        return "hidden"
    return {
        "CheckboxInput": "check",
        "CheckboxSelectMultiple": "checks",
        "RadioSelect": "checks",
        "Select": "select",
        "NullBooleanSelect": "select",
        "SelectMultiple": "select",
        "ClearableFileInput": "file",
        "FileInput": "file",
    }.get(name, "input")


@register.filter
def control(field: BoundField) -> SafeString:
    """A form field's own control with the classes of the style sheet; an invalid one says so."""
    classes = {"select": "form-select", "check": "form-check-input", "checks": "form-check-input"}
    css = classes.get(kind_of_control(field), "form-control")
    widget = field.field.widget
    own = str(widget.attrs.get("class", ""))
    attrs: dict[str, Any] = {"class": f"{own} {css}{' is-invalid' if field.errors else ''}".strip()}
    if isinstance(widget, Textarea) and widget.attrs.get("rows") == "10":  # Django's own guess, too tall for our texts
        attrs["rows"] = 4
    if isinstance(widget, SelectMultiple):
        lines = sum(1 + len(inner) if isinstance(inner, list | tuple) else 1 for _value, inner in widget.choices)
        attrs["size"] = max(3, min(8, lines))
    return field.as_widget(attrs=attrs)


@register.filter
def control_named(field: BoundField, name: str) -> SafeString:
    """A control without a visible label; its name is for screen readers."""
    css = "form-select" if kind_of_control(field) == "select" else "form-control"
    return field.as_widget(attrs={"class": css, "aria-label": str(name)})


@register.simple_tag
def state_badge(state: Any, table: str = "state") -> SafeString | str:
    """A state as a badge whose colour says whether it is good, busy, waiting or bad; the words say it too."""
    if state is None or state == "":
        return ""
    return format_html(
        '<span class="badge hs-badge hs-{}" data-state="{}">{}</span>',
        labels.tone(state),
        str(state),
        labels.label(state, table),
    )


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """A drawing of our own icon sheet; decoration only, so hidden from screen readers."""
    return format_html(
        '<svg class="hs-icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        css,
        static("img/icons.svg"),
        name,
    )


@register.inclusion_tag("components/hash.html")
def hash_value(value: Any, *, full: bool = False, name: str = "") -> dict[str, Any]:
    """A hash, key or reference: shortened, the whole on demand, and a button that copies it."""
    text = str(value or "")
    return {"value": text, "shown": text if full else short_hash(text), "name": name}


@register.inclusion_tag("components/progress.html")
def progress(percent: Any, *, name: str, state: str = "") -> dict[str, Any]:
    """A bar of 0 to 100 with its name for screen readers."""
    value = max(0, min(100, int(percent or 0)))
    return {"percent": value, "name": name, "tone": labels.tone(state)}


@register.inclusion_tag("components/gauge.html")
def gauge(used: int, limit: int, *, held: int = 0, name: str = "", chart_id: str = "gauge") -> dict[str, Any]:
    """A meter as a gauge: committed and reserved out of the limit; the numbers stand beside the drawing."""
    return {
        "used": used,
        "held": held,
        "limit": limit,
        "left": max(0, limit - used - held),
        "name": name,
        "chart_id": chart_id,
        "options": {"kind": "gauge", "used": used, "held": held, "limit": limit, "name": name},
    }


@register.inclusion_tag("components/steps.html")
def stepper(steps: Any, current: Any, *, table: str = "state", name: str = "") -> dict[str, Any]:
    """The way of a thing through its states: those behind it, where it is, those ahead."""
    codes_in_order = steps.split(",") if isinstance(steps, str) else [str(step) for step in steps]
    place = codes_in_order.index(str(current)) if str(current) in codes_in_order else -1
    return {
        "name": name,
        "steps": [
            {
                "code": code,
                "label": labels.label(code, table),
                "status": "done" if number < place else "current" if number == place else "ahead",
            }
            for number, code in enumerate(codes_in_order)
        ],
        "aside": labels.label(current, table) if place < 0 else "",
        "aside_state": str(current),
    }


@register.simple_tag
def verify_words() -> dict[str, Any]:
    """The texts of the verification page, for its script."""
    return words_of_verification.words()
