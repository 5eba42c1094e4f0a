"""The trace over API, page and command line: who sees which step, and what a member's own machine judges."""

import copy
import json
from dataclasses import replace

import pytest
from django.test import Client

from compute.actions import results
from compute.protocol import operations
from exchange.client import cli
from exchange.client.store import Config, Home
from exchange.client.trace_checks import FAIL, NOT_CHECKED, PASS, Judge
from exchange.members.actions import tokens
from exchange.members.permissions import Role
from ledger import actions as ledger
from ledger.proofs.policies import Revoked
from tests.factories.compute import member, organization
from tests.factories.traced import TracedWorld, released

pytestmark = pytest.mark.django_db

SECRET = "核对逾期风险的内部场景"
RUN_STEPS = {"request", "consent", "authorization", "run", "result", "release", "delivery"}
OPEN_TO_ALL = {"certificate", "product"}


def make():
    world = TracedWorld(choices={"scenario_zh": SECRET, "scenario_en": "inner scenario"})
    done = released(world)
    results.deliver(done, by=world.buyer)
    ledger.seal()
    return world, done


@pytest.fixture
def traced():
    return make()


def token_of(membership):
    return tokens.issue(user=membership.user, membership=membership).value


def ask(reference, by=None):
    """The API's answer to somebody: status and JSON."""
    client = Client(headers={"Authorization": f"Token {token_of(by)}"} if by else {})
    answer = client.get(f"/api/v1/trace/{reference}/")
    return answer.status_code, answer.json()


def look(reference, by=None, language="en"):
    """The page as somebody sees it: status and text."""
    client = Client(headers={"Accept-Language": language})
    if by is not None:
        client.force_login(by.user)
    answer = client.get(f"/trace/{reference}/")
    return answer.status_code, answer.content.decode()


def open_kinds(body):
    return {step["kind"] for step in body["steps"] if step["is_open"]}


def closed_kinds(body):
    return {step["kind"] for step in body["steps"] if not step["is_open"]}


# --- who sees what ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "opened"),
    [
        (Role.AUDITOR, RUN_STEPS | OPEN_TO_ALL | {"source", "contract", "charge", "receipt"}),
        (Role.SUPERVISOR, RUN_STEPS | OPEN_TO_ALL | {"source", "contract", "charge", "receipt"}),
        (Role.COMPLIANCE_REVIEWER, RUN_STEPS | OPEN_TO_ALL | {"source", "contract"}),
        (Role.ALGORITHM_REVIEWER, RUN_STEPS | OPEN_TO_ALL),
        (Role.SETTLEMENT_CLERK, set()),
        (Role.ADMISSION_OFFICER, set()),
        (Role.OPS, set()),
    ],
)
def test_staff_see_the_steps_of_their_role_and_the_public_log_of_the_rest(traced, role, opened):
    world, done = traced
    officer = member(world.exchange, role)

    status, body = ask(done.ref, officer)

    assert (status, open_kinds(body)) == (200, opened)
    for step in body["steps"]:
        if not step["is_open"]:
            assert (step["responsible"], step["signers"], step["digest"], step["facts"]) == (None, [], None, [])
            assert (step["papers"], step["opening"], step["links"]) == ([], None, [])
    papers = any(step["papers"] for step in body["steps"])
    assert papers == (role in (Role.AUDITOR, Role.SUPERVISOR))


def test_parties_see_every_step_and_only_the_signed_documents_of_theirs(traced):
    world, done = traced
    for by in (world.buyer, world.provider):
        status, body = ask(done.ref, by)
        assert (status, closed_kinds(body), body["defects"]) == (200, set(), [])
    assert SECRET in json.dumps(body, ensure_ascii=False)  # the terms they signed


def test_a_compute_party_sees_the_run_and_no_charge():
    world = TracedWorld(operation=operations.ALIGNED_STATISTICS)
    done = released(world)
    helper = world.organizations["helper"]

    for role in (Role.DELIVERY_PARTY, Role.PROVIDER):
        status, body = ask(done.ref, member(helper, role))
        assert (status, closed_kinds(body)) == (200, {"charge"})
        assert "amount_fen" not in json.dumps(body)


def test_nobody_finds_rows_filter_values_or_people_in_a_trace(traced):
    world, done = traced
    text = json.dumps(ask(done.ref, world.buyer)[1], ensure_ascii=False)

    for secret in ("parameters", "filters", "sealed_part", "id_no", world.buyer.user.username):
        assert (secret, secret in text) == (secret, False)


@pytest.mark.parametrize("signed_in", [False, True])
def test_strangers_see_what_the_public_log_shows_and_no_more(traced, signed_in):
    world, done = traced
    stranger = member(organization("stranger"), Role.BUYER) if signed_in else None

    status, body = ask(done.ref, stranger)

    assert (status, body["kind"], body["title"], body["onward"]) == (200, "log", "", [])
    assert {step["kind"] for step in body["steps"]} == {"entry"}
    assert "result.released" in {step["entry"]["kind"] for step in body["steps"]}
    text = json.dumps(body, ensure_ascii=False) + look(done.ref, stranger)[1]
    known = (SECRET, world.contract.urn, world.contract.number, done.request_digest, "credit_risk", "fund-a")
    assert [secret for secret in known if secret in text] == []


