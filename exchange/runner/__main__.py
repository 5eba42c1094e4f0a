"""`make demo`, `up`, `down`, `status` and `reset`.

python -m exchange.runner demo [--once] [--input FILE] [--mapping FILE]
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from exchange.kernel.errors import DomainError
from exchange.runner import demo, embedded
from exchange.runner.parties import StepFailed
from exchange.runner.supervisor import StartFailed
from exchange.runner.tables import InputInvalid

RUN = Path(os.environ.get("RUN_DIR", embedded.PROJECT / ".run"))
_PID = RUN / "supervisor.pid"
_UP_SECONDS = 240


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m exchange.runner", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("demo", help="start everything and play one purchase")
    run.add_argument("--once", action="store_true", help="headless: check every promise, print JSON, stop")
    run.add_argument("--input", type=Path, help="a CSV table to use instead of invented people")
    run.add_argument("--mapping", type=Path, help="how to split it over the nodes (TOML)")
    for name in ("up", "down", "status", "reset"):
        commands.add_parser(name)
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "demo":
            return _demo(once=chosen.once, source=chosen.input, mapping=chosen.mapping)
        return {"up": _up, "down": _down, "status": _status, "reset": _reset}[chosen.command]()
    except (StartFailed, StepFailed, InputInvalid, DomainError, embedded.MissingPart) as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _demo(*, once: bool, source: Path | None, mapping: Path | None) -> int:
    # TERM ends the demo the way Ctrl-C does: whatever was started is stopped on the way out.
    signal.signal(signal.SIGTERM, _interrupt)
    if once:
        directory = RUN.parent / f"{RUN.name}-once" / f"{os.getpid()}"
        shutil.rmtree(directory, ignore_errors=True)
        return demo.once(directory, source=source, mapping=mapping)
    RUN.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _running() is not None:
        print("A demo is running already; see `make status`, stop it with `make down`.", file=sys.stderr)
        return 1
    _PID.write_text(str(os.getpid()))
    try:
        return demo.interactive(RUN, source=source, mapping=mapping)
    finally:
        _PID.unlink(missing_ok=True)


def _up() -> int:
    if _running() is not None:
        return _status()
    RUN.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = RUN / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "exchange.runner", "demo"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=embedded.PROJECT,
        )
    deadline = time.monotonic() + _UP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None or demo.READY_LINE in log.read_text():
            break
        time.sleep(0.3)
    print(log.read_text(), end="")
    return 0 if process.poll() is None else 1


def _down() -> int:
    pid = _running()
    if pid is None:
        print("Nothing is running.")
        return 0
    os.kill(pid, signal.SIGTERM)
    for _ in range(300):
        if _running() is None:
            print("Stopped.")
            return 0
        time.sleep(0.1)
    print(f"Process {pid} has not stopped yet; look at {RUN / 'demo.log'}.", file=sys.stderr)
    return 1


def _status() -> int:
    state = RUN / "status.json"
    if _running() is None or not state.exists():
        print("Nothing is running. Start with `make up` or `make demo`.")
        return 1
    for part in json.loads(state.read_text()):
        alive = "running" if _is_alive(part["pid"]) else "ended"
        print(f"{part['name']:<14}{alive:<10}pid {part['pid']:<8}{part['log']}")
    return 0


def _reset() -> int:
    if _running() is not None:
        return 1
    shutil.rmtree(RUN, ignore_errors=True)
    print(f"Forgot {RUN}.")
    return 0


def _running() -> int | None:
    """The pid of the demo of this directory, if it is really that: a pid alone may have been reused."""
    try:
        pid = int(_PID.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if b"exchange.runner" in command else None


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
