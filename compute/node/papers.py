"""The papers of private look-ups, for the officers of a requester: `python -m compute.node.papers`.

    list     sign the list of approved persons under a letter; prints its digest, which the request names
    release  sign the release of one request, after reading it
    keep     lay signed papers where this node's engine finds them

Officers sign with key files of their own, on machines of their own; only `keep` needs the node's directory. A list
holds persons: it goes from the officer to the requester's node and nowhere else.

Exit codes: 0 done, 1 refused (the sentence says what to do), 2 wrong usage.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compute.engines import identifiers, lookup_papers
from compute.protocol import documents, keyfiles, letters, operations, shapes
from compute.protocol.shapes import DocumentInvalid, refuse
from exchange.kernel.errors import DomainError
from ledger.proofs import statements

STATE = "engine_state"  # below the node's directory; `compute.node.runs` gives it to engines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = args.command
    try:
        command(args)
    except DomainError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


def sign_list(args: argparse.Namespace) -> None:
    """list: the approved persons, one a line."""
    letter = _read(args.letter)
    letters.LETTER(letter, "letter")
    letters.check_letter(letter)
    persons = {identifiers.canonical(line) for line in args.persons.read_text(encoding="utf-8").splitlines()}
    document = _signed(letters.approved_list(letter, persons - {""}), args.key)
    _write(args.out, document)
    print(statements.digest(document))


def sign_release(args: argparse.Namespace) -> None:
    """release: one officer's signature over one request."""
    request = _read(args.request)
    documents.check_request(request)
    key = keyfiles.load(args.key).document_key
    found = [officer["name"] for officer in request["parameters"]["letter"]["officers"] if officer["key"] == key]
    if not found:
        raise refuse("parameters.letter.officers", "must name the officer of this key")
    _write(args.out, _signed(letters.release(request, officer=found[0], created=datetime.now(UTC)), args.key))


def keep(args: argparse.Namespace) -> None:
    """keep: lay papers at this node."""
    engine = operations.get("private_lookup").engine.replace("/", "-")
    for path in args.file:
        document = _read(path)
        put = {letters.APPROVED_LIST: lookup_papers.put_approved, letters.RELEASE: lookup_papers.put_release}.get(
            str(document.get("type"))
        )
        if put is None:
            raise refuse(path.name, "must be an approved list or a release")
        put(args.home / STATE / engine, document)


def _signed(document: dict[str, Any], key: Path) -> dict[str, Any]:
    return statements.sign(document, key=keyfiles.load(key).document, created=shapes.write_time(datetime.now(UTC)))


def _read(path: Path) -> dict[str, Any]:
    try:
        return documents.parse(path.read_bytes())
    except OSError:
        raise DocumentInvalid(path.name, "cannot be read") from None


def _write(path: Path, document: dict[str, Any]) -> None:
    """The paper, readable by its owner only: a list names persons."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m compute.node.papers", description="papers / 密查文书")
    top = parser.add_subparsers(required=True, metavar="COMMAND")
    listed = top.add_parser("list", help="sign the approved list / 签署已批准名单")
    listed.set_defaults(command=sign_list)
    listed.add_argument("--letter", type=Path, required=True, help="the letter as JSON / 公函")
    listed.add_argument("--persons", type=Path, required=True, help="one identifier a line / 每行一个证件号")
    released = top.add_parser("release", help="release one request / 放行一次请求")
    released.set_defaults(command=sign_release)
    released.add_argument("--request", type=Path, required=True, help="the signed request / 已签请求")
    for found in (listed, released):
        found.add_argument("--key", type=Path, required=True, help="the officer's key file / 经办人密钥文件")
        found.add_argument("--out", type=Path, required=True, help="where the paper goes / 文书输出位置")
    kept = top.add_parser("keep", help="lay papers at this node / 存入本节点")
    kept.set_defaults(command=keep)
    kept.add_argument("--home", type=Path, default=Path("node"), help="the node's directory / 节点目录")
    kept.add_argument("file", type=Path, nargs="+")
    return parser


if __name__ == "__main__":
    sys.exit(main())
