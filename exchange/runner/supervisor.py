"""Starts processes in order of dependency, waits until each answers, and leaves none behind.

Every child dies with the supervisor, also when that is killed with -9: the kernel sends it the stop
signal when its parent ends (PR_SET_PDEATHSIG). Output goes to one log file for each process.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_STOP_SECONDS = 15


class StartFailed(RuntimeError):
    """A process ended or stayed silent while it was being started; the message names its log."""


@dataclass(slots=True)
class Process:
    """One child: how to start it, how to tell that it is ready, how to stop it.

    Args:
        ready: returns True once the process serves; exceptions mean not yet.
        ready_seconds: how long it may take to become ready.
        owns_deathsig: the command sets its own parent-death signal (a user namespace clears ours).
    """

    name: str
    command: list[str]
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    ready_seconds: float = 60
    owns_deathsig: bool = False
    cwd: Path | None = None
    popen: subprocess.Popen[bytes] | None = None
    ready_at: float | None = None

    @property
    def pid(self) -> int | None:
        return self.popen.pid if self.popen else None

    def start(self, *, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                cwd=self.cwd,
                preexec_fn=self._in_child,
            )

    def is_running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def ask_to_stop(self) -> None:
        """Send the stop signal, and do not wait."""
        if self.popen is not None and self.popen.poll() is None:
            self.popen.send_signal(self.stop_signal)

    def end(self) -> None:
        """Wait until one that was asked to stop has ended; after a while make it."""
        if self.popen is None:
            return
        try:
            self.popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait(5)

    def stop(self) -> None:
        """Ask it to stop, then after a while make it."""
        self.ask_to_stop()
        self.end()

    def _in_child(self) -> None:
        os.setsid()
        if _LIBC.prctl(_PR_SET_PDEATHSIG, int(self.stop_signal)) != 0 or os.getppid() == 1:
            os._exit(1)


class Supervisor:
    """The processes of one stack, in the order they were started.

    Args:
        logs: directory of the log files, `NAME.log`.
        say: told in words what becomes ready and what fails.
    """

    def __init__(self, *, logs: Path, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._say = say
        self.processes: list[Process] = []
        self._servers: int | None = None  # how many of them the rest needs: the first batch, which may be empty

    def start(self, *batch: Process) -> None:
        """Start a batch side by side and return once each is ready.

        Raises:
            StartFailed: one of them ended or did not answer in time.
        """
        self.launch(*batch)
        self.wait(*batch)

    def launch(self, *batch: Process) -> None:
        """Start a batch side by side and return at once; `wait` for it before using it."""
        if self._servers is None:
            self._servers = len(batch)
        for process in batch:
            process.start(log=self._logs / f"{process.name}.log")
            self.processes.append(process)

    def wait(self, *batch: Process) -> None:
        """Return once each of a launched batch is ready.

        Raises:
            StartFailed: one of them ended or did not answer in time.
        """
        waiting = list(batch)
        began = time.monotonic()
        while waiting:
            for process in list(waiting):
                if not process.is_running():
                    code = process.popen.returncode if process.popen else None
                    raise StartFailed(f"{process.name} ended with {code}; see {self._logs / process.name}.log")
                if _answers(process.ready):
                    process.ready_at = time.monotonic()
                    waiting.remove(process)
                    self._say(f"{process.name} ready")
                elif time.monotonic() - began > process.ready_seconds:
                    log = self._logs / f"{process.name}.log"
                    raise StartFailed(f"{process.name} did not answer in {process.ready_seconds:.0f} s; see {log}")
            if waiting:
                time.sleep(0.05)

    def ended(self) -> Process | None:
        """The first process that has stopped by itself, if any."""
        return next((process for process in self.processes if not process.is_running()), None)

    def stop(self) -> None:
        """Stop everything: what was started first (databases, broker, chain) after all the rest has ended."""
        for wave in (self.processes[self._servers :], self.processes[: self._servers]):
            for process in wave:
                process.ask_to_stop()
            for process in wave:
                process.end()
        self.processes.clear()
        self._servers = None


def socket_answers(path: Path) -> Callable[[], bool]:
    """Ready when a Unix socket accepts a connection."""

    def ready() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            probe.connect(str(path))
        return True

    return ready


def port_answers(port: int) -> Callable[[], bool]:
    """Ready when a loopback port accepts a connection."""

    def ready() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True

    return ready


def page_answers(url: str) -> Callable[[], bool]:
    """Ready when a page on loopback answers 200."""

    def ready() -> bool:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback address
            return int(answer.status) == 200

    return ready


def file_exists(path: Path) -> Callable[[], bool]:
    """Ready when the process has written its ready file."""
    return path.exists


def free_ports(count: int, *, start: int) -> list[int]:
    """Consecutive loopback ports that nobody listens on, at or after `start`."""
    first = start
    while first + count < 65536:
        taken = next((port for port in range(first, first + count) if _is_taken(port)), None)
        if taken is None:
            return list(range(first, first + count))
        first = taken + 1
    raise StartFailed("no free loopback ports")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def _answers(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except OSError:
        return False
