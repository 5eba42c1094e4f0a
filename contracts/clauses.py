"""Terms as people read them: sections of label, value and, where it helps, an explanation, in zh and en.

Pure. `render(terms, language)` covers every clause group of the document, so a reader who signs has seen all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts import clause_words as words
from contracts.money import yuan

Terms = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a section."""

    label: str
    value: str
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One clause group."""

    code: str
    title: str
    rows: tuple[Row, ...]


class _Reader:
    """Writes rows in one language."""

    def __init__(self, terms: Terms, language: str) -> None:
        self.terms = terms
        self.zh = language.startswith("zh")
        self.names = {one["organization"]: self.pick(one["name_zh"], one["name_en"]) for one in terms["parties"]}
        self.names["exchange"] = self.pick(terms["exchange"]["name_zh"], terms["exchange"]["name_en"])

    def pick(self, zh: str, en: str) -> str:
        return zh if self.zh else en

    def word(self, code: Any) -> str:
        """A code of the terms as people say it; an unknown one as it stands."""
        if isinstance(code, bool):
            return self.pick("是", "yes") if code else self.pick("否", "no")
        pair = words.VALUES.get(str(code))
        return str(code) if pair is None else self.pick(*pair)

    def words(self, codes: Sequence[Any]) -> str:
        return self.pick("、", ", ").join(self.word(code) for code in codes) or self.pick("无", "none")

    def row(self, path: str, value: str | None = None) -> Row:
        """The row of a member; its value as it stands in the terms unless another wording is given."""
        label, explanation = words.ROWS[path]
        if value is None:
            found: Any = self.terms
            for name in path.split("."):
                found = found[name]
            value = self.words(found) if isinstance(found, list) else self.word(found)
        return Row(self.pick(*label), value or "—", self.pick(*explanation) if explanation else "")

    def rows(self, group: str, *names: str) -> list[Row]:
        return [self.row(f"{group}.{name}") for name in names]

    def days(self, path: str, count: int) -> Row:
        return self.row(path, self.pick(f"{count} 天", f"{count} days"))

    def percent(self, basis_points: int) -> str:
        return f"{basis_points // 100}.{basis_points % 100:02d} %"

    def money(self, amount_fen: int) -> str:
        return self.pick(f"{yuan(amount_fen)} 元", f"CNY {yuan(amount_fen)}")


def render(terms: Terms, language: str) -> list[Section]:
    """Every clause group of the terms as readable rows.

    Args:
        language: `zh…` for Chinese, anything else for English.
    """
    reader = _Reader(terms, language)
    return [Section(code, reader.pick(*title), tuple(write(reader))) for code, (title, write) in _SECTIONS.items()]


def _identity(reader: _Reader) -> list[Row]:
    parties = [
        Row(reader.word(one["role"]), reader.names[one["organization"]], f"USCC {one['uscc']} · {one['document_key']}")
        for one in reader.terms["parties"]
    ]
    exchange = reader.terms["exchange"]
    return [
        reader.row("number"),
        reader.row("template_kind"),
        *parties,
        Row(reader.pick("交易所（见证）", "Exchange (witness)"), reader.names["exchange"], exchange["log_origin"]),
    ]


def _objects(reader: _Reader) -> list[Row]:
    rows = []
    for one in reader.terms["objects"]:
        version = reader.pick(f"第 {one['version']} 版", f"version {one['version']}")
        grade = reader.pick(f"{one['grade']} 级", f"grade {one['grade']}")
        value = f"{one['number']} · {version} · {one['certificate']} · {grade}"
        columns = reader.pick("可用字段：", "Columns: ") + ", ".join(one["columns"])
        rows.append(Row(reader.names[one["provider"]], value, columns))
    return rows


def _purpose(reader: _Reader) -> list[Row]:
    purpose = reader.terms["purpose"]
    scenario = reader.row("purpose.scenario", reader.pick(purpose["scenario_zh"], purpose["scenario_en"]))
    return [
        reader.row("purpose.code"),
        scenario,
        *reader.rows("purpose", "legal_basis", "consent_required", "prohibited_uses"),
    ]


def _computation(reader: _Reader) -> list[Row]:
    engines = reader.terms["computation"]["engines"]
    named = reader.row("computation.engines", ", ".join(engines[code] for code in sorted(engines)))
    rows = reader.rows("computation", "operations", "techniques")
    return [*rows, named, *reader.rows("computation", "max_concurrency", "approval")]


def _output(reader: _Reader) -> list[Row]:
    output = reader.terms["output"]
    return [
        reader.row("output.receiver", reader.names[output["receiver"]]),
        *reader.rows("output", "schema", "min_cell", "max_bytes", "review"),
        reader.days("output.retention_days", output["retention_days"]),
        reader.row("output.onward_use"),
    ]


def _delivery(reader: _Reader) -> list[Row]:
    days = reader.days("delivery.inspection_days", reader.terms["delivery"]["inspection_days"])
    return [*reader.rows("delivery", "mode", "acceptance"), days]


def _metering(reader: _Reader) -> list[Row]:
    return reader.rows("metering", "unit", "counting_rule", "rounding", "free_failures", "idempotency")


def _quota(reader: _Reader) -> list[Row]:
    return reader.rows("quota", "total", "per_day", "rate_per_minute")


def _term(reader: _Reader) -> list[Row]:
    return reader.rows("term", "effective_from", "effective_to")


def _price(reader: _Reader) -> list[Row]:
    price = reader.terms["price"]
    return [
        reader.row("price.unit_price_fen", reader.money(price["unit_price_fen"])),
        reader.row("price.tax_rate_basis_points", reader.percent(price["tax_rate_basis_points"])),
        reader.row("price.tax_included"),
    ]


def _money(reader: _Reader) -> list[Row]:
    money = reader.terms["money"]
    shares = [
        Row(reader.names[line["account"]], reader.percent(line["basis_points"]), reader.pick("分成", "Share"))
        for line in money["split"]
    ]
    return [
        reader.row("money.escrow_minimum_fen", reader.money(money["escrow_minimum_fen"])),
        *shares,
        reader.row("money.remainder_to", reader.names[money["remainder_to"]]),
    ]


def _security(reader: _Reader) -> list[Row]:
    security = reader.terms["security"]
    hours = security["incident_notice_hours"]
    return [
        *reader.rows("security", "adversary_model", "min_grade_controls", "key_custody"),
        reader.days("security.log_retention_days", security["log_retention_days"]),
        reader.row("security.incident_notice_hours", reader.pick(f"{hours} 小时", f"{hours} hours")),
    ]


def _evidence(reader: _Reader) -> list[Row]:
    return reader.rows("evidence", "chain", "authorization")


def _data_end(reader: _Reader) -> list[Row]:
    days = reader.days("data_end.deadline_days", reader.terms["data_end"]["deadline_days"])
    return [reader.row("data_end.method"), days, reader.row("data_end.certificate")]


def _audit(reader: _Reader) -> list[Row]:
    return reader.rows("audit", "by", "sealed_evidence")


def _liability(reader: _Reader) -> list[Row]:
    times = reader.terms["liability"]["cap_multiple"]
    return [reader.row("liability.cap_multiple", reader.pick(f"已付价款的 {times} 倍", f"{times} times what was paid"))]


def _revocation(reader: _Reader) -> list[Row]:
    return reader.rows("revocation", "by", "in_flight", "effect")


def _dispute(reader: _Reader) -> list[Row]:
    dispute = reader.terms["dispute"]
    commission = reader.pick(dispute["arbitration_commission_zh"], dispute["arbitration_commission_en"])
    return [
        reader.days("dispute.negotiation_days", dispute["negotiation_days"]),
        reader.row("dispute.mediation"),
        reader.row("dispute.arbitration_commission", commission or reader.pick("未约定", "none agreed")),
        *reader.rows("dispute", "matter", "seat", "law"),
    ]


_SECTIONS: Mapping[str, tuple[tuple[str, str], Callable[[_Reader], list[Row]]]] = {
    "identity": (("当事人", "Parties"), _identity),
    "objects": (("标的", "Subject matter"), _objects),
    "purpose": (("用途", "Purpose"), _purpose),
    "computation": (("计算", "Computation"), _computation),
    "output": (("结果", "Output"), _output),
    "delivery": (("交付", "Delivery"), _delivery),
    "metering": (("计量", "Metering"), _metering),
    "quota": (("额度", "Quota"), _quota),
    "term": (("期限", "Term"), _term),
    "price": (("价格", "Price"), _price),
    "money": (("资金", "Money"), _money),
    "security": (("安全", "Security"), _security),
    "evidence": (("存证", "Evidence"), _evidence),
    "data_end": (("数据终结", "End of data"), _data_end),
    "audit": (("审计", "Audit"), _audit),
    "liability": (("责任", "Liability"), _liability),
    "revocation": (("撤销", "Revocation"), _revocation),
    "dispute": (("争议", "Disputes"), _dispute),
}
