"""`make bench [BENCH=name]`: run the modules of this folder that have a `run`, and print what they measured.

A name stands for all that begin with it: `BENCH=compute` runs every `compute_…`.

Each module runs in a process of its own, so that none measures what another left in memory.
"""

import importlib
import pkgutil
import subprocess
import sys

import tests.benchmarks as here

_ALONE = "--alone"


def main(names: list[str]) -> int:
    if names[:1] == [_ALONE]:
        return _measure(names[1])
    known = sorted(module.name for module in pkgutil.iter_modules(here.__path__) if not module.name.startswith("_"))
    chosen = {name: [one for one in known if one == name or one.startswith(f"{name}_")] for name in names}
    unknown = [name for name, found in chosen.items() if not found]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    wanted = [one for found in chosen.values() for one in found] or known
    commands = [[sys.executable, "-m", here.__name__, _ALONE, name] for name in wanted]
    return max(subprocess.run(command, check=False).returncode for command in commands)


def _measure(name: str) -> int:
    """Run one module in this process, whatever others begin with its name."""
    print(f"\n{name}")
    for what, figure in importlib.import_module(f"{here.__name__}.{name}").run():
        print(f"  {what:<72}{figure}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
