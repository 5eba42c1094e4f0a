"""What the demo's providers write into their specifications, and what the bank proposes."""

from collections.abc import Mapping
from typing import Any

from exchange.runner.tables import NodeTable
from exchange.runner.world import Member

_TEXTS = {
    "fund-a": ("澄江市住房公积金缴存统计服务", "Chengjiang housing fund statistics"),
    "fund-b": ("云岭市住房公积金缴存统计服务", "Yunling housing fund statistics"),
    "social": ("澄江市社会保险缴费对齐统计服务", "Chengjiang social security aligned statistics"),
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
    "sex": ("性别", "sex"),
    "education": ("教育程度", "education"),
    "limit_balance": ("授信额度", "credit limit"),
    "bill": ("最近账单金额", "latest bill"),
    "paid": ("最近还款金额", "latest payment"),
}
_PRICE_FEN = 50_000


def product(member: Member, table: NodeTable, *, commitment: str, schema_digest: str = "") -> dict[str, Any]:
    """A product draft with every required field of its specification."""
    name_zh, name_en = _TEXTS[member.code]
    rows = len(table.rows)
    return {
        "name_zh": name_zh,
        "name_en": name_en,
        "product_kind": "computed_result",
        "dataset": table.dataset,
        "dataset_commitment": commitment,
        "columns": [_column(name, dict(column), table) for name, column in table.columns.items()],
        "specification": {
            "abstract_zh": f"{member.name_zh}在本单位数据节点上按区划和年龄段提供统计结果，原始数据不出域。",
            "abstract_en": f"Statistics computed on the data node of {member.name_en}; rows never leave it.",
            "industry": "J66",
            "source_type": ["collected"],
            "source_statement": "本单位履行法定职责过程中依法采集，来源合法，权属清晰。",
            "region_scope": "city",
            "time_scope": {"from": "2021-01-01", "to": "2026-10-31"},
            "update_freq": "monthly",
            "volume": {"rows": rows, "bytes": rows * 96},
            "data_form": {"kind": "table", "structure": "structured"},
            "restrictions": {"buyers": "banks", "resale": False, "export": False},
            "rights": [
                {"holder": member.name_zh, "uscc": member.uscc, "right": right, "proof": "法定职责"}
                for right in ("hold", "use", "operate")
            ],
            "classification": "政务数据/社会保障",
            "grade_national": "general",
            "grade_general": 3,
            "grade_sector": "",
            "pi_persons": rows,
            "legal_basis": "statutory_duty",
            "deident_method": "固定分组块（每块不少于10人）后仅输出聚合结果",
            "pia_report": {"title": "个人信息保护影响评估报告", "date": "2026-10-01", "valid_to": "2029-10-01"},
            "scenarios": [
                {
                    "purpose": "credit_risk_statistics",
                    "description_zh": "银行对申请人群体进行区域性信用风险统计分析",
                    "description_en": "Regional credit-risk statistics over a bank's customer groups",
                }
            ],
            "prohibited_uses": ["re_identification", "resale", "marketing"],
            "delivery_modes": ["mpc", "psi"],
            "algorithms": ["joint_statistics", "aligned_statistics"],
            "output_policy": {"schema": "grouped_statistics/v1", "min_cell": 10, "max_bytes": 1_048_576},
            "quality_report": {"assessor": "自评", "date": "2026-10-15", "complete": "99.2%", "accurate": "98.7%"},
            "compliance_opinion": {"issuer": "中和律师事务所", "date": "2026-10-20", "conclusion": "合规"},
            "pricing": [{"unit": "per_call", "price_fen": _PRICE_FEN, "currency": "CNY"}],
            "sample": {"kind": "synthetic", "rows": 5},
            "cross_border": False,
            "contact": {"name": "数据管理科", "phone": "000-00000000"},
        },
    }


def proposal(*, operation: str, products: list[str], compute_party: str | None) -> dict[str, Any]:
    """The bank's choices for one contract; everything else takes the exchange's defaults."""
    choices: dict[str, Any] = {
        "products": products,
        "operation": operation,
        "purpose": {
            "code": "credit_risk_statistics",
            "scenario_zh": "对申请人群体进行区域性信用风险统计分析",
            "scenario_en": "Regional credit-risk statistics over groups of applicants",
            "legal_basis": "PIPL 13(1)(3)",
        },
        "unit_price_fen": _PRICE_FEN,
        "quota": {"total": 20, "per_day": 20, "rate_per_minute": 10},
        "approval": "standing",
    }
    if compute_party:
        choices["compute_party"] = compute_party
    return choices


def _column(name: str, column: Mapping[str, Any], table: NodeTable) -> dict[str, Any]:
    title_zh, title_en = _TITLES.get(name, (name, name))
    flag, grade = {"person_id": ("sensitive", 4), "name": ("personal", 3)}.get(name, ("personal", 2))
    found: dict[str, Any] = {
        "name": name,
        "title_zh": title_zh,
        "title_en": title_en,
        "type": column["type"],
        "unit": "CNY" if column["type"] == "decimal" else "",
        "pi_flag": flag,
        "grade": grade,
        "is_block_dimension": name in table.block_dimensions,
        "nullable": False,
    }
    if "values" in column:
        found["dictionary"] = {value: value for value in column["values"]}
    if "min" in column:
        found |= {"minimum": str(column["min"]), "maximum": str(column["max"])}
    return found
