"""A node knows for which contracts the chain's total includes the run that is being admitted."""

from datetime import UTC, datetime

import pytest

from compute.node import admission
from compute.protocol import operations


class Grants:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bool] = []

    def check(self, *, grantor: str, terms_digest: str, now: datetime, is_counted: bool = False) -> None:
        self.asked.append(is_counted)


@pytest.mark.parametrize(
    ("allowed", "is_counted"),
    [
        ([operations.JOINT_STATISTICS], False),
        ([operations.ALIGNED_STATISTICS], True),
        ([operations.JOINT_STATISTICS, operations.ALIGNED_STATISTICS], True),
    ],
)
def test_only_contracts_with_costly_operations_have_their_runs_counted_before(allowed, is_counted):
    party = {"organization": "urn:hengshu:org:01JD0000000000000000000000", "chain_address": "0x" + "11" * 20}
    accepted = {
        "evidence": {"chain": "required"},
        "computation": {"operations": allowed},
        "parties": [{**party, "role": "provider"}],
    }
    job = {"parties": [{"organization": party["organization"], "role": "data"}]}
    grants = Grants()

    admission.check_grants(accepted, job=job, grants=grants, now=datetime(2026, 11, 21, tzinfo=UTC))

    assert grants.asked == [is_counted]
