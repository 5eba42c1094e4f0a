"""Whom to ask for beside those one means, where a register may not be shipped: `python -m compute.node.crowds`.

    cut   once for a directory of households: a secret, and where one set ends and the next begins
    ask   the persons of every set to which somebody belongs who is meant, in an order that says nothing

The light alternative to the private look-up, for a register whose owner answers lists by other means: a requester hands
over what `ask` writes. Both commands read the directory, a UTF-8 CSV with a row for each person and the columns
`household`, `region`, `age_band` and `person`. The kept file holds the secret (mode 0600): with it, whoever sees the
list knows the cuts, though not who is meant. What the sets are, and what they are worth: `compute.engines.decoys`.

Exit codes: 0 done, 1 refused (the sentence says what to do), 2 wrong usage.
"""

import argparse
import csv
import json
import os
import secrets
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from compute.engines import decoys, identifiers
from compute.engines.decoys import Household, Plan

KEPT_TYPE = "hengshu/household-sets/v1"
COLUMNS = ("household", "region", "age_band", "person")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = args.command
    try:
        command(args)
    except (OSError, ValueError) as error:  # neither a file's name nor a rule names a person
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def cut(args: argparse.Namespace) -> None:
    """cut: decide the sets, for good; a kept file is never overwritten, since other sets would give targets away."""
    secret = secrets.token_bytes(32)
    made = decoys.plan(_directory(args.directory), secret=secret, k=args.k)
    document = {
        "type": KEPT_TYPE,
        "secret": secret.hex(),
        "k": made.k,
        "joined": [[*found, pool] for found, pool in made.joined.items()],
        "cuts": {pool: [value.hex() for value in values] for pool, values in made.cuts.items()},
    }
    _write(args.kept, json.dumps(document, ensure_ascii=False))


def ask(args: argparse.Namespace) -> None:
    """ask: one person a line, all persons of all households of the sets."""
    households = _directory(args.directory)
    made, secret = _kept(args.kept)
    home = {identifiers.canonical(person): found for found in households for person in found.persons}
    meant = {identifiers.canonical(line) for line in args.persons.read_text(encoding="utf-8").splitlines()} - {""}
    if not meant <= set(home):
        raise ValueError("Somebody who is meant is not in the directory; nothing was written.")
    found: set[str] = set()
    for household in {home[person].name: home[person] for person in meant}.values():
        for other in decoys.anonymity_set(made, households, household, secret=secret):
            found.update(other.persons)
    _write(args.out, "".join(f"{person}\n" for person in sorted(found)))


def _directory(path: Path) -> list[Household]:
    """The households of a directory, each with its persons; of one region and age band each."""
    classes: dict[str, tuple[str, str]] = {}
    persons: dict[str, list[str]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if not set(COLUMNS) <= set(reader.fieldnames or ()):
            raise ValueError(f"The directory needs the columns {', '.join(COLUMNS)}.")
        for row in reader:
            found = row["region"], row["age_band"]
            if classes.setdefault(row["household"], found) != found:
                raise ValueError("A household has two regions or age bands in the directory; give it one.")
            persons[row["household"]].append(row["person"])
    return [Household(name, *classes[name], tuple(persons[name])) for name in classes]


def _kept(path: Path) -> tuple[Plan, bytes]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or found.get("type") != KEPT_TYPE:
        raise ValueError("The kept file is none that `cut` wrote.")
    joined = {(region, age_band): pool for region, age_band, pool in found["joined"]}
    cuts = {pool: tuple(bytes.fromhex(value) for value in values) for pool, values in found["cuts"].items()}
    return Plan(int(found["k"]), joined, cuts), bytes.fromhex(found["secret"])


def _write(path: Path, text: str) -> None:
    """A new file, readable by its owner only."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m compute.node.crowds", description="household sets / 家庭匿名集")
    top = parser.add_subparsers(required=True, metavar="COMMAND")
    made = top.add_parser("cut", help="decide the sets once / 一次性划定匿名集")
    made.set_defaults(command=cut)
    made.add_argument("--k", type=int, default=decoys.DEFAULT, help="households of a set / 每个匿名集的户数")
    wanted = top.add_parser("ask", help="whom to ask for / 列出应查询的人")
    wanted.set_defaults(command=ask)
    wanted.add_argument("--persons", type=Path, required=True, help="who is meant, one a line / 实际要查的人")
    wanted.add_argument("--out", type=Path, required=True, help="the list to hand over / 交给登记方的名单")
    for found in (made, wanted):
        found.add_argument("--directory", type=Path, required=True, help="households as CSV / 家庭名册")
        found.add_argument("--kept", type=Path, required=True, help="secret and sets / 密钥与划定结果")
    return parser


if __name__ == "__main__":
    sys.exit(main())
