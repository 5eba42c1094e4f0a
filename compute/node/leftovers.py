"""What runs leave on a node's disk: directories, which go with them, and the newest logs of engines that failed."""

import shutil
from pathlib import Path

from compute.engines import launcher

KEPT_LOGS = 20


def wipe(work_dir: Path) -> None:
    """Remove a run's directory, and what its libraries left elsewhere."""
    launcher.remove_traces(work_dir / "engine")
    shutil.rmtree(work_dir, ignore_errors=True)


def sweep(work: Path) -> None:
    """Wipe every run's directory; asked at start, when nothing runs."""
    work.mkdir(mode=0o700, exist_ok=True)
    for path in work.iterdir():
        wipe(path)


def keep_engine_log(work_dir: Path, *, logs: Path, name: str) -> None:
    """Keep what the libraries printed in a run that failed, on the node's own disk, for its owner to read.

    It speaks of paths, counts and durations; the newest few are kept.
    """
    log = work_dir / "engine" / "engine.log"
    if not log.exists():
        return
    logs.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(log, logs / f"{name.rpartition(':')[2]}.engine.log")
    for old in sorted(logs.glob("*.engine.log"))[:-KEPT_LOGS]:
        old.unlink(missing_ok=True)
