"""`hengshu-node budget`, `review` and `explain`: the owner's view of the privacy gate."""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compute.node import budget, explaining, reviews
from compute.node import config as configuration
from compute.node.errors import ConsentNotPossible, NodeError
from compute.node.store import Store
from compute.protocol import documents, keyfiles, operations, privacy

Arguments = argparse.Namespace
MAX_FILE_BYTES = 256 * 1024


def add(command: Callable[..., argparse.ArgumentParser], family: Callable[[str, str], Any], top: Any) -> None:
    """Add the commands to the node's parser."""
    command(top, "budget", show_budget, "privacy budget by table / 各表的隐私预算").add_argument(
        "--dataset", default=""
    )
    review = family("review", "two-person review of a query / 双人复核")
    command(review, "list", review_list, "what waits / 等待复核的查询")
    command(review, "show", review_show, "a query and the table's history / 查询与该表历史").add_argument("computation")
    for name, decision, words in (
        ("approve", "approved", "let it through / 放行"),
        ("refuse", "refused", "refuse it / 拒绝"),
    ):
        made = command(review, name, review_decide, words, decision=decision)
        made.add_argument("computation")
        made.add_argument("--key", type=Path, required=True, help="the reviewer's own key file / 复核人的密钥文件")
    made = command(top, "explain", explain, "what the gate would say, and why / 试算与说明")
    made.add_argument("request", type=Path, metavar="REQUEST.json")
    made.add_argument("--dataset", required=True)
    made.add_argument("--version", type=int)
    made.add_argument("--recipient", default="", help="urn:hengshu:org:…")
    made.add_argument(
        "--open", action="store_true", help="read rows to name withheld blocks / 读取数据以列出隐去的分块"
    )


def show_budget(args: Arguments) -> None:
    """budget: of every table what is spent, by whom, and what is left."""
    config, store = _node(args)
    names = sorted(name for name in _names(store) if args.dataset in ("", name))
    found: list[dict[str, Any]] = []
    for name in names:
        balance = budget.balance(store.connection(), dataset=name, limits=config.privacy, now=_now())
        entries = budget.spendings(store.connection(), dataset=name)
        found.append(
            {
                "dataset": name,
                "limit": privacy.write_micro(config.privacy.epsilon_micro),
                "days": config.privacy.days,
                "spent": privacy.write_micro(balance.spent_micro),
                "left": privacy.write_micro(balance.left_micro),
                "spendings": [
                    {
                        **{key: item[key] for key in ("spent_at", "buyer", "contract", "computation")},
                        "epsilon": privacy.write_micro(item["epsilon_micro"]),
                        "delta": privacy.write_pico(item["delta_pico"]),
                    }
                    for item in entries
                ],
            }
        )
    lines = []
    for item in found:
        lines.append(
            _word(
                args,
                "{dataset}: {spent} of {limit} spent in {days} days, {left} left".format_map(item),
                "{dataset}：{days} 天内隐私预算 {limit}，已用 {spent}，剩余 {left}".format_map(item),
            )
        )
        lines += [
            f"  {one['spent_at']}  {one['epsilon']:>8}  {one['buyer']}  {one['computation']}"
            for one in item["spendings"]
        ]
    _show(args, found, lines or [_word(args, "No dataset yet.", "还没有数据集。")])


def review_list(args: Arguments) -> None:
    """review list: undecided requests that two reviewers must let through, with the answers so far."""
    _, store = _node(args)
    found = [
        {
            "computation": request["id"],
            "parameters": request["parameters"],
            "answers": [
                {key: answer[key] for key in ("reviewer", "decision", "issued")}
                for answer in reviews.answers(request["id"], store=store)
            ],
        }
        for request in reviews.waiting(store=store)
    ]
    lines = [
        f"{item['computation']}  {', '.join(a['reviewer'] + ' ' + a['decision'] for a in item['answers']) or '-'}"
        for item in found
    ]
    _show(args, found, lines or [_word(args, "Nothing waits for review.", "没有等待复核的查询。")])


def review_show(args: Arguments) -> None:
    """review show: one request, and everything that its table has answered so far."""
    config, store = _node(args)
    request = _request(store, args.computation)
    dataset = _dataset(request, config=config, store=store)
    found = {
        "computation": request["id"],
        "dataset": dataset,
        "parameters": request["parameters"],
        "history": reviews.history(store, dataset=dataset),
    }
    lines = [
        _text(found["parameters"]),
        _word(args, f"{dataset} has answered:", f"{dataset} 已答复："),
        *(f"  {one['admitted_at']}  {one['operation']}  {_text(one['parameters'])}" for one in found["history"]),
    ]
    _show(args, found, lines)


