"""`hengshu archive verify`: a whole log judged from its files, without a network and without us."""

import argparse
from pathlib import Path

from exchange.client.context import Context
from exchange.client.errors import ClientError
from ledger.archive import checks, stores
from ledger.proofs import policies
from ledger.proofs.checks import Status
from ledger.proofs.errors import VerificationError

_WORDS = {Status.PASS: "PASS", Status.FAIL: "FAIL", Status.NOT_CHECKED: "NOT CHECKED"}


def verify(context: Context, args: argparse.Namespace) -> int:
    """Judge an archive. Exit 0 only when nothing fails and all that the policy demands passes."""
    try:
        policy = policies.parse(Path(args.policy).read_bytes() if args.policy else context.home.policy())
        since = Path(args.since).read_bytes() if args.since else None
        store = stores.open_store(Path(args.archive))
    except OSError as error:
        raise ClientError(
            "FILE_UNREADABLE", f"{error.filename} cannot be read: {error.strerror}.", zh="文件无法读取。"
        ) from None
    except VerificationError as error:
        raise ClientError(error.code, f"It cannot be used: {error.message}.", zh="文件格式不对。") from error
    found = checks.verify(store, policy=policy, since=since)
    accepted = checks.accepted(found)
    for check in found:
        detail = context.out.pick(check.detail_zh, check.detail)
        if check.status is Status.FAIL:
            detail = f"{check.code} {detail}".strip()
        context.out.check(_WORDS[check.status], context.out.pick(check.name_zh, check.name_en), detail)
    if accepted:
        context.out.say("归档成立。", "The archive holds.")
    else:
        context.out.say("归档不成立；请勿据此行事。", "The archive does not hold; do not act on it.")
    context.out.document({"accepted": accepted, "checks": [check.document() for check in found]})
    return 0 if accepted else 1
