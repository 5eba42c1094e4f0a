"""How long a node waits before it asks for news again."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from compute.node.daemon import Daemon
from tests.factories.node import Provider


def test_a_node_looks_often_after_its_consent_and_seldom_without_news(fund: Provider) -> None:
    now, requests = 0.0, []

    def call(verb: str, body: Any) -> dict[str, Any]:
        return {"consent_requests": list(requests)} if verb == "poll" else {}

    node: Any = SimpleNamespace(
        config=replace(fund.config, poll_seconds=0.5),
        keys=fund.keys,
        store=fund.store,
        client=SimpleNamespace(call=call),
        clock=fund.world.clock,
        monotonic=lambda: now,
    )
    daemon = Daemon(node)
    daemon.poll()
    assert daemon.until_next_poll() == 0.5
    now += 21
    assert daemon.until_next_poll() == 1.5

    requests.append({"contract": fund.contract, "request": fund.world.request(fund.contract)})
    daemon.poll()
    assert daemon.until_next_poll() == 0.5  # nothing was answered yet
    daemon.flush()
    assert daemon.until_next_poll() == 0.1
    now += 4
    assert daemon.until_next_poll() == 0.5
