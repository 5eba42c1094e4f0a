"""Tier 2: what a noised query may ask, how far one person moves it, and real parties that add their own noise."""

import json
from fractions import Fraction
from math import log, sqrt

import numpy as np
import pytest

from compute.engines import registry
from compute.engines.errors import EngineRefused
from compute.engines.privacy import noise, noised, sensitivity, sums
from compute.protocol import privacy
from exchange.client import result_tables
from tests.factories.privacy import GAUSSIAN, LAPLACE, asked, drawn, meta, noised_job, people, table


def test_epsilon_is_an_exact_decimal():
    assert privacy.parse_epsilon("0.1") == 100_000
    assert privacy.parse_epsilon("0.000001") == 1
    assert privacy.write_micro(100_000) == "0.1"
    assert sum([privacy.parse_epsilon("0.1")] * 10) == privacy.parse_epsilon("1")
    for wrong in ("0", "0.0000001", "-1", "1e-3", "0,1", ".1", "", "11", "nan", "0.1 ", "٠.1"):
        with pytest.raises(ValueError):
            privacy.parse_epsilon(wrong)


def test_the_same_question_in_another_order_is_the_same_query_and_another_epsilon_is_not():
    wide = asked(filters=[{"column": "sex", "in": ["m", "f"]}, {"column": "age", "from": "20", "to": "30"}])
    turned = asked(filters=[{"column": "age", "from": "20.0", "to": "30"}, {"column": "sex", "in": ["f", "m"]}])

    assert privacy.query_digest(wide) == privacy.query_digest(turned)
    assert privacy.query_digest(asked()) == privacy.query_digest({**asked(), "min_group": 500})
    assert privacy.query_digest(asked()) != privacy.query_digest(asked(privacy={**LAPLACE, "epsilon": "0.2"}))
    assert privacy.query_digest(asked()) == privacy.query_digest(asked(privacy={**LAPLACE, "epsilon": "0.10"}))


def test_one_person_moves_the_count_by_one_and_a_sum_by_its_largest_bound():
    plan = sensitivity.plan(meta(), asked(values=["wage", "age"]))

    assert [(item.name, item.sensitivity) for item in plan.components] == [("", 1), ("age", 120), ("wage", 1000)]
    # Epsilon 0.1 in three equal shares: scales 1, 120 and 1000 divided by 0.1 / 3.
    assert [round(item.scale) for item in plan.components] == [30, 3600, 30_000]
    assert plan.labels == [("f",), ("m",)]


@pytest.mark.parametrize("mechanism", [LAPLACE, GAUSSIAN])
def test_what_opendp_says_is_spent_is_never_above_epsilon(mechanism):
    for epsilon in ("0.000007", "0.1", "0.333333", "1"):
        parameters = asked(values=["wage", "age"], privacy={**mechanism, "epsilon": epsilon})
        plan = sensitivity.plan(meta(), parameters).describe()

        assert len(noise.draw(plan)) == 3
        plan["components"][0][2] *= 0.99  # a little less noise: OpenDP's own map tells, and nothing is drawn
        with pytest.raises(ArithmeticError):
            noise.draw(plan)


def test_rho_gives_back_epsilon_at_delta():
    # Bun and Steinke 2016, proposition 1.3: rho-zCDP is (rho + 2 sqrt(rho log(1/delta)), delta)-DP.
    rho = sensitivity.rho_of(100_000, 1000)
    assert 0.0999 < rho + 2 * sqrt(rho * log(10**9)) <= 0.1


def test_the_noise_has_the_scale_that_was_promised():
    plan = sensitivity.plan(meta(), asked(group_by=[])).describe()
    plan["groups"] = [["g", [str(number) for number in range(20_000)]]]
    counts, totals = noise.draw(plan)

    # A Laplace of scale b has mean |x| = b: 20 for the count, 20,000 for the sum; 20,000 draws stay within 4 percent.
    assert abs(sum(map(abs, counts)) / 20_000 / 20 - 1) < 0.04
    assert abs(sum(map(abs, totals)) / 20_000 / 20_000 - 1) < 0.04


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"group_by": ["wage"]}, "GROUPING_NOT_A_BLOCK"),
        ({"filters": [{"column": "person_id", "in": ["P1"]}]}, "FILTER_NOT_A_BLOCK"),
        ({"filters": [{"column": "wage", "in": ["7"]}]}, "FILTER_NOT_A_BLOCK"),
        ({"filters": [{"column": "sex", "from": "1", "to": "2"}]}, "FILTER_NOT_A_BLOCK"),
        ({"values": ["sex"]}, "VALUE_NOT_NUMERIC"),
        ({"filters": [{"column": "shoe", "from": "1", "to": "2"}]}, "COLUMN_UNKNOWN"),
    ],
)
def test_what_no_type_declares_is_refused_from_the_description_alone(changes, code):
    with pytest.raises(EngineRefused) as refused:
        registry.get("additive_sharing/1").check(asked(**changes), {0: meta()}, min_group=10)
    assert refused.value.code == code


def test_without_an_id_nobody_knows_that_a_person_is_one_row():
    with pytest.raises(EngineRefused) as refused:
        sensitivity.plan(meta(id=None), asked())
    assert refused.value.code == "IDENTIFIER_MISSING"


