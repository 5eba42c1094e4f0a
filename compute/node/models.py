"""What a node keeps for scoring besides its tables: `python -m compute.node.models`.

    card      keep a score card at the requester's node; prints the commitment that requests name
    release   note at an agency's node that its reviewers have seen the card of a commitment
    withdraw  note at an agency's node that a person withdrew consent; counts from the next run on
    list      commitments of the cards and versions of the trained models kept here

A card may lack `salt`, which is then drawn. Nothing here leaves the node.

Exit codes: 0 done, 1 refused (the sentence says what to do), 2 wrong usage.
"""

import argparse
import json
import re
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from compute.engines.scoring import cards, consents, kept
from compute.protocol.shapes import refuse
from exchange.kernel.errors import DomainError

STATE = "engine_state"  # below the node's directory; `compute.node.runs` gives it to engines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace, Path], None] = args.command
    try:
        command(args, args.home / STATE / kept.COMMON)
    except DomainError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


def keep_card(args: argparse.Namespace, directory: Path) -> None:
    """card: check and keep one."""
    try:
        document = json.loads(args.file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise refuse(args.file.name, "must be a score card as JSON") from None
    if isinstance(document, dict):
        document.setdefault("salt", secrets.token_hex(32))
    card = cards.Card.read(json.dumps(document).encode())
    print(kept.write_card(directory, card.document))


def release(args: argparse.Namespace, directory: Path) -> None:
    """release: scorings with this card may use this node's tables."""
    if not re.fullmatch(r"[0-9a-f]{64}", args.commitment):
        raise refuse("commitment", "must be 64 hexadecimal digits")
    kept.release_card(directory, args.commitment)


def withdraw(args: argparse.Namespace, directory: Path) -> None:
    """withdraw: identifiers from standard input, one a line, so that none stands in a shell's history."""
    for line in sys.stdin.read().splitlines():
        if line.strip():
            consents.withdraw(directory, line, scope=consents.SPOUSE if args.spouse else "")


def show(args: argparse.Namespace, directory: Path) -> None:
    """list: what is kept, by commitment and version."""
    del args
    for path in sorted(directory.glob("cards/*.json")):
        print(f"card   {path.stem}  {json.loads(path.read_text(encoding='utf-8'))['version']}")
    for path in sorted(directory.glob("models/*.json")):
        print(f"model  {json.loads(path.read_text(encoding='utf-8'))['version']}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m compute.node.models", description="models / 评分模型与撤回")
    parser.add_argument("--home", type=Path, default=Path("node"), help="the node's directory / 节点目录")
    top = parser.add_subparsers(required=True, metavar="COMMAND")
    card = top.add_parser("card", help="keep a score card / 存入评分卡")
    card.set_defaults(command=keep_card)
    card.add_argument("file", type=Path)
    released = top.add_parser("release", help="release a reviewed card / 放行已审核的评分卡")
    released.set_defaults(command=release)
    released.add_argument("commitment")
    gone = top.add_parser("withdraw", help="note withdrawn consents, one id a line on stdin / 登记撤回同意")
    gone.set_defaults(command=withdraw)
    gone.add_argument("--spouse", action="store_true", help="the spouse withdrew / 配偶撤回")
    top.add_parser("list", help="what is kept / 列出").set_defaults(command=show)
    return parser


if __name__ == "__main__":
    sys.exit(main())
