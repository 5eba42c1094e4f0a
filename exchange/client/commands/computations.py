"""`hengshu compute`: ask for a computation, watch it, take it back."""

import argparse
import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from compute.protocol import documents, operations, shapes
from exchange.client import store
from exchange.client.commands import products
from exchange.client.context import Context
from exchange.client.errors import ClientError
from exchange.kernel import identifiers
from ledger.proofs import statements

POLL_SECONDS = 1.0
STATISTICS = (operations.JOINT_STATISTICS, operations.ALIGNED_STATISTICS)  # whose parameters have options of their own
FINAL = ("released", "withdrawn", "rejected", "expired", "failed", "withheld")


def submit(context: Context, args: argparse.Namespace) -> int:
    """Make and sign a request here and send it; its id is kept at home, so that sending again is one run."""
    if args.request:
        request = store.read_json(Path(args.request))
        documents.check_request(request)
    else:
        request = _new_request(context, args)
    ref = identifiers.parse_urn(request["id"], kind="computation")
    path = context.home.save_document("requests", ref, request)
    answer = context.api().post("computations/", {"request": request}, key=request["id"])
    context.out.say(
        f"已提交 {ref}（请求存于 {path}）。查看进度：hengshu compute watch {ref}",
        f"Submitted {ref} (request kept at {path}). Watch it: hengshu compute watch {ref}",
    )
    if args.watch:
        return follow(context, ref, timeout_seconds=args.timeout)
    context.out.document({"ref": ref, "request": request, "computation": answer})
    return 0


def request(context: Context, args: argparse.Namespace) -> int:
    """Make and sign a request and keep it in a file: others may have to sign its digest before it is sent."""
    made = _new_request(context, args)
    store.write_private(Path(args.out), (json.dumps(made, ensure_ascii=False, indent=2) + "\n").encode())
    digest = statements.digest(made)
    context.out.say(
        f"已签署请求，摘要 {digest}，存于 {args.out}。提交：hengshu compute submit --request {args.out}",
        f"Signed a request with digest {digest}, kept at {args.out}. "
        f"Send it: hengshu compute submit --request {args.out}",
    )
    context.out.document({"request": made, "digest": digest, "file": args.out})
    return 0


def list_computations(context: Context, args: argparse.Namespace) -> int:
    """Computations the member may see, newest first."""
    answer = context.api().get("computations/")
    context.out.table(
        [("引用", "ref"), ("合约", "contract"), ("运算", "operation"), ("状态", "state")],
        (
            [row.get("ref"), row.get("contract_number"), row.get("operation"), row.get("state")]
            for row in products.rows(answer)
        ),
    )
    context.out.document(answer)
    return 0


def watch(context: Context, args: argparse.Namespace) -> int:
    """Show every party's progress until the computation has ended."""
    return follow(context, args.ref, timeout_seconds=args.timeout)


def withdraw(context: Context, args: argparse.Namespace) -> int:
    """Take a request back, as long as it has not run."""
    answer = context.api().post(f"computations/{args.ref}/withdraw/", {})
    context.out.say("已撤回，预留额度退还。", "Withdrawn; the reserved unit is returned.")
    context.out.document(answer)
    return 0


def follow(context: Context, ref: str, *, timeout_seconds: float, sleep: Callable[[float], None] = time.sleep) -> int:
    """Poll until the end; exit 0 for released, 1 for any other end."""
    deadline = time.monotonic() + timeout_seconds
    api = context.api()
    while True:
        answer = api.get(f"computations/{ref}/")
        state = str(answer.get("state", "")).lower()
        context.out.bars([_progress(context, party, state) for party in answer.get("parties", [])])
        if state in FINAL:
            break
        if time.monotonic() >= deadline:
            raise ClientError(
                "STILL_RUNNING",
                f"It is {state} and goes on without you; watch again: hengshu compute watch {ref}",
                zh=f"当前状态 {state}，计算仍在继续；可再次查看：hengshu compute watch {ref}",
            )
        sleep(POLL_SECONDS)
    _say_end(context, ref, state, answer)
    context.out.document(answer)
    return 0 if state == "released" else 1


