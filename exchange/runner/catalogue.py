"""What the demo's providers write into their specifications, and what the bank proposes."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from exchange.runner.tables import NodeTable
from exchange.runner.world import Member

_TEXTS = {
    "fund-a": ("澄江市住房公积金缴存统计服务", "Chengjiang housing fund statistics"),
    "fund-b": ("云岭市住房公积金缴存统计服务", "Yunling housing fund statistics"),
    "social": ("澄江市社会保险缴费对齐统计服务", "Chengjiang social security aligned statistics"),
    "civil": ("澄江市婚姻登记对齐统计服务", "Chengjiang marriage register aligned statistics"),
}
_TITLES = {
    "person_id": ("身份标识", "person id"),
    "name": ("姓名", "name"),
    "district": ("行政区", "district"),
    "age_band": ("年龄段", "age band"),
    "base": ("缴存（费）基数", "contribution base"),
    "monthly": ("月缴存额", "monthly deposit"),
    "months": ("连续缴存月数", "months paid in a row"),
    "status": ("账户状态", "account status"),
    "industry": ("行业", "industry"),
    "months_paid": ("累计缴费月数", "months paid"),
    "gap_months": ("近24月中断月数", "gap months in the last 24"),
    "marital_status": ("婚姻状况", "marital status"),
    "years_married": ("婚姻年数", "years married"),
    "sex": ("性别", "sex"),
    "education": ("教育程度", "education"),
    "limit_balance": ("授信额度", "credit limit"),
    "bill": ("最近账单金额", "latest bill"),
    "paid": ("最近还款金额", "latest payment"),
}
PRICE_FEN = 50_000


def product(
    member: Member,
    table: NodeTable,
    *,
    commitment: str,
    names: tuple[str, str] | None = None,
    operations: Sequence[str] = ("joint_statistics", "aligned_statistics"),
) -> dict[str, Any]:
    """A product draft with every required field of its specification."""
    name_zh, name_en = names or _TEXTS[member.code]
    rows = len(table.rows)
    return {
        "name_zh": name_zh,
        "name_en": name_en,
        "dataset": table.dataset,
        "dataset_commitment": commitment,
        "columns": [_column(name, dict(column), table) for name, column in table.columns.items()],
        "specification": {
            "applicant_name": member.name_zh,
            "applicant_type": "legal",
            "id_no": member.uscc,
            "contact": {"name": "数据管理科", "phone": "000-00000000"},
            "abstract_zh": f"{member.name_zh}在本单位数据节点上按登记分组提供统计结果，原始数据不出域。",
            "abstract_en": f"Statistics computed on the data node of {member.name_en}; rows never leave it.",
            "industry": "J66 货币金融服务",
            "source_types": ["collected"],
            "source_statement": "本单位履行法定职责过程中依法采集，来源合法，权属清晰。",
            "region_scope": "city",
            "region": "澄江市" if member.code != "fund-b" else "云岭市",
            "time_from": "2021-01-01",
            "time_to": "2026-10-31",
            "update_freq": "monthly",
            "volume_rows": _about(rows),
            "volume_bytes": _about(rows * 96),
            "data_form": "table",
            "structure": "structured",
            "product_kind": "computed_result",
            "restrictions": {"buyers": ["bank"], "resale": False, "export": False},
            "rights": [
                {
                    "holder": member.name_zh,
                    "uscc": member.uscc,
                    "rights": ["hold", "use", "operate"],
                    "term": "2031-10-31",
                    "proof": "法定职责",
                }
            ],
            "classification": "社会保障 / 缴存缴费",
            "grade_national": "general",
            "grade_general": 3,
            "pi_flags": ["sensitive" if member.code in ("social", "civil") else "pi"],
            "persons_approx": _about(rows),
            "legal_basis": "statutory_duty",
            "deident_method": "固定分组块（每块不少于10人）后仅输出聚合结果",
            "pia_report": {"title": "个人信息保护影响评估报告", "date": "2026-10-01", "digest": _report(member)},
            "scenarios": [
                {
                    "code": "credit_risk_statistics",
                    "zh": "银行对申请人群体进行区域性信用风险统计分析",
                    "en": "Regional credit-risk statistics over a bank's customer groups",
                }
            ],
            "prohibited_uses": ["re_identification", "resale", "marketing"],
            "delivery_modes": ["mpc", "psi"],
            "algorithms": [{"operation": code} for code in operations],
            "output_policy": {"schema": "grouped_statistics/v1", "min_cell": 10, "max_bytes": 1_048_576},
            "quality_report": {"assessor": "自评", "date": "2026-10-15", "complete": "99.2%", "accurate": "98.7%"},
            "compliance_opinion": {"issuer": "中和律师事务所", "date": "2026-10-20", "conclusion": "合规"},
            "pricing": [{"unit": "per_call", "unit_price_fen": PRICE_FEN, "currency": "CNY"}],
            "sample": [],
            "cross_border": False,
        },
    }


def proposal(
    *, operation: str, products: list[str], columns: Mapping[str, list[str]], compute_party: str | None
) -> dict[str, Any]:
    """The bank's choices for one contract; everything else takes the exchange's defaults.

    Args:
        columns: by product number, only what the bank needs (the law's minimum: PIPL 6).
    """
    choices: dict[str, Any] = {
        "products": products,
        "operation": operation,
        "purpose": {
            "code": "credit_risk_statistics",
            "scenario_zh": "对申请人群体进行区域性信用风险统计分析",
            "scenario_en": "Regional credit-risk statistics over groups of applicants",
            "legal_basis": "statutory_duty",
        },
        "unit_price_fen": PRICE_FEN,
        "quota": {"total": 20, "per_day": 20, "rate_per_minute": 10},
        "approval": "standing",
        "columns": dict(columns),
    }
    if compute_party:
        choices["compute_party"] = compute_party
    return choices


def _column(name: str, column: Mapping[str, Any], table: NodeTable) -> dict[str, Any]:
    title_zh, title_en = _TITLES.get(name, (name, name))
    pi, grade = {"person_id": ("sensitive", 4), "owner": ("sensitive", 4), "name": ("pi", 3)}.get(name, ("pi", 2))
    return {
        "name": name,
        "title_zh": title_zh,
        "title_en": title_en,
        "type": column["type"],
        "unit": "CNY" if column["type"] == "decimal" else "",
        "scale": column.get("scale", 0),
        "pi": pi,
        "grade": grade,
        "is_nullable": False,
        "is_block_dimension": name in table.block_dimensions,
        "dictionary": list(column.get("values", [])),
        "lower_bound": str(column.get("min", "")),
        "upper_bound": str(column.get("max", "")),
    }


def _report(member: Member) -> str:
    """The digest of an impact assessment that its owner keeps: here, of its invented title."""
    return hashlib.sha256(f"{member.name_zh}个人信息保护影响评估报告".encode()).hexdigest()


def _about(number: int) -> int:
    """Two leading digits: what a catalogue says of a size, and nothing that depends on one row."""
    unit = int(10 ** max(len(str(number)) - 2, 0))
    return round(number / unit) * unit
