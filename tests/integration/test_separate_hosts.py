"""Parties on hosts of their own: one network namespace each, with its own addresses and nothing shared but a cable.

Needs the right to make namespaces (root, or CAP_SYS_ADMIN and CAP_NET_ADMIN) and iproute2; skipped otherwise.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from compute.protocol.operations import JOINT_STATISTICS
from tests.factories.engines import Job
from tests.spec.cases import BASE, EAST_WEST, Owner

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
RELAY = "10.77.9.9"


class Hosts:
    """Namespaces `hs<pid>-<name>`, each with one cable to a middle one that forwards nothing unless asked to."""

    def __init__(self, closing: ExitStack) -> None:
        self._closing = closing
        self._count = 0
        self.middle = self._add("middle")
        ip("-n", self.middle, "addr", "add", f"{RELAY}/32", "dev", "lo")

    def add(self) -> tuple[str, str]:
        """Another host; its namespace and its address."""
        self._count += 1
        number = self._count
        name = self._add(f"h{number}")
        near, far = f"hs{os.getpid() % 10000}a{number}", f"hs{os.getpid() % 10000}b{number}"
        ip("link", "add", near, "netns", name, "type", "veth", "peer", "name", far, "netns", self.middle)
        ip("-n", name, "addr", "add", f"10.77.{number}.2/24", "dev", near)
        ip("-n", self.middle, "addr", "add", f"10.77.{number}.1/24", "dev", far)
        ip("-n", name, "link", "set", near, "up")
        ip("-n", self.middle, "link", "set", far, "up")
        ip("-n", name, "route", "add", f"{RELAY}/32", "via", f"10.77.{number}.1")
        return name, f"10.77.{number}.2"

    def join(self, name: str, number: int) -> None:
        """Let a host reach the others through the middle."""
        ip("-n", name, "route", "add", "10.77.0.0/16", "via", f"10.77.{number}.1")
        subprocess.run(
            ["ip", "netns", "exec", self.middle, "sysctl", "-qw", "net.ipv4.ip_forward=1"],
            check=True, capture_output=True,
        )  # fmt: skip

    def _add(self, name: str) -> str:
        full = f"hs{os.getpid()}-{name}"
        ip("netns", "add", full)
        self._closing.callback(subprocess.run, ["ip", "netns", "del", full], check=False)
        ip("-n", full, "link", "set", "lo", "up")
        return full


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"network namespaces cannot be made here: {done.stderr.strip()}")


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with ExitStack() as closing:
        try:
            made = Hosts(closing)
        except FileNotFoundError:
            pytest.skip("iproute2 is not installed")
        yield made


def job_of(tmp_path: Path, parties: int) -> Job:
    datasets = [Owner(range(60), EAST_WEST, BASE, seed=rank).write(tmp_path / f"data{rank}") for rank in range(parties)]
    parameters = {"group_by": ["district"], "values": ["base"], "filters": [], "min_group": 10}
    return Job(tmp_path, JOINT_STATISTICS, parameters, [*datasets])


def on_one_host(root: Path, parties: int) -> dict[str, Any]:
    """What the same rows give where nothing is between the parties."""
    root.mkdir()
    return job_of(root, parties).result()


def start(job: Job, rank: int, namespace: str, places: list[str], *, relay: str | None, seconds: float = 15) -> Any:
    """One party's process in its namespace."""
    told = {
        "rank": rank,
        "work": str(job.root / f"host{rank}"),
        "addresses": {peer: [f"{place}:{21000 + stage}" for stage in range(3)] for peer, place in enumerate(places)},
        "certificates": {peer: pem for peer, (pem, _) in enumerate(job.identities)},
        "key": job.identities[rank][1],
        "relay": relay,
        "seconds": seconds,
        "job": job.job,
        "request": job.request,
        "dataset": str(job.datasets[rank]),
    }
    command = ["ip", "netns", "exec", namespace, sys.executable, "-m", "tests.factories.host"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(told).encode())
    process.stdin.close()
    process.stdin = None
    return process


def answers(processes: list[Any]) -> list[dict[str, Any]]:
    return [json.loads(process.communicate(timeout=60)[0]) for process in processes]


def test_three_hosts_compute_over_their_own_addresses(hosts: Hosts, tmp_path: Path) -> None:
    made = [hosts.add() for _ in range(3)]
    for number, (name, _) in enumerate(made, 1):
        hosts.join(name, number)
    job, places = job_of(tmp_path, 3), [place for _, place in made]

    told = answers([start(job, rank, made[rank][0], places, relay=None) for rank in range(3)])

    assert [item["code"] for item in told] == ["", "", ""], told
    parts = [Path(item["part"]).read_bytes() for item in told]
    result = job.engine.open(parts, job=job.job, request=job.request).describe()
    assert result["cells"]
    assert result == on_one_host(tmp_path / "near", 3)
    assert told[0]["ways"]["1"] == [f"10.77.2.2:{21000 + stage}" for stage in range(3)]


def test_hosts_without_a_route_are_stopped_at_preflight_and_meet_at_a_relay(hosts: Hosts, tmp_path: Path) -> None:
    made = [hosts.add() for _ in range(2)]
    places = [place for _, place in made]
    (tmp_path / "cut").mkdir()
    (tmp_path / "met").mkdir()
    cut, met = job_of(tmp_path / "cut", 2), job_of(tmp_path / "met", 2)

    apart = answers([start(cut, rank, made[rank][0], places, relay=None, seconds=2) for rank in range(2)])
    command = ["ip", "netns", "exec", hosts.middle, sys.executable, "-m", "compute.node"]
    relay = subprocess.Popen([*command, "relay", "--host", "0.0.0.0", "--port", "21090"], cwd=ROOT)
    try:
        time.sleep(1.0)
        together = answers([start(met, rank, made[rank][0], places, relay=f"{RELAY}:21090") for rank in range(2)])
    finally:
        relay.terminate()
        relay.wait(10)

    assert [(item["code"], item["stage"]) for item in apart] == [("LINK_FAILED", "preflight")] * 2
    assert [item["code"] for item in together] == ["", ""], together
    assert all(way.startswith("127.0.0.1:") for item in together for ways in item["ways"].values() for way in ways[:1])
    parts = [Path(item["part"]).read_bytes() for item in together]
    result = met.engine.open(parts, job=met.job, request=met.request).describe()
    assert result["cells"]
    assert result == on_one_host(tmp_path / "near", 2)
