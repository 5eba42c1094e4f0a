"""Products at every step of their way, made through the actions that people use."""

from datetime import date

from exchange.members.models import Membership
from exchange.members.permissions import Role
from listings.actions import certificates, listing, products, reviews
from listings.models import Product, RegistrationCertificate
from tests.factories import members

COMMITMENT = "ab" * 32

COLUMNS = (
    {
        "name": "district", "title_zh": "区县", "title_en": "District", "type": "category", "grade": 1,
        "is_block_dimension": True, "dictionary": ["澄东区", "澄西区"],
    },
    {
        "name": "age_band", "title_zh": "年龄段", "title_en": "Age band", "type": "category", "grade": 2, "pi": "pi",
        "is_block_dimension": True,
    },
    {
        "name": "base", "title_zh": "缴存基数", "title_en": "Deposit base", "type": "decimal", "unit": "元", "scale": 2,
        "grade": 2, "pi": "pi", "lower_bound": "0", "upper_bound": "60000",
    },
)  # fmt: skip


def specification(**changes) -> dict:
    """A complete specification."""
    return {
        "contact": {"name": "数据科", "telephone": "0990-0000000"},
        "abstract_zh": "按区县与年龄段统计缴存基数，用于信贷风险统计。",
        "abstract_en": "Deposit bases by district and age band, for credit-risk statistics.",
        "industry": "J66",
        "source_types": ["collected"],
        "source_statement": "住房公积金缴存业务中依职责采集。",
        "region_scope": "city",
        "region": "澄江市",
        "time_from": date(2021, 1, 1),
        "time_to": date(2025, 12, 31),
        "update_freq": "monthly",
        "volume_rows": 20_000,
        "classification": "金融 / 住房公积金",
        "persons_approx": 20_000,
        "legal_basis": "statutory_duty",
        "deident_method": "去标识化；结果不少于十人一组",
        "scenarios": [{"code": "credit_risk_statistics", "zh": "信贷风险统计", "en": "Credit-risk statistics"}],
        "prohibited_uses": ["re_identification", "resale"],
        "delivery_modes": ["mpc"],
        "algorithms": [{"operation": "joint_statistics"}, {"operation": "aligned_statistics"}],
        "output_policy": {"schema": "grouped_statistics/v1", "min_cell": 10},
        "pricing": [{"unit": "per_call", "unit_price_fen": 50_000, "currency": "CNY"}],
        "rights": [{"holder": "澄江市住房公积金中心", "rights": ["hold", "use", "operate"], "term": "2029-12-31"}],
    } | changes


def provider(**fields) -> Membership:
    """A provider's person; the organisation has registered its keys."""
    membership = members.membership(Role.PROVIDER, organization=members.organization(**fields))
    members.with_keys(membership.organization)
    return membership


def draft(*, by: Membership | None = None, changes: dict | None = None, **fields) -> Product:
    """A complete product that waits to be submitted."""
    values = {
        "name_zh": "澄江市住房公积金缴存统计",
        "name_en": "Chengjiang housing fund statistics",
        "dataset": "housing_fund",
        "dataset_commitment": COMMITMENT,
        "columns": COLUMNS,
    }
    return products.draft(by=by or provider(), specification=specification(**(changes or {})), **values | fields)


def submitted(*, by: Membership | None = None, **fields) -> Product:
    author = by or provider()
    return products.submit(product=draft(by=author, **fields), by=author)


def approved(**fields) -> Product:
    return reviews.approve(
        product=submitted(**fields), by=members.membership(Role.COMPLIANCE_REVIEWER), reason="材料齐全"
    )


def certificate(**fields) -> RegistrationCertificate:
    return certificates.issue(product=approved(**fields), by=members.membership(Role.REGISTRAR))


def listed(**fields) -> Product:
    """A product in the catalogue."""
    product = certificate(**fields).version.product
    return listing.list_(product=product, by=members.membership(Role.LISTING_OFFICER))
