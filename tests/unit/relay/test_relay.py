"""The blind relay: parties that cannot meet do meet, nothing readable passes, and nobody can fill it."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from compute.engines import launcher
from compute.node import relay, relaying
from compute.node.linkcheck import LinkCheck
from compute.node.relay import Limits
from compute.node.relaying import Gateway
from compute.protocol.operations import JOINT_STATISTICS
from tests.factories.engines import Job, free_ports
from tests.factories.links import Parties, RunningRelay, greeting, together
from tests.spec.cases import BASE, EAST_WEST, Owner

TOKEN = b"t" * 32
WHOLE_RUN_BYTES = 2360  # measured; about 1,700 of them are the handshake


@pytest.fixture
def running() -> Iterator[RunningRelay]:
    made = RunningRelay(Limits(connections=12, hello_seconds=0.5, parked_seconds=2, dial_seconds=0.5, idle_seconds=1))
    yield made
    made.stop()


def hello(running: RunningRelay, kind: bytes, token: bytes = TOKEN) -> socket.socket:
    host, _, port = running.address.rpartition(":")
    made = socket.create_connection((host, int(port)), timeout=5)
    made.sendall(relay.MAGIC + kind + token)
    return made


def is_hung_up(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:  # with words of ours unread
        return True


# --- the wire -------------------------------------------------------------------------------------------------


def test_two_who_name_one_token_are_joined(running: RunningRelay) -> None:
    with hello(running, relay.LISTEN) as parked, hello(running, relay.DIAL) as caller:
        assert (parked.recv(1), caller.recv(1)) == (relay.JOINED, relay.JOINED)
        caller.sendall(b"from the caller")
        parked.sendall(b"from the parked")
        assert parked.recv(100) == b"from the caller"
        assert caller.recv(100) == b"from the parked"
        caller.close()
        assert parked.recv(1) == b""


def test_a_caller_before_the_line_is_parked_waits_a_moment(running: RunningRelay) -> None:
    with hello(running, relay.DIAL) as caller:
        time.sleep(0.1)
        with hello(running, relay.LISTEN) as parked:
            assert (parked.recv(1), caller.recv(1)) == (relay.JOINED, relay.JOINED)


@pytest.mark.parametrize(
    "words",
    [
        b"GET / HTTP/1.0\r\n\r\n" + b" " * 40,
        relay.MAGIC + b"X" + TOKEN,
        b"HSR2L" + TOKEN,
        relay.MAGIC + b"D" + b"u" * 32,
        b"",
    ],
)
def test_others_are_hung_up_on(running: RunningRelay, words: bytes) -> None:
    host, _, port = running.address.rpartition(":")
    with hello(running, relay.LISTEN) as parked, socket.create_connection((host, int(port)), timeout=5) as stranger:
        stranger.sendall(words)
        assert is_hung_up(stranger)
        parked.settimeout(0.2)
        with pytest.raises(TimeoutError):
            parked.recv(1)  # still waits for its own token


def test_silence_ends_a_line(running: RunningRelay) -> None:
    with hello(running, relay.LISTEN) as parked, hello(running, relay.DIAL) as caller:
        assert caller.recv(1) == parked.recv(1) == relay.JOINED
        began = time.monotonic()
        assert caller.recv(1) == b""
        assert time.monotonic() - began < 3


def test_no_more_connections_than_it_is_allowed(running: RunningRelay) -> None:
    with ExitStack() as closing:
        for number in range(12):
            closing.enter_context(hello(running, relay.LISTEN, bytes([number]) * 32))
        time.sleep(0.1)
        with hello(running, relay.DIAL, bytes([3]) * 32) as late:
            assert is_hung_up(late)
    time.sleep(0.3)
    with hello(running, relay.LISTEN) as parked, hello(running, relay.DIAL) as caller:  # and again when they left
        assert (parked.recv(1), caller.recv(1)) == (relay.JOINED, relay.JOINED)


def test_a_token_is_of_one_job_one_party_and_one_stage(tmp_path: Path) -> None:
    parties = Parties(tmp_path)
    (first, _), (second, _) = parties.identities
    named = {
        relaying.token(job_digest=digest, certificate=pem, stage=stage)
        for digest in ("ab" * 32, "cd" * 32)
        for pem in (first, second)
        for stage in range(3)
    }

    assert len(named) == 12


# --- real parties through it ----------------------------------------------------------------------------------


def test_links_are_found_through_the_relay_where_the_address_is_dead(tmp_path: Path) -> None:
    """Party 1 cannot be reached: the address it tells is dead, and it has a line at the relay."""
    parties, running = Parties(tmp_path, stages=3), RunningRelay()
    gateways = [parties.gateway(rank, {1: running.address}) for rank in range(2)]
    told = {0: parties.addresses(0), 1: [f"127.0.0.1:{port}" for port in free_ports(3)]}
    try:
        found = together(
            [
                lambda: LinkCheck(
                    parties.links(0, addresses=told, other_ways=gateways[0].addresses), greeting(0), seconds=10
                ),
                lambda: LinkCheck(parties.links(1), greeting(1), seconds=10),
            ]
        )
    finally:
        for gateway in gateways:
            gateway.stop()
        running.stop()

    assert found[0] == ({1: greeting(1)}, {1: gateways[0].addresses[1]})
    assert found[1] == ({0: greeting(0)}, {0: parties.addresses(0)})


def test_an_address_that_answers_is_preferred(tmp_path: Path) -> None:
    parties, running = Parties(tmp_path), RunningRelay()
    gateways = [parties.gateway(rank, {1: running.address}) for rank in range(2)]
    try:
        second = LinkCheck(parties.links(1), greeting(1), seconds=10)
        time.sleep(0.3)
        links = parties.links(0, other_ways=gateways[0].addresses)
        found = together([lambda: LinkCheck(links, greeting(0), seconds=10), lambda: second])
    finally:
        for gateway in gateways:
            gateway.stop()
        running.stop()

    assert found[0][1] == {1: parties.addresses(1)}
    assert running.relay.joined == 0


@pytest.fixture
def joint(tmp_path: Path) -> Job:
    datasets = [Owner(range(60), EAST_WEST, BASE, seed=rank).write(tmp_path / f"data{rank}") for rank in range(2)]
    parameters = {"group_by": ["district"], "values": ["base"], "filters": [], "min_group": 10}
    return Job(tmp_path, JOINT_STATISTICS, parameters, [*datasets])


def _through(job: Job, running: RunningRelay) -> tuple[list[launcher.Run], list[Gateway]]:
    """Both engines, each told only the local end of the relay as the other's address."""
    digest = "ab" * 32
    direct = {rank: [f"127.0.0.1:{port}" for port in ports] for rank, ports in enumerate(job.ports)}
    gateways = [
        Gateway(
            job_digest=digest,
            own=direct[rank],
            certificate=job.identities[rank][0],
            own_relay=running.address,
            peers={1 - rank: (running.address, job.identities[1 - rank][0])},
            stages=1,
        )
        for rank in range(2)
    ]
    runs = [
        job.start(rank, addresses={rank: direct[rank], 1 - rank: gateways[rank].addresses[1 - rank] * 3})
        for rank in range(2)
    ]
    return runs, gateways


