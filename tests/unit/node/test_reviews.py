"""Two persons may let one very query through, one may not, and none may for another; and the dry run that explains."""

import json

import pytest

from compute.engines.privacy import noised
from compute.node import admission, cli, consents, noises, reviews
from compute.node import config as configuration
from compute.node.errors import ConfigInvalid, ConsentNotPossible
from compute.protocol import keyfiles
from compute.protocol.codes import Refused
from ledger.proofs import statements
from tests.factories.node import NOW, Provider
from tests.unit.node import cases

RANGE = [{"column": "base", "from": "1000", "to": "1030"}]
REVIEWED = {"mechanism": "reviewed"}
LAPLACE = {"mechanism": "discrete_laplace", "epsilon": "0.1"}


@pytest.fixture
def reviewers(fund: Provider) -> dict[str, keyfiles.KeyFile]:
    found = {name: keyfiles.generate(name) for name in ("li", "wang", "zhao")}
    for name, keys in found.items():
        keyfiles.save(keys, fund.config.home / f"{name}.json")
    table = {name: keys.document_key for name, keys in found.items()}
    fund.config = configuration.add_table(fund.config.home, "reviewers", table)
    return found


def asking(fund: Provider, **changes: object) -> dict:
    return cases.asking(fund, **{"privacy": REVIEWED, "filters": RANGE, **changes})


def seen(fund: Provider, request: dict) -> str:
    pair = {"contract": fund.contract, "request": request}
    return consents.consider(pair, config=fund.config, keys=fund.keys, store=fund.store, now=NOW)


def answer(fund: Provider, request: dict, keys: keyfiles.KeyFile, decision: str = "approved") -> dict:
    return reviews.decide(
        request["id"],
        decision=decision,
        dataset="housing_fund",
        config=fund.config,
        keys=keys,
        store=fund.store,
        now=NOW,
    )


def consent(fund: Provider, request: dict) -> None:
    consents.decide(
        computation=request["id"],
        decision="granted",
        reason="",
        config=fund.config,
        keys=fund.keys,
        store=fund.store,
        now=NOW,
    )


def admit(fund: Provider, request: dict) -> admission.Case:
    given = [fund.store.consent(request["id"]), fund.world.consent(request, "fund-b")]
    case = cases.case_of(fund, fund.world.bundle(fund.contract, request, consents=given))
    admission.admit(case)
    return case


def test_two_approvals_then_the_owners_yes_and_the_run_is_exact(fund, reviewers, tmp_path):
    request = asking(fund)
    assert seen(fund, request) == "waiting"  # the standing consent does not cover it

    for keys in (reviewers["li"], reviewers["wang"]):
        with pytest.raises(ConsentNotPossible):
            consent(fund, request)
        answer(fund, request, keys)
    consent(fund, request)
    case = admit(fund, request)

    assert case.verdict is not None
    assert (case.verdict.tier, case.verdict.spending, case.verdict.uses) == (3, None, ())
    (tmp_path / "run").mkdir()
    noises.prepare(case, into=tmp_path / "run")
    content = json.loads((tmp_path / "run" / noised.NOISE_FILE).read_text())
    assert content["noise"] == [[0, 0], [0, 0]]
    assert [item["computation"] for item in reviews.history(fund.store, dataset="housing_fund")] == [request["id"]]


def test_one_person_twice_is_one(fund, reviewers):
    request = asking(fund)
    seen(fund, request)
    answer(fund, request, reviewers["li"])

    with pytest.raises(ConsentNotPossible):
        answer(fund, request, reviewers["li"])
    with pytest.raises(Refused) as refused:
        reviews.check(request, config=fund.config, store=fund.store)
    assert refused.value.code == "CONSENT_MISSING"


def test_one_no_is_a_no_whatever_the_others_say(fund, reviewers):
    request = asking(fund)
    seen(fund, request)
    answer(fund, request, reviewers["li"])
    answer(fund, request, reviewers["wang"])
    answer(fund, request, reviewers["zhao"], "refused")

    with pytest.raises(Refused) as refused:
        reviews.check(request, config=fund.config, store=fund.store)
    assert refused.value.code == "CONSENT_REFUSED"


