"""What this machine has left, read from the kernel's own files; None where it does not say."""

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_mb() -> int | None:
    """Memory that a new process could have: what the kernel calls available, or less where a control group says so."""
    found = [value for value in (_meminfo(_MEMINFO), _cgroup(_CGROUP)) if value is not None]
    return min(found) if found else None


def _meminfo(path: Path) -> int | None:
    try:
        for line in path.read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                return int(rest.split()[0]) // 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


def _cgroup(folder: Path) -> int | None:
    try:
        most = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        return None if most == "max" else max(0, int(most) - used) // (1024 * 1024)
    except (OSError, ValueError):
        return None
