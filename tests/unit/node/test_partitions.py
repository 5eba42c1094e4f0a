"""A column is added up over one partition of its persons: over two, a difference could single somebody out."""

import pytest

from compute.node import partitions
from compute.node.partitions import Use
from compute.protocol.codes import Refused
from exchange.kernel.identifiers import make_urn, new_ulid

FUND, SOCIAL = make_urn("org", new_ulid()), make_urn("org", new_ulid())
PARTIES = [
    {"organization": FUND, "dataset": "fund", "dataset_commitment": "a" * 64},
    {"organization": SOCIAL, "dataset": "register", "dataset_commitment": "b" * 64},
]
JOINT = {"parameters": {"group_by": [], "values": ["base"], "filters": [], "min_group": 10}}


def aligned(*, groups: str, values: str) -> dict:
    return {"parameters": {**JOINT["parameters"], "group_provider": groups, "value_provider": values}}


def job_of(contract: dict) -> dict:
    return {"id": make_urn("computation", new_ulid()), "contract": contract["id"]}


def reserve(fund, uses) -> str:
    job = job_of(fund.contract)
    fund.store.reserve(job=job, task="t", fencing_token=1, uses=uses)
    return job["id"]


def test_what_a_request_adds_up_and_over_whom():
    over_the_match = partitions.uses(aligned(groups=SOCIAL, values=FUND), parties=PARTIES, organization=FUND)

    assert partitions.uses(JOINT, parties=PARTIES, organization=FUND) == [Use("a" * 64, "base", "own blocks")]
    assert over_the_match == [Use("a" * 64, "base", f"matched with {SOCIAL} {'b' * 64}")]
    assert partitions.uses(aligned(groups=FUND, values=SOCIAL), parties=PARTIES, organization=FUND) == []


def test_wages_over_own_blocks_then_over_another_offices_match_are_refused(fund):
    # 6,000 persons over own blocks, 5,997 of them over the match: the difference would be three persons' wages.
    own = partitions.uses(JOINT, parties=PARTIES, organization=FUND)
    matched = partitions.uses(aligned(groups=SOCIAL, values=FUND), parties=PARTIES, organization=FUND)
    reserve(fund, own)
    reserve(fund, own)

    with pytest.raises(Refused) as refused:
        reserve(fund, matched)

    assert refused.value.code == "PARTITION_DIFFERS"
    assert fund.store.meter(fund.contract["id"])["reserved"] == 2
    reserve(fund, [Use("c" * 64, "base", matched[0].partition)])  # another version is another partition
    reserve(fund, [Use("a" * 64, "months", matched[0].partition)])  # and another column another answer


def test_a_run_that_came_to_nothing_binds_nothing(fund):
    computation = reserve(fund, [Use("a" * 64, "base", "own blocks")])
    fund.store.void(computation, code="RUN_CANCELLED")

    reserve(fund, [Use("a" * 64, "base", "matched with others")])


def test_two_group_owners_are_two_partitions(fund):
    reserve(fund, [Use("a" * 64, "base", "matched with one")])

    with pytest.raises(Refused):
        partitions.check(fund.store.connection(), [Use("a" * 64, "base", "matched with another")])


def test_a_match_is_counted_by_blocks_or_whole_but_not_both(fund):
    # 6,000 in common, of whom 5,997 in blocks that are large enough: the difference would be the three in small ones.
    def counted(operation, **providers):
        request = {"operation": operation, "parameters": {"values": ["base"], **providers}}
        return partitions.uses(request, parties=PARTIES, organization=FUND)

    by_blocks = counted("aligned_statistics", group_provider=FUND, value_provider=SOCIAL)
    whole = counted("matched_sum", list_provider=FUND, value_provider=SOCIAL)
    assert [use.partition for use in by_blocks + whole] == ["blocks", "the whole"]
    reserve(fund, by_blocks)
    reserve(fund, by_blocks)

    with pytest.raises(Refused) as refused:
        reserve(fund, whole)

    assert refused.value.code == "PARTITION_DIFFERS"
    reserve(fund, [Use("c" * 64, whole[0].column, "the whole")])  # another version is counted anew


def test_the_values_of_a_matched_sum_are_added_up_over_the_match_alone(fund):
    request = {
        "operation": "matched_sum",
        "parameters": {"values": ["base"], "min_group": 10, "list_provider": SOCIAL, "value_provider": FUND},
    }
    reserve(fund, partitions.uses(JOINT, parties=PARTIES, organization=FUND))

    with pytest.raises(Refused):
        reserve(fund, partitions.uses(request, parties=PARTIES, organization=FUND))


def matched(*, own="a" * 64, theirs="b" * 64, **changes) -> list[Use]:
    parties = [{**PARTIES[0], "dataset_commitment": own}, {**PARTIES[1], "dataset_commitment": theirs}]
    request = {"operation": "matching", "parameters": {"form": "cardinality", "receiver": FUND, **changes}}
    return partitions.uses(request, parties=parties, organization=FUND)


@pytest.mark.parametrize("change", [{"own": "c" * 64}, {"theirs": "d" * 64}], ids=["own version", "theirs"])
def test_a_match_is_counted_exactly_for_one_version_of_each_table(fund, change):
    # 5,000 in common; of the version that has one person more, 5,001: that person is in the other table, too.
    reserve(fund, matched())
    reserve(fund, matched())

    with pytest.raises(Refused) as refused:
        reserve(fund, matched(**change))

    assert refused.value.code == "PARTITION_DIFFERS"
    reserve(fund, matched(privacy={"mechanism": "discrete_laplace", "epsilon": "0.1"}, **change))  # noise may
    reserve(fund, matched(form="list", **change))  # a contract that lists persons says more than any count


def test_a_match_that_was_counted_by_blocks_is_not_counted_whole(fund):
    request = {"operation": "joined_statistics", "parameters": {"values": ["base"], "group_provider": FUND}}
    by_blocks = partitions.uses(
        {**request, "parameters": {**request["parameters"], "value_provider": SOCIAL}},
        parties=PARTIES,
        organization=FUND,
    )
    reserve(fund, by_blocks)

    with pytest.raises(Refused):
        reserve(fund, matched())