def test_an_approval_is_of_one_request_by_a_reviewer_of_now(fund, reviewers):
    request, other = asking(fund), asking(fund, min_group=11)
    for one in (request, other):
        seen(fund, one)
    for name in ("li", "wang"):
        answer(fund, request, reviewers[name])
    reviews.check(request, config=fund.config, store=fund.store)

    # The signed answers carried over to another request of the same table, by somebody who can write the database.
    rows = fund.store.connection().execute("SELECT reviewer_key, document FROM reviews").fetchall()
    for key, document in rows:
        fund.store.connection().execute("INSERT INTO reviews VALUES (?, ?, ?)", (other["id"], key, document))
    with pytest.raises(Refused):
        reviews.check(other, config=fund.config, store=fund.store)

    path = fund.config.home / configuration.FILE_NAME  # Wang is a reviewer no more
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("wang")))
    with pytest.raises(Refused):
        reviews.check(request, config=configuration.load(fund.config.home), store=fund.store)


def test_a_forged_answer_counts_for_nothing(fund, reviewers):
    request = asking(fund)
    seen(fund, request)
    document = answer(fund, request, reviewers["li"])
    forged = statements.sign(
        {**statements.unsigned(document), "reviewer": "wang"},
        key=reviewers["li"].document,
        created="2026-11-21T05:30:00Z",
    )
    fund.store.connection().execute(
        "INSERT INTO reviews VALUES (?, ?, ?)", (request["id"], reviewers["wang"].document_key, json.dumps(forged))
    )

    with pytest.raises(Refused):
        reviews.check(request, config=fund.config, store=fund.store)


def test_a_stranger_and_a_doubled_key_are_no_reviewers(fund, reviewers):
    request = asking(fund)
    seen(fund, request)
    with pytest.raises(ConsentNotPossible):
        answer(fund, request, keyfiles.generate("stranger"))

    path = fund.config.home / configuration.FILE_NAME
    path.write_text(path.read_text().replace(reviewers["wang"].document_key, reviewers["li"].document_key))
    with pytest.raises(ConfigInvalid):
        configuration.load(fund.config.home)


def test_admission_asks_again_and_does_not_trust_the_consent(fund, reviewers):
    """The owner's own consent to a request that nobody reviewed is in the store: admission refuses all the same."""
    request = asking(fund)
    fund.store.add_request(request)
    fund.store.add_consent(fund.world.consent(request, "fund-a"))

    with pytest.raises(Refused) as refused:
        admit(fund, request)
    assert refused.value.code == "CONSENT_MISSING"


# --- the commands -------------------------------------------------------------------------------------------


def run(fund: Provider, capsys: pytest.CaptureFixture[str], *words: str) -> object:
    code = cli.main(["--home", str(fund.config.home), *words, "--json"])
    out = capsys.readouterr().out
    return json.loads(out) if code == 0 else json.loads(out)["error"]


def explained(fund: Provider, capsys: pytest.CaptureFixture[str], request: dict, *words: str) -> dict:
    path = fund.config.home / "asked.json"
    path.write_text(json.dumps({"operation": request["operation"], "parameters": request["parameters"]}))
    found = run(fund, capsys, "explain", str(path), "--dataset", "housing_fund", *words)
    assert isinstance(found, dict)
    return found


def test_the_owner_reviews_on_the_command_line_with_the_history_before_the_eyes(fund, reviewers, capsys):
    request = asking(fund)
    seen(fund, request)
    assert run(fund, capsys, "review", "list")[0]["computation"] == request["id"]
    assert run(fund, capsys, "review", "show", request["id"])["history"] == []

    for name in ("li", "wang"):
        made = run(fund, capsys, "review", "approve", request["id"], "--key", str(fund.config.home / f"{name}.json"))
        assert (made["reviewer"], made["decision"]) == (name, "approved")

    reviews.check(request, config=fund.config, store=fund.store)
    assert [item["reviewer"] for item in run(fund, capsys, "review", "list")[0]["answers"]] == ["li", "wang"]


