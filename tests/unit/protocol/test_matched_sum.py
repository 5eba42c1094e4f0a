"""matched_sum as a request: a closed shape without groups and filters, and who takes part in which rank."""

import pytest

from compute.engines import registry
from compute.engines.base import Level
from compute.engines.errors import EngineRefused
from compute.engines.metadata import from_schema
from compute.protocol import operations
from compute.protocol.operations import ParametersOutOfTerms
from compute.protocol.shapes import DocumentInvalid
from exchange.kernel.identifiers import make_urn
from tests.factories.engines import schema

LIST, VALUES, OTHER = (make_urn("org", f"01JD00000000000000000000A{digit}") for digit in "123")
TERMS = {
    "objects": [
        {"provider": VALUES, "number": "P-1", "dataset": "d1", "dataset_commitment": "1" * 64, "columns": ["wage"]},
        {"provider": LIST, "number": "P-2", "dataset": "d2", "dataset_commitment": "2" * 64, "columns": ["district"]},
    ],
    "parties": [],
}


def asked(**changed):
    found = {"values": ["wage"], "min_group": 10, "list_provider": LIST, "value_provider": VALUES}
    return {**found, **changed}


def test_the_list_comes_first_whatever_the_terms_order_and_nobody_else_takes_part():
    parameters = operations.matched_sum(values=["wage"], list_provider=LIST, value_provider=VALUES)

    operations.check_parameters(operations.MATCHED_SUM, parameters, terms=TERMS)
    found = operations.parties(TERMS, operation=operations.MATCHED_SUM, parameters=parameters)

    assert [(party["rank"], party["role"], party["organization"]) for party in found] == [
        (0, "data", LIST),
        (1, "data", VALUES),
    ]
    assert parameters == asked()


@pytest.mark.parametrize(
    "changed",
    [
        {"group_by": []},
        {"filters": []},
        {"values": []},
        {"values": ["wage", "wage"]},
        {"min_group": 9},
        {"list_provider": VALUES},
    ],
    ids=str,
)
def test_groups_filters_and_small_ks_are_no_part_of_the_question(changed):
    with pytest.raises(DocumentInvalid):
        operations.check_parameters(operations.MATCHED_SUM, asked(**changed))


@pytest.mark.parametrize("changed", [{"values": ["district"]}, {"list_provider": OTHER}], ids=str)
def test_what_the_contract_does_not_hold_is_refused(changed):
    with pytest.raises(ParametersOutOfTerms):
        operations.check_parameters(operations.MATCHED_SUM, asked(**changed), terms=TERMS)


def test_the_values_leave_as_sums_and_the_list_shows_no_column():
    engine = registry.get("ddh_paillier_sum/1")

    assert engine.derive(asked(), rank=0) == {}
    assert engine.derive(asked(), rank=1) == {"wage": Level.PLAINTEXT_AFTER_AGGREGATE}


@pytest.mark.parametrize(
    ("described", "parameters", "code"),
    [
        ({"id_column": None}, asked(), "IDENTIFIER_MISSING"),
        ({}, asked(values=["district"]), "VALUE_NOT_NUMERIC"),
        ({}, asked(values=["nothing"]), "COLUMN_UNKNOWN"),
        ({"values": {"wage": (0, 0, 2**1100)}}, asked(), "VALUE_RANGE_TOO_WIDE"),
        ({"rows": 2**25}, asked(), "PARTITION_TOO_LARGE"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_engine_refuses_by_the_schema_alone(described, parameters, code):
    arguments = {"rows": 100, "blocks": {"district": ("east",)}, "values": {"wage": (2, 0, 100)}, **described}

    with pytest.raises(EngineRefused) as refused:
        registry.get("ddh_paillier_sum/1").check(parameters, {1: from_schema(schema(**arguments))}, min_group=10)

    assert refused.value.code == code
