"""The key of one job: the same at its data parties, nobody else's, and another for every job."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from compute.engines import greeting, identifiers, link
from compute.engines.base import StageContext
from compute.engines.errors import EngineRefused, LinkLost
from tests.unit.engines.test_link import contexts  # noqa: F401 - the fixture

Contexts = Callable[[int], list[StageContext]]


def keys(parties: list[StageContext], *, ranks: tuple[int, ...]) -> list[Any]:
    """What each party ends with: its key, the code of a refusal, or None for one that takes no part."""
    linked = threading.Barrier(len(parties))

    def one(context: StageContext) -> Any:
        try:
            with link.connect(context) as mesh:
                linked.wait(10)
                found = greeting.job_key(context, mesh, ranks=ranks) if context.rank in ranks else None
                linked.wait(10)
                return found
        except (EngineRefused, LinkLost) as error:
            linked.abort()
            return error.code
        except threading.BrokenBarrierError:
            return "LEFT"

    with ThreadPoolExecutor(len(parties)) as pool:
        return list(pool.map(one, parties))


def test_data_parties_derive_one_key_and_a_compute_party_takes_no_part(contexts: Contexts) -> None:  # noqa: F811
    first, second, none = keys(contexts(3), ranks=(0, 1))

    assert first == second
    assert len(first) == greeting.KEY_BYTES
    assert none is None


def test_three_owners_derive_one_key_and_the_next_job_has_another(contexts: Contexts) -> None:  # noqa: F811
    one, other = (set(keys(contexts(3), ranks=(0, 1, 2))) for _ in range(2))

    assert len(one) == len(other) == 1
    assert one != other
    # So the same table looks like another one in the next job; under one key it would be recognised.
    ids = ["11010519491231002X"]
    assert identifiers.keyed(ids, one.pop()) != identifiers.keyed(ids, other.pop())


def test_a_peer_with_another_job_or_salt_does_not_get_as_far_as_a_match(contexts: Contexts) -> None:  # noqa: F811
    parties = contexts(2)
    parties[1] = replace(parties[1], job_digest="1" * 64)

    assert "JOB_DIFFERS" in keys(parties, ranks=(0, 1))


def test_a_part_of_the_key_that_is_not_one_is_refused(contexts: Contexts) -> None:  # noqa: F811
    parties = contexts(2)

    def honest() -> Any:
        with link.connect(parties[0]) as mesh:
            with pytest.raises(EngineRefused) as refused:
                greeting.job_key(parties[0], mesh, ranks=(0, 1))
            return refused.value.code

    def other() -> None:
        with link.connect(parties[1]) as mesh:
            mesh.exchange({0: bytes(32)})  # the point of order one: every secret would give the same key

    with ThreadPoolExecutor(2) as pool:
        found = pool.submit(honest)
        pool.submit(other).result(20)
        assert found.result(20) == "JOB_DIFFERS"


def test_another_attempt_has_another_key_that_both_owners_know() -> None:
    key = bytes(32)

    assert len({greeting.again(key, attempt) for attempt in range(4)}) == 4
    assert greeting.again(key, 1) == greeting.again(key, 1)
