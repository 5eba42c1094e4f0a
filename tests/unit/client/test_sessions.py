"""Keys, login, and how the client speaks to an exchange."""

import io
import json

import pytest

from exchange.client import cli
from exchange.client.api import Api
from exchange.client.errors import ClientError

LOGIN = ("POST", "/api/v1/login/")
ME = ("GET", "/api/v1/me/")


def test_new_keys_stay_here_and_only_the_card_is_printed(machine):
    machine.run("keys", "new", "--name", "澄江", "--json")

    card = machine.json()
    path = machine.home / "key.json"
    assert (machine.code, card["type"], card["name"]) == (0, "hengshu/key-card/v1", "澄江")
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(card) == {"type", "name", "document_key", "chain_address", "sealing_key", "created", "proof"}
    assert machine.run("keys", "show", "--json").json()["document_key"] == card["document_key"]


def test_keys_are_never_overwritten(machine):
    machine.run("keys", "new", "--name", "a")
    machine.run("keys", "new", "--name", "b")
    assert machine.code == 1
    assert "KEY_FILE_INVALID" in machine.err


def test_login_keeps_the_token_for_its_owner_only(machine, monkeypatch):
    machine.exchange.answers[LOGIN] = (
        200,
        {"token": "t0k", "expires": "2026-12-01", "organization": {"urn": "u"}, "roles": []},
    )
    machine.exchange.answers[ME] = (200, {"username": "lin", "roles": ["buyer"]})
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))

    machine.run("login", "--url", machine.url, "--username", "lin", "--password-stdin", "--json")

    assert machine.code == 0
    assert "t0k" not in machine.out
    assert (machine.home / "token").stat().st_mode & 0o777 == 0o600
    assert machine.exchange.asked[0].body == {"username": "lin", "password": "secret"}
    assert "Authorization" not in machine.exchange.asked[0].headers
    assert machine.run("me", "--json").json()["username"] == "lin"
    assert machine.exchange.asked[-1].headers["Authorization"] == "Token t0k"
    assert machine.run("logout").code == 0
    assert not (machine.home / "token").exists()


def test_without_a_login_the_error_says_what_to_do(machine):
    machine.run("me", "--url", machine.url)
    assert machine.code == 3
    assert "hengshu login" in machine.err
    machine.run("--lang", "zh", "me", "--url", machine.url)
    assert "尚未登录" in machine.err


def test_a_problem_document_becomes_code_and_sentence(machine):
    machine.as_member("bank")
    machine.exchange.answers[ME] = (409, {"code": "METER_EXHAUSTED", "detail": "No runs left.", "fields": {"a": "b"}})
    machine.run("me")
    assert (machine.code, machine.err) == (1, "METER_EXHAUSTED: No runs left. (a: b)\n")
    machine.run("me", "--json")
    assert json.loads(machine.err) == {"error": {"code": "METER_EXHAUSTED", "message": "No runs left. (a: b)"}}
    assert machine.out == ""


@pytest.mark.parametrize(
    ("answer", "code", "exit_code"),
    [
        ((500, b"<html>"), "HTTP_500", 5),
        ((401, {"code": "TOKEN_INVALID", "detail": "Expired."}), "TOKEN_INVALID", 3),
        ((200, b"<html>"), "ANSWER_INVALID", 5),
        ((404, []), "HTTP_404", 1),
    ],
)
def test_every_answer_has_an_exit_code(machine, answer, code, exit_code):
    machine.as_member("bank")
    machine.exchange.answers[ME] = answer
    machine.run("me")
    assert (machine.code, machine.err.split(":")[0]) == (exit_code, code)


def test_a_dropped_line_is_tried_again_with_the_same_key(machine):
    machine.exchange.answers["POST", "/api/v1/contracts/"] = (200, {"ref": "R"})
    machine.exchange.drop = 2
    Api(machine.url, token="t").post("contracts/", {"a": 1})
    keys = {asked.headers["Idempotency-Key"] for asked in machine.exchange.posted("/api/v1/contracts/")}
    assert (len(machine.exchange.asked), len(keys)) == (3, 1)


def test_an_own_first_try_still_in_flight_is_waited_for(machine):
    in_flight = (409, {"code": "IDEMPOTENCY_IN_FLIGHT", "detail": "Wait."})
    machine.exchange.answers["POST", "/api/v1/contracts/"] = [in_flight, (201, {"ref": "R"})]
    assert Api(machine.url, token="t").post("contracts/", {}) == {"ref": "R"}
    assert len({asked.headers["Idempotency-Key"] for asked in machine.exchange.asked}) == 1


def test_an_exchange_that_is_not_there(machine):
    with pytest.raises(ClientError) as refused:
        Api("http://127.0.0.1:9").get("me/")
    assert (refused.value.code, refused.value.exit_code) == ("EXCHANGE_UNREACHABLE", 4)
    for url in ("file:///etc/passwd", "exchange.example", ""):
        with pytest.raises(ClientError, match="address"):
            Api(url)


def test_no_command_prints_help_in_the_chosen_language(machine):
    assert machine.run("--lang", "zh").code == 2
    assert "会员命令行" in machine.out
    with pytest.raises(SystemExit) as left:
        cli.main(["contract"])
    assert left.value.code == 2


def test_the_catalogue_lists_wide_names_in_columns(machine):
    machine.as_member("bank")
    row = {
        "number": "DP-1",
        "ref": "R",
        "name_zh": "公积金",
        "name_en": "Fund",
        "provider": {"name_zh": "澄江"},
        "state": "listed",
    }
    machine.exchange.answers["GET", "/api/v1/products/?q=%E5%85%AC%E7%A7%AF"] = (200, {"results": [row]})
    machine.run("--lang", "zh", "products", "list", "公积")
    assert machine.out.splitlines()[1].split() == ["DP-1", "R", "公积金", "澄江", "listed"]