def review_decide(args: Arguments) -> None:
    """review approve, review refuse: sign one person's answer over the request and the history just shown."""
    config, store = _node(args)
    request = _request(store, args.computation)
    dataset = _dataset(request, config=config, store=store)
    if not args.json:
        review_show(args)
    keys = keyfiles.load(args.key, passphrase=os.environ.get("HENGSHU_PASSPHRASE"))
    document = reviews.decide(
        args.computation,
        decision=args.decision,
        dataset=dataset,
        config=config,
        keys=keys,
        store=store,
        now=_now(),
    )
    _show(
        args,
        {key: document[key] for key in ("computation", "reviewer", "decision", "request_digest", "history_digest")},
        [
            _word(
                args,
                f"{document['reviewer']}: {document['decision']}, signed. With two approvals: "
                f"hengshu-node consent approve {args.computation}",
                f"{document['reviewer']}：{'已放行' if args.decision == 'approved' else '已拒绝'}并签名。"
                f"两人放行后请运行：hengshu-node consent approve {args.computation}",
            )
        ],
    )


def explain(args: Arguments) -> None:
    """explain: the gate's verdict on a request, by the code that admission runs."""
    config, store = _node(args)
    found = explaining.explain(
        _read(args.request),
        dataset=args.dataset,
        version=args.version,
        recipient=args.recipient,
        config=config,
        store=store,
        now=_now(),
        opens_rows=args.open,
    )
    lines = [
        _word(args, "answered" if found["answered"] else "refused", "会答复" if found["answered"] else "会拒绝")
        + (
            f"  {found['code']}: {found['en' if args.lang == 'en' else 'zh']} {found['detail']}"
            if found["code"]
            else ""
        )
    ]
    if "tier" in found:
        lines.append(f"tier {found['tier']}: {found['rule']}, k = {found['k']}")
    if "costs" in found:
        lines.append(
            _word(
                args,
                f"costs {found['costs']}, {found['left']} left",
                f"消耗隐私预算 {found['costs']}，剩余 {found['left']}",
            )
        )
        lines += [
            f"  {one['number']}: sensitivity {one['sensitivity']}, noise scale {one['scale']}" for one in found["noise"]
        ]
    for one in found["columns"]:
        lines.append(f"  {one['column']}: {one['becomes']} ({one['level']}){'' if one['allowed'] else '  NOT ALLOWED'}")
    for column, reasons in found.get("withheld", {}).items():
        lines += [f"  {column} withheld, {reason}: {', '.join(names)}" for reason, names in reasons.items()]
    _show(args, found, lines)


def _request(store: Store, computation: str) -> dict[str, Any]:
    request = store.request(computation)
    if request is None:
        raise ConsentNotPossible("No such computation waits here.", zh="没有等待决定的这项计算。")
    return request


def _dataset(request: dict[str, Any], *, config: configuration.Config, store: Store) -> str:
    """The table of this node that a request is about."""
    accepted = store.contract(request["contract"])
    if accepted is None:
        raise ConsentNotPossible("The request's contract is not accepted here.", zh="本节点没有接受该请求的合约。")
    listed = operations.parties(accepted, operation=request["operation"], parameters=request["parameters"])
    return next(str(party["dataset"]) for party in listed if party["organization"] == config.organization)


def _node(args: Arguments) -> tuple[configuration.Config, Store]:
    config = configuration.load(args.home)
    return config, Store(config.database, clock=_now)


def _names(store: Store) -> set[str]:
    return {str(item["name"]) for item in store.datasets()}


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = documents.parse(file.read(MAX_FILE_BYTES + 1), max_bytes=MAX_FILE_BYTES)
    except OSError:
        raise NodeError(f"{path} cannot be read; check the name.", zh=f"无法读取 {path}；请检查文件名。") from None
    if not {"operation", "parameters"} <= set(found):
        raise NodeError(f"{path} has no operation and parameters.", zh=f"{path} 缺少 operation 与 parameters。")
    return found


def _now() -> datetime:
    return datetime.now(UTC)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _word(args: Arguments, en: str, zh: str) -> str:
    return zh if args.lang == "zh" else en


def _show(args: Arguments, value: Any, lines: Sequence[str]) -> None:
    print(_text(value) if args.json else "\n".join(lines))
