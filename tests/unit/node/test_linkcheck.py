"""Links tried before an engine starts: every address, both ways, and only with the pinned certificates."""

import socket
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from compute.engines import certificates, link
from compute.node import config as configuration
from compute.node import links
from compute.node.linkcheck import LinkCheck
from tests.factories.engines import free_ports
from tests.factories.links import Parties, greeting, outcome_of, together
from tests.factories.node import provider


@pytest.mark.parametrize(("count", "stages"), [(2, 1), (3, 3)])
def test_all_parties_reach_each_other_and_hear_what_each_says(tmp_path: Path, count: int, stages: int) -> None:
    parties = Parties(tmp_path, count=count, stages=stages)

    found = together([lambda rank=rank: LinkCheck(parties.links(rank), greeting(rank)) for rank in range(count)])

    for rank, (said, ways) in enumerate(found):
        assert said == {peer: greeting(peer) for peer in range(count) if peer != rank}
        assert ways == {peer: parties.addresses(peer) for peer in range(count) if peer != rank}


def test_behind_a_gateway_peers_are_told_the_forwarded_ports_and_the_engine_listens_at_its_own(tmp_path: Path) -> None:
    config = provider(tmp_path).config
    assert list(links.announced(config)) == list(links.addresses("127.0.0.1", config.engine_base_port))

    path = config.home / "config.toml"
    path.write_text(path.read_text().replace("[engine]", '[engine]\nannounced = "gateway.fund-a.example:31000"'))
    changed = configuration.load(config.home)

    assert list(links.announced(changed)) == [f"gateway.fund-a.example:{port}" for port in (31000, 31001, 31002)]
    assert (changed.engine_host, changed.engine_base_port) == (config.engine_host, config.engine_base_port)


def test_a_party_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    parties = Parties(tmp_path)
    first = LinkCheck(parties.links(0), greeting(0))
    time.sleep(0.5)
    assert not first.is_finished()

    second = LinkCheck(parties.links(1), greeting(1))

    assert outcome_of(first)[0] == {1: greeting(1)}
    assert outcome_of(second)[0] == {0: greeting(0)}


def test_a_peer_that_never_comes_is_a_failed_link(tmp_path: Path) -> None:
    parties = Parties(tmp_path)

    assert outcome_of(LinkCheck(parties.links(0), greeting(0), seconds=1.0)) == "LINK_FAILED"


def test_one_way_is_not_enough(tmp_path: Path) -> None:
    """Party 1 is reached by nobody: it hears from 0, which it has dialled, and both still say that the link failed."""
    parties = Parties(tmp_path)
    wrong = {0: parties.addresses(0), 1: [f"127.0.0.1:{free_ports(1)[0]}"] * 3}

    found = together(
        [
            lambda: LinkCheck(parties.links(0, addresses=wrong), greeting(0), seconds=1.5),
            lambda: LinkCheck(parties.links(1), greeting(1), seconds=1.5),
        ]
    )

    assert found == ["LINK_FAILED", "LINK_FAILED"]


def test_a_certificate_that_is_not_the_pinned_one_does_not_count(tmp_path: Path) -> None:
    parties = Parties(tmp_path)
    now = datetime.now(UTC)
    pem, key = certificates.make(now=now, until=now + timedelta(hours=1))
    (tmp_path / "x.pem").write_text(pem)
    (tmp_path / "x.key").write_text(key)
    stranger = parties.links(1, certificate=tmp_path / "x.pem", key=tmp_path / "x.key")

    found = together(
        [
            lambda: LinkCheck(parties.links(0), greeting(0), seconds=1.5),
            lambda: LinkCheck(stranger, greeting(1), seconds=1.5),
        ]
    )

    assert found == ["LINK_FAILED", "LINK_FAILED"]


def test_the_same_certificate_pinned_by_both_counts(tmp_path: Path) -> None:
    """The sister of the above: the very stranger, once it is pinned, is a peer like any other."""
    parties = Parties(tmp_path)
    now = datetime.now(UTC)
    parties.identities[1] = certificates.make(now=now, until=now + timedelta(hours=1))
    for name, text in zip(("1.pem", "1.key"), parties.identities[1], strict=True):
        (tmp_path / name).write_text(text)

    found = together([lambda rank=rank: LinkCheck(parties.links(rank), greeting(rank)) for rank in range(2)])

    assert found[0][0] == {1: greeting(1)}


def test_strangers_and_noise_do_not_end_it(tmp_path: Path) -> None:
    parties = Parties(tmp_path)
    first = LinkCheck(parties.links(0), greeting(0))
    for data in (b"", b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01" + b"\0" * 2000):
        until = time.monotonic() + 5
        while time.monotonic() < until:
            try:
                with socket.create_connection(("127.0.0.1", parties.ports[0][0]), timeout=2) as stranger:
                    stranger.sendall(data)
                break
            except OSError:
                time.sleep(0.02)

    second = LinkCheck(parties.links(1), greeting(1))

    assert outcome_of(first)[0] == {1: greeting(1)}
    assert outcome_of(second)[0] == {0: greeting(0)}


def test_an_engine_that_is_early_is_not_taken_for_a_check(tmp_path: Path) -> None:
    """The mesh of a faster party dials a port where the slower one's check still listens: it waits for the mesh."""
    parties = Parties(tmp_path)
    slow = LinkCheck(parties.links(0), greeting(0), seconds=1.0)

    class Context:
        """As much of a StageContext as the mesh reads."""

        rank, deadline = 1, time.monotonic() + 10
        addresses = {peer: parties.addresses(peer) for peer in range(2)}
        certificate_paths = {peer: tmp_path / f"{peer}.pem" for peer in range(2)}
        key_path = tmp_path / "1.key"

    class Slower(Context):
        rank, key_path = 0, tmp_path / "0.key"

    met: list[dict[int, bytes]] = []

    def early() -> None:
        with link.connect(Context()) as mesh:
            met.append(mesh.broadcast(b"here"))

    thread = threading.Thread(target=early)
    thread.start()
    assert outcome_of(slow) == "LINK_FAILED"  # nobody came for the check
    with link.connect(Slower()) as mesh:
        assert mesh.broadcast(b"there") == {1: b"here"}
    thread.join(10)
    assert met == [{0: b"there"}]


def test_a_greeting_of_another_rank_is_not_believed(tmp_path: Path) -> None:
    parties = Parties(tmp_path)

    found = together(
        [
            lambda: LinkCheck(parties.links(0), greeting(0), seconds=1.5),
            lambda: LinkCheck(parties.links(1), replace(greeting(1), rank=2), seconds=1.5),
        ]
    )

    assert found == ["LINK_FAILED", "LINK_FAILED"]


def test_a_check_that_is_stopped_ends_at_once(tmp_path: Path) -> None:
    parties = Parties(tmp_path)
    check = LinkCheck(parties.links(0), greeting(0), seconds=20)
    began = time.monotonic()

    check.stop()
    check.stop()

    assert time.monotonic() - began < 2
    with socket.create_server(("127.0.0.1", parties.ports[0][0])):
        pass  # the port is free for the engine
