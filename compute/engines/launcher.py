"""Starting, watching and stopping one engine process; standard library only, the node's daemon uses it.

`write_job` fills a private directory, `start` runs `compute.engines.worker` on it, and the `Run` it returns
tells progress and, once finished, the part or a stable code. The directory is the caller's to delete.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compute.engines.errors import FAILURE_CODES, EngineRefused

JOB_FILE, PART_FILE, RESULT_FILE, LOG_FILE = "job.json", "part.json", "result.json", "engine.log"
DEFAULT_MEMORY_MB = 32 * 1024  # address space, not memory: SPU and XLA map far more than they touch
DEFAULT_FILE_MB = 64 * 1024  # one file: the keys of 10^8 persons are 6.5 GB
_EXIT_DISK_FULL = 74  # worker.EXIT_DISK_FULL; importing the worker would load the engines' registry
_GRACE_SECONDS = 3.0  # after the deadline, before the process is killed from outside

_TRACE = re.compile(r"(/tmp/psi_[A-Za-z0-9_-]{1,200}\.trace)")

_SENTENCES = {
    "PEER_LOST": "A peer was lost during the run; nothing was released. Submit again.",
    "DEADLINE": "The run passed its deadline; nothing was released. Submit again later.",
    "CANCELLED": "The run was stopped.",
    "OOM": "The engine ran out of memory; give the node more or ask for fewer columns.",
    "DISK_FULL": "The node's disk is full; free space in its work directory and submit again.",
    "ENGINE_CRASH": "The engine process ended abnormally; submit again and read engine.log if it repeats.",
    "ENGINE_ERROR": "The engine reported an error; submit again and read engine.log if it repeats.",
}


def write_job(
    work_dir: Path,
    *,
    job: Mapping[str, Any],
    request: Mapping[str, Any],
    rank: int,
    addresses: Mapping[int, Sequence[str]],
    certificates: Mapping[int, str],
    private_key: str,
    dataset: Path | None,
    min_group: int,
    deadline_seconds: float,
    memory_mb: int = DEFAULT_MEMORY_MB,
    file_mb: int = DEFAULT_FILE_MB,
    state: Path | None = None,
    bucket_rows: int | None = None,
) -> None:
    """Write everything one run may know into its directory, which must exist and be private (0700).

    Args:
        addresses, certificates: by rank, this party's own included; certificates as PEM text.
        private_key: PEM of the key that belongs to this party's certificate.
        dataset: directory of the verified dataset version, or its `data.csv` if it is of the old form; None without
            data.
        min_group: the k this node insists on; the job's own is kept when larger.
        bucket_rows: above so many rows tables are matched by buckets; None for the engines' own bound.
        state: directory that the engine keeps from run to run; None for engines that keep nothing.
    """
    names = {}
    for peer, pem in certificates.items():
        names[str(peer)] = f"party{peer}.pem"
        _create(work_dir / names[str(peer)], pem.encode())
    _create(work_dir / "link.key.pem", private_key.encode())
    spec = {
        "job": dict(job),
        "request": dict(request),
        "rank": rank,
        "addresses": {str(peer): list(found) for peer, found in addresses.items()},
        "certificates": names,
        "key": "link.key.pem",
        "dataset": None if dataset is None else str(dataset.resolve()),
        "min_group": min_group,
        "deadline_seconds": deadline_seconds,
        "memory_mb": memory_mb,
        "file_mb": file_mb,
        "state": None if state is None else str(state.resolve()),
        "parent": os.getpid(),
        **({} if bucket_rows is None else {"bucket_rows": bucket_rows}),
    }
    _create(work_dir / JOB_FILE, json.dumps(spec, ensure_ascii=False).encode())


def start(work_dir: Path, *, deadline_seconds: float) -> "Run":
    """Start the worker on a written job.

    Call it from a thread that lives as long as the run: the worker dies with the thread that started it.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "compute.engines.worker", str(work_dir)],
        cwd=work_dir,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(work_dir),
            "TMPDIR": str(work_dir),
            "JAX_PLATFORMS": "cpu",
            "MALLOC_ARENA_MAX": "2",  # one for each of the libraries' threads keeps what bucket after bucket frees
        },
        start_new_session=True,
    )
    return Run(process, work_dir, deadline=time.monotonic() + deadline_seconds + _GRACE_SECONDS)