def _say_end(context: Context, ref: str, state: str, answer: dict[str, Any]) -> None:
    if state == "released":
        context.out.say(f"结果已放行。打开：hengshu result open {ref}", f"Released. Open it: hengshu result open {ref}")
        return
    code = answer.get("end_code") or ""
    context.out.say(
        f"以 {state} 结束 {code}；未计费，预留额度已退还。",
        f"Ended as {state} {code}; nothing was charged and the reserved unit is returned.",
    )


def _progress(context: Context, party: dict[str, Any], state: str) -> tuple[str, int, str]:
    name = party.get(context.out.pick("name_zh", "name_en")) or party.get("name") or party.get("organization") or ""
    percent = 100 if state == "released" else int(party.get("percent") or 0)
    word = " ".join(str(party[name]) for name in ("state", "stage") if party.get(name))
    return str(name), percent, word


def _new_request(context: Context, args: argparse.Namespace) -> dict[str, Any]:
    if not args.contract:
        raise ClientError(
            "CONTRACT_NEEDED",
            "Name the contract: hengshu compute submit CONTRACT --values COLUMN --group-by COLUMN",
            zh="请指定合约：hengshu compute submit 合约引用 --values 列 --group-by 列",
        )
    terms = context.signed_terms(args.contract)
    keys = context.keys()
    operation = args.operation or terms["computation"]["operations"][0]
    operations.get(operation)
    if args.parameters:
        parameters = store.read_json(Path(args.parameters))
    elif operation in STATISTICS:
        parameters = _parameters(args, terms, operation=operation)
    else:
        raise ClientError(
            "PARAMETERS_NEEDED",
            f"{operation} takes its parameters from a file: --parameters FILE.json",
            zh=f"{operation} 的参数由文件给出：--parameters 文件.json",
        )
    operations.check_parameters(operation, parameters, terms=terms)
    now = context.now()
    request = documents.request(
        computation=identifiers.make_urn("computation", identifiers.new_ulid()),
        terms=terms,
        operation=operation,
        parameters=parameters,
        created=now,
        expires=now + timedelta(minutes=args.expires_minutes),
    )
    return statements.sign(request, key=keys.document, created=shapes.write_time(now))


def _parameters(args: argparse.Namespace, terms: dict[str, Any], *, operation: str) -> dict[str, Any]:
    group_by, values = _names(args.group_by), _names(args.values)
    filters = [_filter(text) for text in args.filter or []]
    parameters: dict[str, Any] = {
        "group_by": group_by,
        "values": values,
        "filters": filters,
        "min_group": args.min_group or terms["output"]["min_cell"],
    }
    if operation == operations.ALIGNED_STATISTICS:
        grouping = [*group_by, *(item["column"] for item in filters)]
        parameters["group_provider"] = _provider(terms, args.group_provider, columns=grouping, other=values)
        parameters["value_provider"] = _provider(terms, args.value_provider, columns=values, other=grouping)
    return parameters


def _provider(terms: dict[str, Any], named: str, *, columns: list[str], other: list[str]) -> str:
    """The provider by URN or name; unnamed, the only one whose data has the columns."""
    by_name = {
        text: party["organization"]
        for party in terms["parties"]
        for text in (party["organization"], party["name_zh"], party["name_en"])
    }
    if named:
        if named not in by_name:
            raise ClientError(
                "PROVIDER_UNKNOWN", f"{named} is no party of the contract.", zh=f"{named} 不是合约当事方。"
            )
        return str(by_name[named])
    having = [item for item in terms["objects"] if set(columns) <= set(item["columns"])]
    only = [item for item in having if not set(other) <= set(item["columns"])] or having
    if len({item["provider"] for item in only}) != 1:
        raise ClientError(
            "PROVIDER_AMBIGUOUS",
            "Say whose columns group and whose are summed: --group-provider and --value-provider.",
            zh="请用 --group-provider 与 --value-provider 指明分组列和数值列的提供方。",
        )
    return str(only[0]["provider"])


def _names(text: str | None) -> list[str]:
    return [name for name in (text or "").split(",") if name]


def _filter(text: str) -> dict[str, Any]:
    column, _, values = text.partition("=")
    if not column or not values:
        raise ClientError(
            "FILTER_INVALID", "A filter looks like age_band=30-39,40-49.", zh="筛选条件形如 age_band=30-39,40-49。"
        )
    return {"column": column, "in": values.split(",")}
