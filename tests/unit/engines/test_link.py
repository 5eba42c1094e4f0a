"""The mesh: mutual TLS 1.3 in which nothing but the pinned certificate counts."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from compute.engines import certificates, link
from compute.engines.base import StageContext
from compute.engines.errors import LinkLost
from tests.factories.engines import free_ports


@pytest.fixture
def contexts(tmp_path: Path) -> Callable[[int], list[StageContext]]:
    def make(parties: int, seconds: float = 10.0) -> list[StageContext]:
        ports = free_ports(parties)
        now = datetime.now(UTC)
        for rank in range(parties):
            pem, key = certificates.make(now=now, until=now + timedelta(hours=1))
            (tmp_path / f"{rank}.pem").write_text(pem)
            (tmp_path / f"{rank}.key").write_text(key)
        return [
            StageContext(
                job={"parties": [{}] * parties, "min_group": 10},
                job_digest="0" * 64,
                request={},
                rank=rank,
                work_dir=tmp_path,
                addresses={peer: [f"127.0.0.1:{port}"] for peer, port in enumerate(ports)},
                certificate_paths={peer: tmp_path / f"{peer}.pem" for peer in range(parties)},
                key_path=tmp_path / f"{rank}.key",
                dataset=None,
                min_group=10,
                deadline=time.monotonic() + seconds,
            )
            for rank in range(parties)
        ]

    return make


def together(contexts: list[StageContext], act: Callable[[link.Mesh, int], Any]) -> list[Any]:
    def one(context: StageContext) -> Any:
        try:
            with link.connect(context) as mesh:
                return act(mesh, context.rank)
        except LinkLost as lost:
            return lost.code

    with ThreadPoolExecutor(len(contexts)) as pool:
        return list(pool.map(one, contexts))


def impostor(context: StageContext, directory: Path) -> StageContext:
    now = datetime.now(UTC)
    pem, key = certificates.make(now=now, until=now + timedelta(hours=1))
    (directory / "evil.pem").write_text(pem)
    (directory / "evil.key").write_text(key)
    paths = {**context.certificate_paths, context.rank: directory / "evil.pem"}
    return replace(context, certificate_paths=paths, key_path=directory / "evil.key")


def test_three_parties_exchange_large_messages_without_blocking_each_other(contexts):
    large = 3 * 1024 * 1024

    found = together(contexts(3), lambda mesh, rank: mesh.broadcast(bytes([rank]) * large))

    assert [sorted(received) for received in found] == [[1, 2], [0, 2], [0, 1]]
    assert all(data == bytes([peer]) * large for received in found for peer, data in received.items())


def test_a_server_with_another_certificate_is_refused(contexts, tmp_path):
    both = contexts(2, 3.0)

    found = together([impostor(both[0], tmp_path), both[1]], lambda mesh, rank: mesh.broadcast(b""))

    assert found == ["PEER_LOST", "LINK_REFUSED"]


def test_a_client_with_another_certificate_is_refused(contexts, tmp_path):
    both = contexts(2, 3.0)

    found = together([both[0], impostor(both[1], tmp_path)], lambda mesh, rank: mesh.broadcast(b""))

    assert found == ["PEER_LOST", "PEER_LOST"]


def test_a_stranger_at_the_door_does_not_end_the_run(contexts):
    both = contexts(2)
    host, port = link.split_address(both[0].addresses[0][0])

    def knock() -> None:
        for _ in range(50):
            try:
                with socket.create_connection((host, port), timeout=1) as door:
                    door.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    return
            except OSError:
                time.sleep(0.02)

    stranger = threading.Thread(target=knock)
    stranger.start()
    found = together(both, lambda mesh, rank: mesh.broadcast(b"hello"))
    stranger.join()

    assert found == [{1: b"hello"}, {0: b"hello"}]


def test_a_peer_that_hangs_up_is_noticed_at_once(contexts):
    noticed = threading.Event()

    def act(mesh: link.Mesh, rank: int) -> str:
        if rank == 1:
            return "left"
        mesh.watch(noticed.set)
        assert noticed.wait(5)
        mesh.broadcast(b"are you there")
        return "answered"

    assert together(contexts(2), act) == ["PEER_LOST", "left"]


def test_a_silent_peer_ends_with_the_deadline(contexts):
    def act(mesh: link.Mesh, rank: int) -> str:
        if rank == 0:
            mesh.broadcast(b"hello")
            return "answered"
        time.sleep(2.5)
        return "silent"

    assert together(contexts(2, 1.5), act)[0] == "PEER_LOST"


def test_an_oversized_frame_is_refused_before_it_is_read(contexts, monkeypatch):
    monkeypatch.setattr(link, "MAX_FRAME_BYTES", 10)
    assert together(contexts(2), lambda mesh, rank: mesh.broadcast(b"x" * 11)) == ["PEER_LOST", "PEER_LOST"]


def test_every_certificate_has_a_name_of_its_own():
    # OpenSSL finds a trusted certificate by its name: equal names would shadow each other in a trust file.
    now = datetime.now(UTC)
    first, second = (certificates.make(now=now, until=now)[0] for _ in range(2))
    assert certificates.fingerprint(first) != certificates.fingerprint(second)