def remove_traces(work_dir: Path) -> None:
    """Remove the timing traces that the matching library leaves in /tmp whatever TMPDIR says; its log names them.

    The worker does this itself; it is asked again from outside, because a worker may end at any line.
    """
    try:
        log = (work_dir / LOG_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for name in _TRACE.findall(log):
        Path(name).unlink(missing_ok=True)


class Run:
    """One started run; safe to ask from any thread."""

    def __init__(self, process: "subprocess.Popen[bytes]", work_dir: Path, *, deadline: float) -> None:
        self._process = process
        self._work_dir = work_dir
        self._deadline = deadline
        self._latest = ("link", 0)
        self._sent = 0
        self._ended_by = ""
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read_progress, daemon=True, name="engine-progress")
        self._reader.start()

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def progress(self) -> tuple[str, int]:
        """The stage and its percentage, as last told."""
        return self._latest

    def sent_bytes(self) -> int:
        """What the process had sent over its meshes when it last told its progress."""
        return self._sent

    def is_finished(self) -> bool:
        """Whether the process has ended; ends it when its deadline is past."""
        if self._process.poll() is None and time.monotonic() > self._deadline:
            self._kill("DEADLINE")
        return self._process.poll() is not None

    def wait(self, *, poll_seconds: float = 0.05) -> None:
        """Block until the process has ended, at the latest shortly after its deadline."""
        while not self.is_finished():
            time.sleep(poll_seconds)

    def stop(self) -> None:
        """Kill the process and wait for it, leaving nothing in /tmp; may be called twice, and after the end."""
        self._kill("CANCELLED")
        remove_traces(self._work_dir)

    def part(self) -> bytes:
        """This party's plaintext part.

        Raises:
            EngineRefused: the run ended without one; `code` is stable, `failure_code` is what a report says.
        """
        code = self.code()
        if code:
            raise EngineRefused(code, _SENTENCES.get(code, "The engine refused the query; change the request."))
        return (self._work_dir / PART_FILE).read_bytes()

    def code(self) -> str:
        """Why the run ended without a part; empty when it has one. Judged by the result file, then by the exit."""
        if self._process.poll() is None:
            raise RuntimeError("the run has not ended; call wait first")
        result = self.result()
        if self._ended_by:
            return self._ended_by
        if result.get("ok") is True:
            return ""
        if result.get("code") in FAILURE_CODES:
            return str(result["code"])
        return self._code_of_exit()

    def result(self) -> dict[str, Any]:
        """The worker's result file (seconds, peak memory, code); empty without one."""
        try:
            found = json.loads((self._work_dir / RESULT_FILE).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def ending(self) -> dict[str, Any]:
        """How the process ended, for the node's own journal: counts and codes only."""
        status = self._process.poll()
        result = self.result()
        return {
            "code": self.code() if status is not None else "",
            "signal": signal.Signals(-status).name if status is not None and status < 0 else None,
            "exit": status,
            "peak_mb": int(result.get("peak_mb", 0)),
        }

    def _code_of_exit(self) -> str:
        status = self._process.returncode
        if status in (-signal.SIGALRM, -signal.SIGXCPU):
            return "DEADLINE"
        if status in (_EXIT_DISK_FULL, -signal.SIGXFSZ):
            return "DISK_FULL"
        if status == -signal.SIGKILL:
            return "OOM"  # not by us: the kernel
        if status == -signal.SIGABRT:  # SPU aborts when its peer is gone
            return "OOM" if b"bad_alloc" in self._log() else "PEER_LOST"
        if b"bad_alloc" in self._log() or b"MemoryError" in self._log():
            return "OOM"
        return "ENGINE_CRASH"

    def _log(self) -> bytes:
        try:
            return (self._work_dir / LOG_FILE).read_bytes()[-65536:]
        except OSError:
            return b""

    def _kill(self, reason: str) -> None:
        with self._lock:
            if self._process.poll() is None:
                self._ended_by = reason
                try:
                    os.killpg(self._process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    self._ended_by = ""
            self._process.wait()

    def _read_progress(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with stream:
            for line in stream:
                try:
                    told = json.loads(line)
                    self._latest = (str(told["stage"]), int(told["percent"]))
                    self._sent = int(told.get("bytes", 0))
                except (ValueError, KeyError, TypeError):
                    continue


def _create(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
