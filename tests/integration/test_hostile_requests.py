"""Whatever anybody sends to any address that takes a POST, the answer is a refusal with a code and never a 500."""

import json
import random
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from compute.actions import computations
from compute.models import Computation
from exchange.members.actions import tokens
from exchange.members.permissions import Role
from exchange.web.middleware import RefusalMiddleware
from listings.models import Product
from tests.factories.compute import World, member

pytestmark = pytest.mark.django_db

ROUNDS = 4
NODE_ROUNDS = 60
_VERBS = ("poll", "consent", "claim", "offer", "progress", "notices", "refuse", "fail", "submit", "no-such-verb")
_STEPS = ("admit", "reject", "verify", "approve", "return", "certify", "list", "delist", "submit", "no-such-step")
# Names that some address reads, so that the values get past the first check.
_NAMES = (  # noqa: SIM905  a list of sixty names reads better as a text
    "username password code membership name_zh name_en uscc kinds card business_status contact reason fields request "
    "dataset dataset_commitment specification columns products operation compute_party purpose unit_price_fen quota "
    "term approval min_cell retention_days document chain_signature amount_fen reference type id contract terms_digest "
    "parameters group_by values filters min_group created expires proof organization verb audience nonce body task "
    "fencing_token report sealed_part stage percent consent offer next decision grade rights volume region_scope"
).split()
_TEXTS = (
    "", "\x00", "a\x00b", "\ud800", "😀" * 40, "' OR 1=1 --", "<script>alert(1)</script>", "{{7*7}}", "../../etc",
    "urn:hengshu:org:01JD0000000000000000000000", "urn:hengshu:task:01JD0000000000000000000000", "0x" + "0" * 130,
    "2026-11-21T05:30:00Z", "9999-12-31T23:59:59Z", "0" * 64, "x" * 5000, "NaN", "-1", "１２", "\u202e", "DP-",
    "housing_fund", "joint_statistics", "supplier", "10.50", "%s%n", "\r\nSet-Cookie: a=b",
)  # fmt: skip
_NUMBERS = (0, -1, 1, 10, 2**31, 2**53 - 1, -(2**53) + 1)


def patterns() -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []

    def walk(resolver: Any, prefix: str) -> None:
        for pattern in resolver.url_patterns:
            if isinstance(pattern, URLResolver):
                walk(pattern, prefix + str(pattern.pattern))
            elif isinstance(pattern, URLPattern):
                found.append((prefix + str(pattern.pattern), pattern.callback))

    walk(get_resolver(), "/")
    return found


def is_api(path: str) -> bool:
    return path.startswith("/api/v1/")


def value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(9 if depth < 3 else 5)
    if kind < 3:
        return rng.choice(_TEXTS)
    if kind == 3:
        return rng.choice(_NUMBERS)
    if kind == 4:
        return rng.choice((None, True, False))
    if kind == 5:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 6:
        return [[]] * rng.randrange(3)
    return body(rng, depth + 1)


def body(rng: random.Random, depth: int = 0, most: int = 40) -> dict[str, Any]:
    names = rng.sample(_NAMES, rng.randrange(1, 12 if depth else most))
    return {name: value(rng, depth + 1) for name in names}


def sendable(sent: Any) -> bool:
    """Half a surrogate pair has no canonical form: no node could sign it."""
    return "ud800" not in json.dumps(sent)


class Addresses:
    """Real references, and ones that never were."""

    def __init__(self, world: World, computation: Computation) -> None:
        product = Product.objects.first()
        assert product is not None
        self.real = {
            "organizations": world.organizations["fund-a"].ref,
            "products": product.ref,
            "contracts": world.contract.ref,
            "computations": computation.ref,
        }

    def fill(self, pattern: str, rng: random.Random) -> str:
        area = next((name for name in self.real if f"/{name}/" in pattern), "contracts")

        def one(match: "re.Match[str]") -> str:
            name = match.group(2)
            if name == "verb":
                return rng.choice(_VERBS if "nodes" in pattern else _STEPS)
            if match.group(1) == "int":
                return str(rng.choice((0, 1, 2**40)))
            return rng.choice((self.real[area], self.real[area], "urn:x:y", "%00", "a%00b", "DP-1", "x" * 300, "💥"))

        return re.sub(r"<(?:(\w+):)?(\w+)>", one, pattern)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def addresses(world):
    return Addresses(world, computations.submit(document=world.request(), by=world.buyer))


@pytest.fixture
def cast(world):
    """A visitor, members and staff, as clients that are signed in by token and by session."""
    acting = [world.buyer, world.provider, world.reviewer]
    acting += [
        member(world.exchange, role)
        for role in (Role.ADMISSION_OFFICER, Role.REGISTRAR, Role.SETTLEMENT_CLERK, Role.MEDIATOR, Role.LISTING_OFFICER)
    ]
    found = [(Client(raise_request_exception=False), {})]
    for one in acting:
        client = Client(raise_request_exception=False)
        client.force_login(one.user)
        found.append((client, {"Authorization": f"Token {tokens.issue(user=one.user, membership=one).value}"}))
    return found


