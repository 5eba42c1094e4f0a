"""`hengshu products`: look around in the catalogue."""

import argparse
from typing import Any

from exchange.client.context import Context


def list_products(context: Context, args: argparse.Namespace) -> int:
    """Products by words in their names, Chinese or English."""
    answer = context.api().get("products/", query={"q": args.query} if args.query else None)
    context.out.table(
        [("编号", "number"), ("引用", "ref"), ("名称", "name"), ("提供方", "provider"), ("状态", "state")],
        (
            [row.get("number"), row.get("ref"), _name(context, row), _provider(context, row), row.get("state")]
            for row in rows(answer)
        ),
    )
    context.out.document(answer)
    return 0


def show(context: Context, args: argparse.Namespace) -> int:
    """One product with its specification."""
    answer = context.api().get(f"products/{args.ref}/")
    context.out.facts(
        [
            ("编号", "number", answer.get("number")),
            ("名称", "name", _name(context, answer)),
            ("提供方", "provider", _provider(context, answer)),
            ("状态", "state", answer.get("state")),
        ]
    )
    context.out.document(answer)
    return 0


def rows(answer: Any) -> list[dict[str, Any]]:
    """The rows of a page, or of a plain list."""
    found = answer.get("results", []) if isinstance(answer, dict) else answer
    return [row for row in found if isinstance(row, dict)]


def _name(context: Context, row: dict[str, Any]) -> str:
    return str(row.get(context.out.pick("name_zh", "name_en")) or row.get("name_zh") or row.get("name") or "")


def _provider(context: Context, row: dict[str, Any]) -> str:
    provider = row.get("provider")
    if isinstance(provider, dict):
        return _name(context, provider)
    return str(row.get(context.out.pick("provider_name_zh", "provider_name_en")) or provider or "")