def test_a_digest_that_is_there_looks_to_strangers_like_one_that_is_not(traced):
    world, done = traced
    stranger = member(organization("stranger"), Role.BUYER)
    wrong = ask("0" * 64, stranger)
    assert (wrong[0], wrong[1]["code"]) == (404, "TRACE_NOT_FOUND")
    for reference in (
        done.request_digest,
        done.authorization.job_digest,
        done.tasks.first().part.digest,
        done.tasks.first().report_digest,
        world.contract.terms_digest,
        world.contract.number,
        results.receipt_number(done),
    ):
        for by in (stranger, None, member(world.exchange, Role.OPS)):
            status, body = ask(reference, by)
            own = {name: wrong[1].get(name) for name in ("instance", "request_id")}  # each answer has its own
            same = {**body, **own} == {**wrong[1], **own}
            assert (reference, status, same) == (reference, 404, True)
        assert look(reference)[0] == 404
    assert ask(done.request_digest, world.buyer)[0] == 200


def test_what_is_no_reference_is_a_bad_request(traced):
    status, body = ask("not-a-reference")
    assert (status, body["code"]) == (400, "TRACE_REFERENCE_INVALID")
    assert look("not-a-reference")[0] == 400


# --- the page -----------------------------------------------------------------------------------------------


def test_the_page_shows_the_chain_in_both_languages_and_its_links_lead_somewhere(traced):
    world, done = traced
    status, text = look(done.ref, world.buyer)
    chinese = look(done.ref, world.buyer, language="zh-Hans")[1]

    assert (status, "Chain of custody" in text, "Every step that you may see has its signers." in text) == (
        200,
        True,
        True,
    )
    assert ("保管链" in chinese, "Chain of custody" in chinese) == (True, False)
    assert text.index("Where it comes from") < text.index("Why it was allowed") < text.index("Where it went")
    client = Client()
    client.force_login(world.buyer.user)
    for step in ask(done.ref, world.buyer)[1]["steps"]:
        for link in step["links"]:
            assert (link["address"], client.get(link["address"]).status_code) == (link["address"], 200)


def test_the_search_box_leads_to_the_trace_and_pages_lead_to_it(traced):
    world, done = traced
    client = Client(headers={"Accept-Language": "en"})
    client.force_login(world.buyer.user)
    assert client.get("/trace/").status_code == 200
    assert client.get("/trace/", {"q": f" {done.request_digest} "}).url == f"/trace/{done.request_digest}/"
    assert f'href="/trace/{done.ref}/"' in client.get(f"/computations/{done.ref}/").content.decode()
    entry = done.result.accepted_entry
    assert f'href="/trace/{entry.ref}/"' in client.get(f"/ledger/entries/{entry.ref}/").content.decode()


# --- on a member's own machine --------------------------------------------------------------------------------


def judged(body, done, **changes):
    given = {"request": done.request, "receipt": results.receipt_of(done), **changes}
    return Judge(body, policy=ledger.trust_policy(), **given)


def statuses(judge):
    return {verdict.step["kind"]: verdict.status for verdict in judge.verdicts()}


def codes(judge):
    return {verdict.step["kind"]: verdict.codes for verdict in judge.verdicts() if verdict.codes}


def test_a_genuine_chain_passes_step_by_step(traced):
    world, done = traced
    judge = judged(ask(done.ref, world.buyer)[1], done)

    assert (set(statuses(judge).values()), codes(judge), judge.missing()) == ({PASS}, {}, [])


def test_what_is_not_at_hand_is_not_checked_and_never_passed(traced):
    world, done = traced
    judge = judged(ask(done.ref, world.buyer)[1], done, request=None, receipt=None)

    assert {kind for kind, status in statuses(judge).items() if status == NOT_CHECKED} == {"request", "receipt"}


def of_kind(body, kind):
    return next(step for step in body["steps"] if step["kind"] == kind)


TAMPERED = [
    ("consent", lambda step, _: step["papers"][0]["document"].update(reason="changed")),
    ("run", lambda step, _: step["papers"][0]["document"].update(units=0)),
    ("run", lambda step, _: step["papers"][0]["document"]["proof"].clear()),
    ("authorization", lambda step, _: step["papers"][0]["document"].update(min_group=11)),
    ("contract", lambda step, _: step["papers"][0]["document"]["proof"].pop()),
    ("certificate", lambda step, _: step["papers"][0]["document"].update(number="X")),
    ("charge", lambda step, _: step["opening"]["payload"].update(amount_fen=1)),
    ("release", lambda step, _: step["entry"].update(kind="result.withheld")),
    ("delivery", lambda step, _: step.update(digest="0" * 64)),
    ("result", lambda step, body: body["proofs"][step["entry"]["urn"]].update(index=0)),
    ("release", lambda step, body: body["proofs"][step["entry"]["urn"]].update(path=[])),
    ("charge", lambda step, body: step.update(defect="TRACE_STEP_UNSIGNED")),
]


