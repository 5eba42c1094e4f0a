"""One run in a process of its own: `python -I -m compute.engines.worker WORKDIR`.

Reads what `launcher.write_job` put into the private directory, runs the engine, writes the part and then
`result.json` atomically, and leaves by `os._exit`: native libraries may still abort while they are torn
down, so the parent judges by the file. Standard output carries progress as JSON lines and nothing else;
whatever libraries print goes to `engine.log` in the same directory, which is deleted with it. No row, no
identifier and no exception text is ever printed or put into the result.

Bounds: no core files, limits of address space, processor time, file size and open files, the run's deadline
as an alarm that needs no Python to strike, and death together with the parent.
"""

import ctypes
import errno
import hashlib
import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from compute.engines import columns, link, registry
from compute.engines.base import BUCKET_ROWS, MAX_PART_BYTES, StageContext
from compute.engines.errors import EngineRefused
from ledger.proofs import statements

JOB_FILE = "job.json"
PART_FILE = "part.json"
RESULT_FILE = "result.json"
LOG_FILE = "engine.log"
_PR_SET_PDEATHSIG = 1
EXIT_DISK_FULL = 74  # EX_IOERR: not even the result file could be written
_MAX_FILES = 4096  # brpc and XLA hold some hundred; a leak stops here and not at the machine's limit
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ALARM_GRACE_SECONDS = 1.0  # link.py raises DEADLINE first when it is the one that waits
# As C++, the loader of shared objects and the threads say that there is no more memory.
_MEMORY_WORDS = ("bad_alloc", "failed to map segment", "annot allocate memory", "can't start new thread")
_LINK_WORDS = ("timeout", "timed out", "connect to mesh failed", "Got EOF", "recv failed", "send failed", "Broken pipe")


def main(arguments: list[str]) -> NoReturn:
    """Run the job of one work directory."""
    work_dir = Path(arguments[0])
    started = time.monotonic()
    out = _redirect_output(work_dir / LOG_FILE)
    spec = json.loads((work_dir / JOB_FILE).read_text(encoding="utf-8"))
    _bound(spec)

    def progress(stage: str, percent: int) -> None:
        out.write(json.dumps({"stage": stage, "percent": percent, "bytes": link.sent_bytes()}) + "\n")
        out.flush()

    try:
        context = _context(work_dir, spec, deadline=started + spec["deadline_seconds"], progress=progress)
        part = registry.get(spec["job"]["engine"]).run(context)
    except EngineRefused as error:
        finish(work_dir, {"ok": False, "code": error.code})
    except MemoryError:
        finish(work_dir, {"ok": False, "code": "OOM"})
    except Exception as error:  # noqa: BLE001 - a foreign library may raise anything; only a code goes out
        _note(work_dir, error)
        finish(work_dir, {"ok": False, "code": _code_of(error)})
    if len(part) > MAX_PART_BYTES:
        finish(work_dir, {"ok": False, "code": "PARTITION_TOO_LARGE"})
    try:
        _write(work_dir / PART_FILE, part)
    except OSError as error:
        finish(work_dir, {"ok": False, "code": _code_of(error)})
    usage = resource.getrusage(resource.RUSAGE_SELF)
    finish(
        work_dir,
        {
            "ok": True,
            "part_sha256": hashlib.sha256(part).hexdigest(),
            "seconds": round(time.monotonic() - started, 3),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_mb": _peak_kb() // 1024,
        },
    )


def finish(work_dir: Path, result: Mapping[str, Any]) -> NoReturn:
    """Write the result atomically and leave without tearing anything down."""
    try:
        _write(work_dir / RESULT_FILE, json.dumps(result).encode())
    except OSError:
        os._exit(EXIT_DISK_FULL)
    os._exit(0)


def _peak_kb() -> int:
    """The most memory that this process held at once.

    Not `ru_maxrss`: the kernel carries that over from the process that started us, so that a run of 30 MB below a
    parent of 2 GB would report 2 GB. `VmHWM` begins with our own address space.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _redirect_output(log: Path) -> Any:
    """Keep standard output for progress; send what libraries print, also from C++, to the log."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    return out


def _bound(spec: Mapping[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    memory = spec["memory_mb"] * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    _limit(resource.RLIMIT_FSIZE, spec["file_mb"] * 1024 * 1024)
    _limit(resource.RLIMIT_NOFILE, _MAX_FILES)
    # Every core at work until the deadline: more is a process that the alarm did not stop.
    _limit(resource.RLIMIT_CPU, math.ceil(spec["deadline_seconds"] + 2) * (os.cpu_count() or 1))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, spec["deadline_seconds"] + _ALARM_GRACE_SECONDS)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != spec["parent"]:  # it died before we asked to be told
        os._exit(1)


def _limit(kind: int, value: int) -> None:
    """Lower a limit; one that is lower already stays."""
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _context(work_dir: Path, spec: Mapping[str, Any], *, deadline: float, progress: Any) -> StageContext:
    return StageContext(
        job=spec["job"],
        job_digest=statements.digest(spec["job"]),
        request=spec["request"],
        rank=spec["rank"],
        work_dir=work_dir,
        addresses={int(rank): tuple(found) for rank, found in spec["addresses"].items()},
        certificate_paths={int(rank): work_dir / name for rank, name in spec["certificates"].items()},
        key_path=work_dir / spec["key"],
        dataset=None if spec["dataset"] is None else _pinned(Path(spec["dataset"]), work_dir, spec),
        min_group=spec["min_group"],
        deadline=deadline,
        progress=progress,
        state=None if spec["state"] is None else Path(spec["state"]),
        bucket_rows=int(spec.get("bucket_rows", BUCKET_ROWS)),
    )


def _pinned(dataset: Path, work_dir: Path, spec: Mapping[str, Any]) -> Path:
    """The run's own view of its rows: from here on every chunk is the one that the job's commitment speaks of."""
    party = spec["job"]["parties"][spec["rank"]]
    own = spec["request"]["parameters"].get("input", {}) if party.get("role") == "requester" else {}
    commitment = party.get("dataset_commitment") or own.get("commitment")
    if dataset.is_file():
        return dataset.parent  # the node says that it is of the old form, and has checked it
    if commitment is None and not columns.is_stored(dataset):
        return dataset
    try:
        return columns.pin(dataset, work_dir / "dataset", commitment=commitment)
    except columns.Damaged:
        raise EngineRefused("COMMITMENT", "The dataset is not the one that the job names; add it again.") from None


def _code_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return "DISK_FULL"
    text = str(error)
    if "No space left on device" in text or "File too large" in text:  # by the libraries, in their own words
        return "DISK_FULL"
    if any(word in text for word in _MEMORY_WORDS) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "OOM"
    return "PEER_LOST" if any(word in text for word in _LINK_WORDS) else "ENGINE_ERROR"


def _note(work_dir: Path, error: Exception) -> None:
    """Say in the log what kind of error it was and where; its text may quote data, so it is left out."""
    trace = error.__traceback__
    with suppress(OSError), (work_dir / LOG_FILE).open("a", encoding="utf-8") as log:
        while trace is not None:
            log.write(f"{type(error).__name__} at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}\n")
            trace = trace.tb_next


if __name__ == "__main__":
    main(sys.argv[1:])