def test_random_json_is_never_answered_with_500(addresses, cast, settings):
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_CLASSES": []}
    rng = random.Random(20261121)
    paths = [path for path, view in patterns() if is_api(path) and hasattr(getattr(view, "cls", None), "post")]
    assert len(paths) > 20
    broken = []
    for path in paths:
        for _ in range(ROUNDS):
            address, sent = addresses.fill(path, rng), body(rng)
            for client, headers in (cast[0], rng.choice(cast[1:]), rng.choice(cast[1:])):
                answer = client.post(address, data=sent, content_type="application/json", headers=headers)
                if answer.status_code >= 500 or (answer.status_code >= 400 and "code" not in answer.json()):
                    broken.append((path, address, answer.status_code, sent))
    assert broken == []


def test_addresses_and_queries_with_odd_characters_are_never_answered_with_500(addresses, cast):
    rng = random.Random(3)
    broken = []
    for path, _ in patterns():
        if path.startswith(("/accounts", "/__", "/^")) or "(?P" in path or "static" in path:
            continue
        for query in ("", "?page=0&q=%00&subject=%00&kind=%00&state=%00", "?page=99999999999&before=-1&period=%27"):
            client, headers = rng.choice(cast)
            answer = client.get(addresses.fill(path, rng) + query, headers=headers)
            if answer.status_code >= 500 and path != "/readyz":
                broken.append((path, query, answer.status_code))
    assert broken == []


def test_random_forms_are_never_answered_with_500(addresses, cast):
    rng = random.Random(5)
    broken = []
    pages = [path for path, _ in patterns() if not is_api(path) and not path.startswith(("/accounts/", "/static"))]
    for path in [*pages, "/accounts/membership/", "/accounts/login/"]:
        if "(?P" in path:
            continue
        for _ in range(ROUNDS):
            sent = {name: text for name, text in body(rng).items() if isinstance(text, int | str) and text != "\ud800"}
            client, _ = rng.choice(cast)
            answer = client.post(addresses.fill(path, rng), data=sent)
            if answer.status_code >= 500 and path != "/readyz":
                broken.append((path, answer.status_code, sent))
    assert broken == []


def test_signed_messages_with_random_bodies_are_never_answered_with_500(world, addresses):
    rng = random.Random(7)
    node = world.nodes()[0]
    node.http = Client(raise_request_exception=False)
    broken = []
    for _ in range(NODE_ROUNDS):
        verb, sent = rng.choice(_VERBS[:-1]), body(rng, most=14)
        if rng.random() < 0.5:
            sent |= {"task": "urn:hengshu:task:01JD0000000000000000000000", "fencing_token": 1}
        if sendable(sent) and node.send(verb, node.message(verb, sent)).status >= 500:
            broken.append((verb, sent))
    shapeless = [{**node.message("poll", {}), rng.choice(_NAMES): value(rng)} for _ in range(NODE_ROUNDS)]
    broken += [("poll", one) for one in shapeless if sendable(one) and node.send("poll", one).status >= 500]
    assert broken == []


def test_deep_and_large_bodies_are_refused(cast):
    client, headers = cast[1]
    deep = "[" * 100_000 + "]" * 100_000
    for sent, status in ((f'{{"a":{deep}}}', 400), ('{"a":1,"a":2}', 400), ('{"a":1e400}', 400), ("[]", 400)):
        answer = client.post("/api/v1/contracts/", data=sent, content_type="application/json", headers=headers)
        assert (answer.status_code, "code" in answer.json()) == (status, True)
    large = '{"a":"' + "x" * (9 * 1024 * 1024) + '"}'
    answer = client.post("/api/v1/contracts/", data=large, content_type="application/json", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "JSON_TOO_LARGE")


def test_an_upload_bomb_is_answered_before_it_is_read():
    kind = "multipart/form-data; boundary=b"
    for path in ("/ledger/verify/", "/api/v1/contracts/", "/accounts/login/"):
        request = RequestFactory().post(path, data=b"--b--", content_type=kind, CONTENT_LENGTH=str(50 * 1024**3))
        answer = RefusalMiddleware(never)(request)
        assert (path, answer.status_code) == (path, 413)


def never(_):
    raise AssertionError("the request went on")


def test_a_message_from_the_past_or_for_another_exchange_is_refused(world):
    node = world.nodes()[0]
    node.clock = lambda: timezone.now() - timedelta(minutes=6)
    assert node.call("poll").code == "MESSAGE_OUT_OF_TIME"
    node.clock = timezone.now
    assert node.send("poll", node.message("poll", {}, audience="did:key:z6MkOther")).code == "NODE_MESSAGE_INVALID"
