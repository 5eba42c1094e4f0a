"""The closed lists of words a specification is written in (pure)."""

from enum import StrEnum


class ApplicantType(StrEnum):
    """申请人类型."""

    NATURAL = "natural"
    LEGAL = "legal"
    UNINCORPORATED = "unincorporated"


class SourceType(StrEnum):
    """数据来源."""

    COLLECTED = "collected"
    SCRAPED_PUBLIC = "scraped_public"
    BY_AGREEMENT = "by_agreement"
    DERIVED = "derived"


class RegionScope(StrEnum):
    """地域范围."""

    INTERNATIONAL = "international"
    NATIONAL = "national"
    PROVINCE = "province"
    CITY = "city"
    COUNTY = "county"
    BELOW_COUNTY = "below_county"


class UpdateFrequency(StrEnum):
    """更新频率."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"
    ON_DEMAND = "on_demand"
    REAL_TIME = "real_time"
    OTHER = "other"


class DataForm(StrEnum):
    """数据形态."""

    IMAGE = "image"
    TEXT = "text"
    VIDEO = "video"
    AUDIO = "audio"
    TABLE = "table"
    OTHER = "other"


class Structure(StrEnum):
    """结构化程度."""

    STRUCTURED = "structured"
    SEMI_STRUCTURED = "semi_structured"
    UNSTRUCTURED = "unstructured"


class ProductKind(StrEnum):
    """产品类型."""

    DATASET = "dataset"
    API = "api"
    REPORT = "report"
    MODEL = "model"
    COMPUTED_RESULT = "computed_result"
    VERIFICATION = "verification"
    ALGORITHM = "algorithm"
    COMPUTE_SERVICE = "compute_service"


class NationalGrade(StrEnum):
    """国家数据分级（GB/T 43697）."""

    GENERAL = "general"
    IMPORTANT = "important"
    CORE = "core"


class Sector(StrEnum):
    """A sector with levels of its own."""

    NONE = ""
    FINANCE = "finance"
    HEALTH = "health"


class Personal(StrEnum):
    """个人信息标识 of a column or a product."""

    NONE = "none"
    PI = "pi"
    SENSITIVE = "sensitive"
    MINOR = "minor"


class LegalBasis(StrEnum):
    """处理合法性基础（个人信息保护法第十三条）."""

    NONE = ""
    CONSENT = "consent"
    CONTRACT = "contract"
    STATUTORY_DUTY = "statutory_duty"
    EMERGENCY = "emergency"
    NEWS = "news"
    DISCLOSED = "disclosed"
    OTHER_LAW = "other_law"


class DeliveryMode(StrEnum):
    """交付方式."""

    SANDBOX = "sandbox"
    TEE = "tee"
    MPC = "mpc"
    PSI = "psi"
    PIR = "pir"
    FL = "fl"
    API = "api"
    REPORT = "report"
    MODEL = "model"


class ColumnType(StrEnum):
    """How a column's values are written; the same words as a node's dataset schema."""

    TEXT = "text"
    CATEGORY = "category"
    INTEGER = "integer"
    DECIMAL = "decimal"
