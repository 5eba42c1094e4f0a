"""What a specification must say before it can be submitted, field by field (pure), and its digest's document.

`problems(fields, columns)` tells all defects at once, each at its field: nobody corrects in ten rounds.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from exchange.kernel import identifiers
from listings.words import DeliveryMode, LegalBasis, Personal, ProductKind, SourceType

TYPE = "hengshu/specification/v1"
_NATIONAL_CERTIFICATE = re.compile(r"SJ\d{13}", re.ASCII)
_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)

# Field → what to do about it when it is empty.
REQUIRED: Mapping[str, str] = {
    "applicant_name": "name the applicant",
    "contact": "give a contact: name and telephone or mail address",
    "abstract_zh": "say in at most 400 characters what the product is, its form and its use",
    "industry": "name the industry by GB/T 4754, for example J66",
    "source_types": "choose where the data comes from",
    "source_statement": "explain how the data was obtained, and on what basis",
    "region_scope": "choose the region's level",
    "update_freq": "choose how often it is updated",
    "classification": "name the class by industry and business attribute",
    "prohibited_uses": "list what nobody may use it for",
    "delivery_modes": "choose how it is delivered",
    "rights": "list each right, its holder and its term",
    "pricing": "give a meter unit and a price",
    "output_policy": "say what may leave a run: the schema and the smallest cell",
}
_COMPUTED = frozenset({ProductKind.COMPUTED_RESULT, ProductKind.MODEL, ProductKind.VERIFICATION})
_RAW = frozenset({DeliveryMode.SANDBOX, DeliveryMode.API, DeliveryMode.REPORT})


def problems(fields: Mapping[str, Any], columns: Sequence[Mapping[str, Any]], *, grade: int) -> dict[str, str]:
    """Every defect that keeps a specification from being submitted, by field; empty when it is complete.

    Red lines (no scenario, core data) are not here: they are refusals, not defects (`policies`).
    """
    found = {name: what for name, what in REQUIRED.items() if not fields.get(name)}
    if not identifiers.uscc_is_valid(str(fields.get("id_no", ""))):
        found["id_no"] = "must be the applicant's unified social credit code"
    if fields.get("volume_rows", 0) <= 0:
        found["volume_rows"] = "say how many rows there are, about"
    start, end = fields.get("time_from"), fields.get("time_to")
    if not isinstance(start, date) or not isinstance(end, date) or end < start:
        found["time_from"] = "give the first and the last day the data is about"
    number = str(fields.get("external_cert_no", ""))
    if number and not _NATIONAL_CERTIFICATE.fullmatch(number):
        found["external_cert_no"] = "must be SJ and thirteen digits"
    if fields.get("is_public_data") and not fields.get("public_data_code"):
        found["public_data_code"] = "public data is registered on the public-data platform first; give its code"
    if (
        SourceType.SCRAPED_PUBLIC in fields.get("source_types", [])
        and len(str(fields.get("source_statement", ""))) < 40
    ):
        found["source_statement"] = "say what was collected from where, by which method, and that it was permitted"
    if fields.get("cross_border") and not fields.get("cross_border_path"):
        found["cross_border_path"] = "name the approved path for data that leaves the mainland"
    found |= _personal_problems(fields, columns)
    found |= _use_problems(fields, grade=grade)
    return found | _column_problems(columns)


def document(
    *, product: str, number: str, version: int, provider: str, names: Mapping[str, str], dataset: str,
    dataset_commitment: str, grade: int, fields: Mapping[str, Any], columns: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    """The canonical document a version is frozen by; its SHA-256 stands in certificate and contract."""
    return {
        "type": TYPE,
        "product": product,
        "number": number,
        "version": version,
        "provider": provider,
        **names,
        "dataset": dataset,
        "dataset_commitment": dataset_commitment,
        "grade": grade,
        "fields": {name: _plain(value) for name, value in fields.items()},
        "columns": [{name: _plain(value) for name, value in column.items()} for column in columns],
    }


def _personal_problems(fields: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    flags = {column.get("pi", Personal.NONE) for column in columns} | set(fields.get("pi_flags", []))
    if flags <= {Personal.NONE}:
        return {}
    found = {}
    if not fields.get("legal_basis"):
        found["legal_basis"] = "choose the legal basis for handling personal information (PIPL 13)"
    if fields.get("persons_approx", 0) <= 0:
        found["persons_approx"] = "say about how many persons the data is about"
    if not fields.get("deident_method"):
        found["deident_method"] = "say how the data is de-identified; de-identified is not anonymous"
    if fields.get("legal_basis") == LegalBasis.CONSENT and not fields.get("consent_template_digest"):
        found["consent_template_digest"] = "give the SHA-256 of the consent template"
    if flags & {Personal.SENSITIVE, Personal.MINOR} and not fields.get("pia_report"):
        found["pia_report"] = "give date and digest of the impact assessment (PIPL 55)"
    return found


def _use_problems(fields: Mapping[str, Any], *, grade: int) -> dict[str, str]:
    found = {}
    if grade >= 2 and set(fields.get("delivery_modes", [])) <= _RAW and fields.get("delivery_modes"):
        found["delivery_modes"] = "data of grade 2 and above is never delivered raw; add a way of computing on it"
    if fields.get("product_kind") in _COMPUTED and not fields.get("algorithms"):
        found["algorithms"] = "list the operations that may run on it"
    if fields.get("product_kind") == ProductKind.API and not fields.get("api_spec"):
        found["api_spec"] = "an API product brings its description and the result of its call test"
    for index, price in enumerate(fields.get("pricing", [])):
        if not isinstance(price, Mapping) or not isinstance(price.get("unit_price_fen"), int) or not price.get("unit"):
            found[f"pricing[{index}]"] = "needs a unit and a whole price in fen"
    cell = fields.get("output_policy", {}).get("min_cell")
    if fields.get("output_policy") and (not isinstance(cell, int) or cell < 10):
        found["output_policy"] = "the smallest cell must be at least 10"
    return found


def _column_problems(columns: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    if not columns:
        return {"columns": "list at least one column"}
    found, seen = {}, set()
    for index, column in enumerate(columns):
        name = str(column.get("name", ""))
        if not _COLUMN.fullmatch(name) or name in seen:
            found[f"columns[{index}].name"] = "must be a lower-case name, different from the others"
        if not column.get("title_zh"):
            found[f"columns[{index}].title_zh"] = "say in Chinese what the column holds"
        seen.add(name)
    return found


def _plain(value: Any) -> Any:
    """Dates as text; everything else is JSON already."""
    return value.isoformat() if isinstance(value, date) else value
