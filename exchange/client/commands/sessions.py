"""`hengshu login`, `logout`, `me`: who speaks to which exchange."""

import argparse
import getpass
import os
import sys

from exchange.client.context import Context
from exchange.client.errors import ClientError


def login(context: Context, args: argparse.Namespace) -> int:
    """Exchange name and password for a member token, kept with mode 0600."""
    config = context.home.config()
    config.url = context.url or config.url
    context.url = config.url
    body = {"username": args.username, "password": _password(args)}
    if args.code:
        body["code"] = args.code
    answer = context.api(public=True).post("login/", body)
    config.organization = _urn(answer.get("organization"))
    context.home.save_token(str(answer["token"]))
    context.home.save_config(config)
    context.out.say(
        f"已登录 {config.url}；令牌有效至 {answer.get('expires', '')}。",
        f"Logged in to {config.url}; the token is valid until {answer.get('expires', '')}.",
    )
    context.out.document({name: value for name, value in answer.items() if name != "token"})
    return 0


def logout(context: Context, args: argparse.Namespace) -> int:
    """Withdraw the token at the exchange and forget it here."""
    try:
        context.api().post("logout/", {})
    except ClientError as error:
        if error.code not in ("NOT_FOUND", "HTTP_404", "TOKEN_INVALID", "LOGIN_NEEDED"):
            context.home.forget_token()
            raise
    context.home.forget_token()
    context.out.say("已退出。", "Logged out.")
    context.out.document({"logged_out": True})
    return 0


def me(context: Context, args: argparse.Namespace) -> int:
    """Who the exchange takes the caller for."""
    answer = context.api().get("me/")
    context.out.facts((name, name, _short(value)) for name, value in answer.items())
    context.out.document(answer)
    return 0


def _password(args: argparse.Namespace) -> str:
    if args.password_stdin:
        return sys.stdin.readline().rstrip("\n")
    return os.environ.get("HENGSHU_PASSWORD") or getpass.getpass("密码 / password: ")


def _urn(organization: object) -> str:
    if isinstance(organization, dict):
        return str(organization.get("urn", ""))
    return str(organization or "")


def _short(value: object) -> object:
    if isinstance(value, dict):
        return value.get("name_zh") or value.get("urn") or value
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return value