@pytest.fixture
def genuine(traced):
    world, done = traced
    return ask(done.ref, world.buyer)[1], done


def test_each_part_that_is_changed_fails_its_own_step(genuine):
    """One world for all: it takes a second to make, and only its copy is changed."""
    for number, (kind, change) in enumerate(TAMPERED):
        body, done = copy.deepcopy(genuine[0]), genuine[1]
        change(of_kind(body, kind), body)

        judge = judged(body, done)
        assert statuses(judge).get(kind) == FAIL or kind in codes(judge), (number, kind)


def test_a_genuine_entry_of_another_kind_or_run_is_not_taken_for_the_right_one(genuine):
    body, done = genuine
    for kind in ("release", "charge", "delivery", "authorization"):
        swapped = copy.deepcopy(body)
        other = of_kind(swapped, "request")
        of_kind(swapped, kind).update(entry=other["entry"], opening=other["opening"])
        assert "LEAF_INVALID" in codes(judged(swapped, done))[kind]
    moved = copy.deepcopy(body)
    for step in moved["steps"]:
        step["subject"] = step["subject"][:-1] + ("0" if step["subject"][-1] != "0" else "1")
    assert {"release", "charge", "request"} <= set(codes(judged(moved, done)))


def test_what_a_withdrawn_key_signed_too_late_fails(genuine):
    body, done = genuine
    policy = ledger.trust_policy()
    terms = of_kind(body, "contract")["papers"][0]["document"]
    key = next(party["document_key"] for party in terms["parties"] if party["role"] == "provider")
    accepted = body["proofs"][of_kind(body, "run")["entry"]["urn"]]["index"]
    for index, wanted in ((0, {"contract", "run"}), (accepted, {"run"}), (accepted + 1, set())):
        withdrawn = replace(policy, revoked=(Revoked(key, policy.log_origin, index),))
        judge = Judge(body, policy=withdrawn, request=done.request, receipt=results.receipt_of(done))
        found = {kind for kind, why in codes(judge).items() if "KEY_REVOKED" in why}
        assert found & {"contract", "run"} == wanted, index
    withdrawn = replace(policy, revoked=(Revoked(policy.log_key, policy.log_origin, 0),))
    assert "KEY_REVOKED" in codes(Judge(body, policy=withdrawn))["release"]


def test_a_step_that_is_left_out_is_missed(genuine):
    for kind in ("contract", "request", "consent", "authorization", "run", "result", "charge"):
        body, done = copy.deepcopy(genuine[0]), genuine[1]
        body["steps"].remove(of_kind(body, kind))

        judge = judged(body, done)
        assert kind in judge.missing() or FAIL in statuses(judge).values(), kind


def test_the_genuine_chain_of_another_result_is_no_answer_to_a_digest(genuine):
    body, done = genuine
    judge = judged(body, done)

    assert judge.speaks_of(done.tasks.first().part.digest)
    assert judge.speaks_of(done.request_digest.upper())
    assert not judge.speaks_of("5e" * 32)


def test_a_checkpoint_of_another_log_key_fails_every_entry(genuine):
    body, done = copy.deepcopy(genuine[0]), genuine[1]
    for name, note in body["checkpoints"].items():
        body["checkpoints"][name] = note.replace("\n", "\nx", 1)

    entries = [verdict for verdict in judged(body, done).verdicts() if verdict.step["entry"]]
    assert {verdict.status for verdict in entries} == {FAIL}


@pytest.mark.django_db(transaction=True)
def test_the_command_prints_and_judges_the_same_chain(live_server, tmp_path, capsys, monkeypatch):
    world, done = make()
    monkeypatch.setenv("LANG", "C.UTF-8")
    home = Home(tmp_path)
    home.save_config(Config(url=live_server.url, key_file="", organization=world.buyer.organization.urn))
    (tmp_path / "policy.json").write_text(json.dumps(ledger.trust_policy().document()))

    public = cli.main(["--home", str(tmp_path), "trace", done.ref, "--json"])
    seen = json.loads(capsys.readouterr().out)
    assert (public, seen["kind"], {step["status"] for step in seen["steps"]}) == (0, "log", {PASS})

    home.save_token(token_of(world.buyer))
    part = done.tasks.first().part.digest
    code = cli.main(["--home", str(tmp_path), "trace", part, "--json"])
    seen = json.loads(capsys.readouterr().out)
    assert (code, seen["accepted"], {step["status"] for step in seen["steps"]}) == (0, True, {PASS})
    assert cli.main(["--home", str(tmp_path), "trace", done.ref]) == 0
    assert "✓ PASS        usage receipt" in capsys.readouterr().out
    assert cli.main(["--home", str(tmp_path), "trace", "0" * 64]) != 0
    assert "TRACE_NOT_FOUND" in capsys.readouterr().err
