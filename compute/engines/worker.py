"""One run in a process of its own: `python -I -m compute.engines.worker WORKDIR`.

Reads what `launcher.write_job` put into the private directory, runs the engine, writes the part and then
`result.json` atomically, and leaves by `os._exit`: native libraries may still abort while they are torn
down, so the parent judges by the file. Standard output carries progress as JSON lines and nothing else;
whatever libraries print goes to `engine.log` in the same directory, which is deleted with it. No row, no
identifier and no exception text is ever printed or put into the result.

Bounds: no core files, an address space limit, the run's deadline as an alarm that needs no Python to
strike, and death together with the parent.
"""

import ctypes
import hashlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from compute.engines import registry
from compute.engines.base import MAX_PART_BYTES, StageContext
from compute.engines.errors import EngineRefused
from ledger.proofs import statements

JOB_FILE = "job.json"
PART_FILE = "part.json"
RESULT_FILE = "result.json"
LOG_FILE = "engine.log"
_PR_SET_PDEATHSIG = 1
_ALARM_GRACE_SECONDS = 1.0  # link.py raises DEADLINE first when it is the one that waits
_LINK_WORDS = ("timeout", "timed out", "connect to mesh failed", "Got EOF", "recv failed", "send failed", "Broken pipe")


def main(arguments: list[str]) -> NoReturn:
    """Run the job of one work directory."""
    work_dir = Path(arguments[0])
    started = time.monotonic()
    out = _redirect_output(work_dir / LOG_FILE)
    spec = json.loads((work_dir / JOB_FILE).read_text(encoding="utf-8"))
    _bound(spec)

    def progress(stage: str, percent: int) -> None:
        out.write(json.dumps({"stage": stage, "percent": percent}) + "\n")
        out.flush()

    context = _context(work_dir, spec, deadline=started + spec["deadline_seconds"], progress=progress)
    try:
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
    _write(work_dir / PART_FILE, part)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    finish(
        work_dir,
        {
            "ok": True,
            "part_sha256": hashlib.sha256(part).hexdigest(),
            "seconds": round(time.monotonic() - started, 3),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_mb": usage.ru_maxrss // 1024,
        },
    )


def finish(work_dir: Path, result: Mapping[str, Any]) -> NoReturn:
    """Write the result atomically and leave without tearing anything down."""
    _write(work_dir / RESULT_FILE, json.dumps(result).encode())
    os._exit(0)


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
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, spec["deadline_seconds"] + _ALARM_GRACE_SECONDS)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != spec["parent"]:  # it died before we asked to be told
        os._exit(1)


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
        dataset=None if spec["dataset"] is None else Path(spec["dataset"]),
        min_group=spec["min_group"],
        deadline=deadline,
        progress=progress,
        state=None if spec["state"] is None else Path(spec["state"]),
    )


def _code_of(error: Exception) -> str:
    text = str(error)
    if "bad_alloc" in text:
        return "OOM"
    return "PEER_LOST" if any(word in text for word in _LINK_WORDS) else "ENGINE_ERROR"


def _note(work_dir: Path, error: Exception) -> None:
    """Say in the log what kind of error it was and where; its text may quote data, so it is left out."""
    trace = error.__traceback__
    with (work_dir / LOG_FILE).open("a", encoding="utf-8") as log:
        while trace is not None:
            log.write(f"{type(error).__name__} at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}\n")
            trace = trace.tb_next


if __name__ == "__main__":
    main(sys.argv[1:])
