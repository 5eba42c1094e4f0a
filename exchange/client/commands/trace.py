"""`hengshu trace`: the chain of custody behind a digest or reference, judged on this machine."""

import argparse
from typing import Any
from urllib.parse import quote

from exchange.client import trace_checks
from exchange.client.api import Api
from exchange.client.context import Context
from exchange.client.errors import ClientError
from exchange.client.trace_checks import FAIL, PASS, Judge, Verdict

_WORDS = {
    "source": ("来源声明", "source statement"),
    "certificate": ("登记凭证", "registration certificate"),
    "product": ("上架产品", "listed product"),
    "contract": ("合约", "contract"),
    "revocation": ("合约撤销", "contract revoked"),
    "request": ("计算请求", "request"),
    "review": ("人工审核", "staff review"),
    "consent": ("同意", "consent"),
    "authorization": ("授权", "authorization"),
    "run": ("一方运行", "run at one party"),
    "result": ("结果受理", "result accepted"),
    "charge": ("计费", "charge"),
    "release": ("结果放行", "result released"),
    "delivery": ("交付接收方", "handed to the receiver"),
    "receipt": ("用量凭证", "usage receipt"),
    "end": ("未产出结果而终止", "ended without a result"),
    "entry": ("存证条目", "log entry"),
}
_UNSEEN = {"signature": ("文书不在手中", "document not at hand"), "inclusion": ("尚未入检查点", "not sealed yet")}


def trace(context: Context, args: argparse.Namespace) -> int:
    """Fetch a trace and judge every step by the pinned policy. Exit 0 only when no step fails."""
    policy = context.policy()
    api = _api(context)
    answer = trace_checks.parse(api.get(f"trace/{quote(args.reference, safe='')}/"))
    judge = Judge(answer, policy=policy, request=_request(api, answer), receipt=_receipt(api, answer))
    verdicts = judge.verdicts()
    missing = judge.missing() + ([] if judge.speaks_of(args.reference) else ["reference"])
    accepted = bool(verdicts) and not missing and all(verdict.status != FAIL for verdict in verdicts)
    context.out.say(f"链条：{answer['subject']}", f"Chain of {answer['subject']}")
    for verdict in verdicts:
        context.out.check(verdict.status, _sentence(context, verdict), _detail(context, verdict))
    if missing:
        context.out.check(FAIL, context.out.pick("链条缺环", "the chain has gaps"), " ".join(missing))
    if accepted:
        context.out.say("没有一步未通过核验。", "No step fails.")
    else:
        context.out.say("链条不成立；请保留输出并提出争议。", "The chain does not hold; keep this and open a dispute.")
    context.out.document(
        {
            "subject": answer["subject"],
            "kind": answer["kind"],
            "accepted": accepted,
            "missing": missing,
            "steps": [_document(verdict) for verdict in verdicts],
        }
    )
    return 0 if accepted else 1


def _api(context: Context) -> Api:
    """With the member's token where there is one; the public log needs none."""
    try:
        return context.api()
    except ClientError as error:
        if error.code != "LOGIN_NEEDED":
            raise
        return context.api(public=True)


def _request(api: Api, answer: dict[str, Any]) -> dict[str, Any] | None:
    if not _is_open(answer, "request"):
        return None
    try:
        found = api.get(f"computations/{_ref(answer)}/").get("request")
    except ClientError:
        return None
    return found if isinstance(found, dict) else None


def _receipt(api: Api, answer: dict[str, Any]) -> bytes | None:
    if not _is_open(answer, "receipt"):
        return None
    try:
        return api.get_bytes(f"/api/v1/computations/{_ref(answer)}/receipt/")
    except ClientError:
        return None


def _is_open(answer: dict[str, Any], kind: str) -> bool:
    return any(step["kind"] == kind and step["is_open"] for step in answer["steps"])


def _ref(answer: dict[str, Any]) -> str:
    return str(answer["subject"]).rsplit(":", 1)[-1]


def _sentence(context: Context, verdict: Verdict) -> str:
    step = verdict.step
    name = context.out.pick(*_WORDS.get(step["kind"], (step["kind"], step["kind"])))
    who = step.get("responsible")
    if who:
        return f"{name}: {context.out.pick(who['name_zh'], who['name_en'])} ({who['role']})"
    return f"{name}: {step['entry']['kind']}" if step["entry"] else name


def _detail(context: Context, verdict: Verdict) -> str:
    step = verdict.step
    words = list(dict.fromkeys(verdict.codes))
    words += [context.out.pick(*_UNSEEN[name]) for name in dict.fromkeys(verdict.unseen)]
    if verdict.status == PASS and step["digest"]:
        words.append(f"{step['digest'][:16]}…")
    place = step["entry"]
    if place:
        anchored = ("已锚定", "anchored") if place["anchored"] else ("未锚定", "not anchored")
        words.append(f"#{place['index']} {context.out.pick(*anchored)}")
    return " ".join(words)


def _document(verdict: Verdict) -> dict[str, Any]:
    step = verdict.step
    return {
        "kind": step["kind"],
        "status": verdict.status,
        "codes": verdict.codes,
        "unseen": verdict.unseen,
        "checked": sorted(set(verdict.passed)),
        "digest": step["digest"],
        "responsible": step.get("responsible"),
        "signers": step["signers"],
        "entry": step["entry"],
    }
