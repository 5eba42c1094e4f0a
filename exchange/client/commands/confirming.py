"""Asking before something is signed that cannot be taken back."""

import argparse
import sys

from exchange.client.context import Context
from exchange.client.errors import ClientError


def confirm(context: Context, args: argparse.Namespace, *, zh: str, en: str) -> None:
    """Ask on the terminal unless --yes; ClientError `NOT_CONFIRMED` for anything but yes."""
    if args.yes:
        return
    if sys.stdin.isatty():
        print(context.out.pick(f"{zh} [y/N] ", f"{en} [y/N] "), end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes", "是"):
            return
    raise ClientError(
        "NOT_CONFIRMED",
        "Nothing was signed. Read the above and repeat with --yes.",
        zh="未签署。请阅读以上内容后加 --yes 重试。",
    )