def test_any_filter_selects_exactly_those_whom_a_loop_would(tmp_path):
    rows = people(500, seed=1)
    stored = table(tmp_path / "t", rows)
    filters = [
        {"column": "age", "from": "19.5", "to": "40"},
        {"column": "wage", "from": "-5", "to": "99999999999999999"},
        {"column": "district", "in": ["east", "nowhere"]},
    ]
    plan = sensitivity.plan(meta(500), asked(values=["wage", "age"], filters=filters))

    found = sums.totals(stored, meta(500), plan, filters=filters)

    kept = [row for row in rows if 20 <= int(row["age"]) <= 40 and row["district"] == "east"]
    for group, sex in enumerate(("f", "m")):
        chosen = [row for row in kept if row["sex"] == sex]
        expected = [len(chosen), sum(int(row["age"]) for row in chosen), sum(int(row["wage"]) for row in chosen)]
        assert [component[group] for component in found] == expected


def test_nobody_counts_for_more_than_the_declared_bounds():
    column = meta().numeric("wage")

    assert sums._clamped(np.array([-5, 0, 1000, 9000]), column).tolist() == [0, 0, 1000, 1000]


def test_two_owners_add_their_own_noise_and_the_buyer_opens_the_sum(tmp_path):
    parameters = asked(group_by=["sex", "district"], values=["wage", "age"])
    rows = [people(300, seed=1), people(200, seed=2)]
    stored = [table(tmp_path / f"t{number}", found) for number, found in enumerate(rows)]
    noises = [drawn(parameters, len(found)) for found in rows]
    job = noised_job(tmp_path, parameters, stored, noises)

    found = job.result()

    assert found["type"] == "noised_statistics/v1"
    (shown,) = result_tables.of(found)
    assert len(shown.rows) == len([cell for cell in found["cells"] if "withheld" not in cell])
    assert found["privacy"]["epsilon"] == "0.1"
    cells = {(cell["group"]["sex"], cell["group"]["district"], cell["column"]): cell for cell in found["cells"]}
    assert len(cells) == 8
    # Noises are in canonical order: groups by (district, sex), components count, age, wage.
    for group, (district, sex) in enumerate([("east", "f"), ("east", "m"), ("west", "f"), ("west", "m")]):
        chosen = [row for both in rows for row in both if (row["district"], row["sex"]) == (district, sex)]
        count, age, wage = (sum(item["noise"][component][group] for item in noises) for component in range(3))
        expected = len(chosen) + count
        for column, extra in (("wage", wage), ("age", age)):
            cell = cells[sex, district, column]
            if expected < 10:
                assert cell == {"group": cell["group"], "column": column, "withheld": True}
                continue
            total = sum(int(row[column]) for row in chosen) + extra
            assert (cell["count"], cell["sum"]) == (expected, str(total))
            assert abs(Fraction(cell["mean"]) - Fraction(total, expected)) <= Fraction(1, 10**6)


def test_absent_groups_are_there_like_any_other(tmp_path):
    """Nobody of sex m: the group is released with noise all the same, so that its absence tells nothing."""
    parameters = asked()
    rows = [[row for row in people(400, seed=seed) if row["sex"] == "f"] for seed in (1, 2)]
    stored = [table(tmp_path / f"t{number}", found) for number, found in enumerate(rows)]
    noises = [{**drawn(parameters), "noise": [[5, 40], [0, 700]]} for _ in rows]

    found = noised_job(tmp_path, parameters, stored, noises).result()

    cells = {cell["group"]["sex"]: cell for cell in found["cells"]}
    assert (cells["m"]["count"], cells["m"]["sum"]) == (80, "1400")


@pytest.mark.parametrize("given", ["none", "of another query"])
def test_without_the_nodes_noise_nothing_is_computed(tmp_path, given):
    parameters = asked()
    stored = [table(tmp_path / f"t{number}", people(50, seed=number)) for number in (1, 2)]
    other = drawn(asked(values=["age"]))
    job = noised_job(tmp_path, parameters, stored, [] if given == "none" else [other] * 2)

    assert [run.code() for run in job.run()] == ["JOB_DIFFERS"] * 2


def test_a_reviewed_answer_is_exact_and_leaves_out_each_owners_small_groups(tmp_path):
    parameters = asked(privacy={"mechanism": "reviewed"}, filters=[{"column": "age", "from": "0", "to": "99"}])
    rows = [people(60, seed=1), [row for row in people(60, seed=2) if row["sex"] == "f"] + people(5, seed=3)]
    stored = [table(tmp_path / f"t{number}", found) for number, found in enumerate(rows)]
    plan = sensitivity.plan(meta(60), parameters)
    content = {"plan": plan.describe(), "noise": [[0, 0], [0, 0]]}
    job = noised_job(tmp_path, parameters, stored, [content] * 2)

    cells = {cell["group"]["sex"]: cell for cell in job.result()["cells"]}

    few = [row for row in rows[1] if row["sex"] == "m"]
    assert 0 < len(few) < 10
    assert cells["m"]["count"] == len(
        [row for row in rows[0] if row["sex"] == "m"]
    )  # the second owner's few are not in it
    assert cells["f"]["count"] == len([row for both in rows for row in both if row["sex"] == "f"])


def test_what_parties_tell_each_other_depends_on_no_row():
    """The greeting of a table of 3 rows and of one of 3,000 are the same bytes."""
    parameters = asked()
    greetings = []
    for rows in (3, 3000):
        described = meta(rows)
        plan = sensitivity.plan(described, parameters)
        stage = type("Stage", (), {"parameters": parameters, "job_digest": "d" * 64})()
        greetings.append(json.dumps(noised._hello(stage, described, plan)))

    assert greetings[0] == greetings[1]
