"""`make bench [BENCH=name]`: run the modules of this folder that have a `run`, and print what they measured."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator

import tests.benchmarks as here


def main(names: list[str]) -> int:
    known = sorted(module.name for module in pkgutil.iter_modules(here.__path__) if not module.name.startswith("_"))
    unknown = set(names) - set(known)
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names or known:
        print(f"\n{name}")
        for what, figure in _rows(name):
            print(f"  {what:<62}{figure}", flush=True)
    return 0


def _rows(name: str) -> Iterator[tuple[str, str]]:
    yield from importlib.import_module(f"tests.benchmarks.{name}").run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