def test_the_budget_command_says_what_is_spent_by_whom_and_what_is_left(fund, capsys):
    request = asking(fund, privacy=LAPLACE)
    fund.consented(request)
    admit(fund, request)

    (table,) = run(fund, capsys, "budget")

    assert (table["dataset"], table["spent"], table["left"], table["limit"]) == ("housing_fund", "0.1", "0.9", "1")
    (spent,) = table["spendings"]
    assert (spent["buyer"], spent["computation"]) == (fund.world.orgs["bank"], request["id"])
    assert cli.main(["--home", str(fund.config.home), "--lang", "zh", "budget"]) == 0
    assert "隐私预算 1，已用 0.1，剩余 0.9" in capsys.readouterr().out


def test_the_dry_run_names_tier_columns_cost_and_noise_and_spends_nothing(fund, capsys):
    found = explained(fund, capsys, asking(fund, privacy=LAPLACE))

    assert (found["answered"], found["tier"], found["costs"], found["left"]) == (True, 2, "0.1", "1")
    # base goes to 60,000.00: six million cents, and half of epsilon 0.1 for the sum.
    assert found["noise"] == [
        {"number": "count", "sensitivity": 1, "scale": "20"},
        {"number": "base", "sensitivity": 6_000_000, "scale": "120000000"},
    ]
    assert {item["column"]: item["allowed"] for item in found["columns"]} == {"base": True, "district": True}
    assert run(fund, capsys, "budget")[0]["spent"] == "0"


def test_the_dry_run_opens_rows_only_when_asked(fund, capsys):
    request = cases.asking(fund, min_group=10)
    directory = fund.config.datasets / "housing_fund" / "1"
    moved = directory.with_name("elsewhere")
    directory.rename(moved)
    assert explained(fund, capsys, request)["withheld"] == {}
    moved.rename(directory)

    path = fund.config.home / configuration.FILE_NAME
    path.write_text(path.read_text().replace("min_group = 10", "min_group = 11"))
    found = explained(fund, capsys, request, "--open")

    assert found["k"] == 11
    assert found["withheld"] == {"base": {"small": ["North/20-29", "North/30-39", "South/20-29", "South/30-39"]}}


QUESTIONS = {
    "blocks": {},
    "a number to group by": {"group_by": ["base"]},
    "a filter off the blocks": {"filters": [{"column": "base", "in": ["1000.50"]}]},
    "an id": {"values": ["person_id"]},
    "noise": {"privacy": LAPLACE, "filters": RANGE},
    "too much epsilon": {"privacy": {**LAPLACE, "epsilon": "0.5"}},
    "reviewed": {"privacy": REVIEWED},
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_dry_run_says_what_consent_and_admission_say(fund, reviewers, capsys, name):
    """Preview, consent and admission are one code: the same request, the same word."""
    request = cases.asking(fund, **QUESTIONS[name])
    previewed = explained(fund, capsys, request)["code"]

    given = fund.consented(request)
    by_consent = given[0]["reason"] or None if given[0]["organization"] == fund.world.orgs["fund-a"] else "waiting"
    try:
        admission.admit(cases.case_of(fund, cases._around(fund, request)))
        by_admission = None
    except Refused as refused:
        by_admission = refused.code

    if name == "reviewed":
        assert (previewed, by_consent) == ("CONSENT_MISSING", "waiting")
    elif previewed is None:
        assert by_consent is None
    else:
        assert previewed == by_consent == by_admission


def test_a_column_beyond_its_level_is_refused_and_the_dry_run_says_which(fund, capsys):
    description = fund.store.dataset("housing_fund", fund.contract["objects"][0]["dataset_commitment"])
    for column in description["columns"]:
        if column["name"] == "base":
            column["level"] = {"default": "plaintext_after_aggregate", fund.world.orgs["bank"]: "encrypted_only"}
    kept = json.dumps({key: value for key, value in description.items() if key != "directory"})
    fund.store.connection().execute("UPDATE datasets SET description = ?", (kept,))
    request = cases.asking(fund)

    given = fund.consented(request)
    found = explained(fund, capsys, request, "--recipient", fund.world.orgs["bank"])

    assert (given[0]["decision"], given[0]["reason"]) == ("refused", "PARAMETERS_OUT_OF_TERMS")
    assert found["code"] == "PARAMETERS_OUT_OF_TERMS"
    assert [item["column"] for item in found["columns"] if not item["allowed"]] == ["base"]
    assert explained(fund, capsys, request)["code"] is None  # for anybody else as ever
