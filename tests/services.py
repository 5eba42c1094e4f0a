"""pytest plugin: a throw-away PostgreSQL and Valkey, started before Django reads its settings.

`DATABASE_URL` and `REDIS_URL`, where set, replace them. anvil is started by the fixture `chain_rpc`
in tests/conftest.py, only where a test asks for it.

With several workers (pytest-xdist) the first process starts the servers for all of them. Each worker has a
database of its own in the one PostgreSQL (pytest-django names it), and a numbered one in the one Valkey.
"""

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from exchange.runner import embedded


def _wait_for_socket(path: Path, process: subprocess.Popen, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} exited with {process.returncode}")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                time.sleep(0.05)
            else:
                return
    raise RuntimeError(f"{path} did not answer within {seconds} s")


def _start(command: list[str], log: Path) -> subprocess.Popen:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd="/")
    atexit.register(_stop, process)
    return process


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def worker_number() -> int:
    """Which of pytest-xdist's workers this process is, from 1; 0 where there are none."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw-1").removeprefix("gw")) + 1


def _start_services() -> None:
    directory = Path(tempfile.mkdtemp(prefix="hengshu-test-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    os.environ["RUN_DIR"] = str(directory)
    (directory / "static").mkdir()  # whitenoise warns where its root is missing, and warnings are errors
    os.environ.setdefault("SECRET_KEY", "tests only, never deployed")
    os.environ.setdefault("EMAIL_URL", "memorymail://")
    if "DATABASE_URL" not in os.environ:
        cluster = embedded.postgres(directory / "postgres")
        atexit.register(shutil.rmtree, cluster.directory, ignore_errors=True)
        cluster.initialise()
        process = _start(cluster.command(durable=False), directory / "postgres.log")
        _wait_for_socket(cluster.socket, process)
        os.environ["DATABASE_URL"] = cluster.url
    if "REDIS_URL" not in os.environ:
        process = _start(embedded.valkey_command(directory / "valkey"), directory / "valkey.log")
        _wait_for_socket(directory / "valkey" / "valkey.sock", process)
        os.environ["REDIS_URL"] = embedded.valkey_url(directory / "valkey")
    if worker_number():
        os.environ["REDIS_URL"] += f"{'&' if '?' in os.environ['REDIS_URL'] else '?'}db={worker_number()}"


_start_services()
