"""An opened result as tables: heads in two languages on the screen, fixed names and quoted words in files."""

from exchange.client import result_tables

RESULT = {
    "type": "grouped_statistics/v1",
    "group_by": ["district"],
    "values": ["wage"],
    "min_group": 10,
    "cells": [
        {
            "group": {"district": "=东"},
            "column": "wage",
            "count": 40,
            "sum": "-5.00",
            "mean": "-0.125000",
            "variance": "1.000000",
        }
    ],
    "measures": {
        "covariance": [
            {"group": {"district": "=东"}, "columns": ["wage", "months"], "count": 40, "covariance": "-2.500000"}
        ],
        "histogram": [
            {
                "group": {"district": "=东"},
                "column": "wage",
                "told": 30,
                "bands": [
                    {"from": "0.00", "to": "3000.00", "count": 12},
                    {"from": "3000.00", "to": "9000.00", "count": 18},
                ],
            }
        ],
        "quantile_bands": [
            {
                "group": {"district": "=东"},
                "column": "wage",
                "probability": "0.5",
                "told": 30,
                "from": "3000.00",
                "to": "9000.00",
            }
        ],
    },
}


def test_every_measure_is_a_table_of_its_own():
    files = {table.name: table.to_csv().decode("utf-8-sig").splitlines() for table in result_tables.of(RESULT)}

    assert files == {
        "result": ["district,column,count,sum,mean,variance", "'=东,wage,40,-5.00,-0.125000,1.000000"],
        "covariance": ["district,columns,count,covariance", "'=东,wage × months,40,-2.500000"],
        "histogram": [
            "district,column,told,from,to,count",
            "'=东,wage,30,0.00,3000.00,12",
            "'=东,wage,30,3000.00,9000.00,18",
        ],
        "quantile_bands": ["district,column,probability,told,from,to", "'=东,wage,0.5,30,3000.00,9000.00"],
    }


def test_heads_have_words_in_both_languages():
    for table in result_tables.of(RESULT):
        assert table.titles[0] == ("district", "district")
        assert all(zh != en for zh, en in table.titles[1:])


def test_a_result_without_measures_is_one_table():
    plain = {name: value for name, value in RESULT.items() if name != "measures"}

    assert [table.name for table in result_tables.of(plain)] == ["result"]
    assert result_tables.of({**plain, "type": "scores/v1"}) == []