@pytest.mark.engine
def test_real_engines_compute_through_it_and_it_sees_nothing(joint: Job) -> None:
    running = RunningRelay()
    runs, gateways = _through(joint, running)
    try:
        for run in runs:
            run.wait()
        result = joint.engine.open([run.part() for run in runs], job=joint.job, request=joint.request).describe()
    finally:
        for gateway in gateways:
            gateway.stop()
        running.stop()

    assert result["cells"]
    assert running.relay.joined >= 1
    seen = running.seen
    assert len(seen) > 2000
    # Every direction begins with a TLS handshake record; no word of the engines' messages is readable.
    assert seen[:3] in (b"\x16\x03\x01", b"\x16\x03\x03")
    for word in (b"district", b"East", b"West", b"base", b"magnitude", b"categories", b'"job"', b"9901011980"):
        assert word not in seen, word
    for pem, _ in joint.identities:  # TLS 1.3 hides the certificates, too
        assert certificate_name(pem) not in seen


def certificate_name(pem: str) -> bytes:
    from cryptography import x509

    return str(x509.load_pem_x509_certificate(pem.encode()).subject.rfc4514_string()).partition("=")[2].encode()


def test_the_same_words_would_be_seen_without_tls() -> None:
    """The sister: what is sent in the clear through the same relay is found in what it saw."""
    running = RunningRelay()
    with hello(running, relay.LISTEN) as parked, hello(running, relay.DIAL) as caller:
        assert (parked.recv(1), caller.recv(1)) == (relay.JOINED, relay.JOINED)
        caller.sendall(b'{"district": "East"}')
        parked.recv(100)
    running.stop()

    assert b"district" in running.seen


@pytest.mark.engine
@pytest.mark.parametrize("share", [0.8, 0.9, 0.98])
def test_a_relay_cut_in_the_middle_is_a_lost_peer_and_leaves_no_part(joint: Job, share: float) -> None:
    running = RunningRelay(cut_after=int(share * WHOLE_RUN_BYTES))
    runs, gateways = _through(joint, running)
    try:
        for run in runs:
            run.wait()
        assert {run.code() for run in runs} == {"PEER_LOST"}
    finally:
        for gateway in gateways:
            gateway.stop()
        running.stop()
    assert not list(joint.root.glob("party*/part.json"))
