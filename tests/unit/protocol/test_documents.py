"""Every document: its constructor makes what its validator takes, and one thing wrong is named by its path."""

import base64
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from compute.protocol import codes, documents, operations, terms
from compute.protocol.documents import DocumentInvalid
from compute.protocol.operations import ParametersOutOfTerms
from exchange.kernel.identifiers import make_urn, new_ulid
from tests.factories.node import NOW, World

CERTIFICATE = "-----BEGIN CERTIFICATE-----\n" + base64.b64encode(bytes(300)).decode() + "\n-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(Path(tmp_path_factory.mktemp("world")))


@pytest.fixture(scope="module")
def genuine(world: World) -> dict[str, tuple[dict[str, Any], Callable[[Any], None]]]:
    contract = world.contract({"fund-a": "a" * 64, "fund-b": "b" * 64})
    request = world.request(contract)
    job = world.job(contract, request)
    consent = world.consent(request, "fund-a")
    authorization = documents.authorization(job=job, consents=[consent], policy_rule="P7", policy_version=1)
    proof, note = world.log_entry(authorization, subject=job["id"])
    report = documents.execution_report(
        job=job,
        organization=world.orgs["fund-a"],
        rank=0,
        sequence=1,
        previous=None,
        outcome="completed",
        code=None,
        stage="delivery",
        engine={
            "id": "additive_sharing/1",
            "protocol": "additive secret sharing",
            "adversary_model": "semi-honest",
            "transport": documents.TRANSPORT,
            "software": {"hengshu": "0.1.0"},
        },
        gate={"tier": 1, "min_group": 10, "rule": "fixed blocks"},
        datasets=[{"dataset": "housing_fund", "commitment": "a" * 64}],
        part={"digest": "c" * 64, "size_bytes": 100, "suite": "HPKE"},
        learned=[{"role": "provider", "zh": "无", "en": "nothing"}],
        started=NOW,
        finished=NOW,
    )
    offer = documents.link_offer(
        job=job,
        organization=world.orgs["fund-a"],
        rank=0,
        addresses=["127.0.0.1:21000", "127.0.0.1:21001", "127.0.0.1:21002"],
        certificate=CERTIFICATE,
        expires=NOW,
    )
    bundle = documents.receipt_bundle(
        number="UMR-HS-202611-0000012",
        computation=job["id"],
        contract=contract,
        request=request,
        job=job,
        consents=[consent],
        reports=[report],
        entries=[proof],
        checkpoint=note,
        anchor=None,
        charge={"unit_price_fen": 50000, "units": 1, "amount_fen": 50000, "currency": "CNY"},
    )
    revocation = documents.revocation(
        contract=contract["id"],
        terms_digest=terms.digest(contract),
        organization=world.orgs["fund-a"],
        sequence=1,
        issued=NOW,
    )
    message = documents.node_message(
        organization=world.orgs["fund-a"],
        verb="poll",
        audience=world.exchange.document_key,
        created=NOW,
        nonce="0" * 32,
        body={},
    )
    return {
        "key_card": (world.keys["bank"].card(created="2026-11-21T05:30:00Z"), documents.check_key_card),
        "contract": (contract, terms.check),
        "request": (request, documents.check_request),
        "consent": (consent, documents.check_consent),
        "job": (job, documents.check_job),
        "authorization": (authorization, documents.check_authorization),
        "link_offer": (offer, documents.check_link_offer),
        "report": (report, documents.check_execution_report),
        "revocation": (revocation, documents.check_revocation),
        "node_message": (message, documents.check_node_message),
        "bundle": (bundle, documents.check_receipt_bundle),
    }


NAMES = [
    "key_card",
    "contract",
    "request",
    "consent",
    "job",
    "authorization",
    "link_offer",
    "report",
    "revocation",
    "node_message",
    "bundle",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_closed(genuine: Any, name: str) -> None:
    document, check = genuine[name]
    check(document)
    for wrong in (None, [], "text", 7, {}, {**document, "type": "hengshu/other/v1"}, {**document, "more": 1}):
        with pytest.raises(DocumentInvalid):
            check(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_every_member_is_needed_and_typed(genuine: Any, name: str) -> None:
    """Walk the whole document: leave out, or put a wrong type in place of, every member at every depth."""
    document, check = genuine[name]
    tried = 0
    for path in _paths({key: value for key, value in document.items() if key != "proof"}):
        if name == "bundle" and path[0] in ("documents", "entries") and len(path) > 2:
            continue  # what is inside is checked by its own type
        if name == "contract" and path[:2] == ("computation", "engines"):
            continue  # a map with free names: covered below
        if name == "report" and path[:2] == ("engine", "software") and len(path) > 2:
            continue
        left_out, wrong = deepcopy(document), deepcopy(document)
        _at(left_out, path[:-1]).pop(path[-1])
        _at(wrong, path[:-1])[path[-1]] = 1.5
        for broken in (left_out, wrong):
            if isinstance(path[-1], int) and broken is left_out:
                continue  # a shorter list may be a list
            tried += 1
            with pytest.raises((DocumentInvalid, operations.OperationUnknown)):
                check(broken)
    assert tried > 3


def test_the_message_names_the_member_and_not_the_value(genuine: Any) -> None:
    contract, check = genuine["contract"]
    changed = deepcopy(contract)
    changed["money"]["split"][1]["basis_points"] = "secret-value"

    with pytest.raises(DocumentInvalid) as refused:
        check(changed)

    assert refused.value.path == "money.split[1].basis_points"
    assert "secret-value" not in refused.value.message


TERMS = [
    (("money", "split", 0, "basis_points"), 299, "money.split"),
    (("money", "remainder_to"), make_urn("org", new_ulid()), "money.remainder_to"),
    (("output", "min_cell"), 9, "output.min_cell"),
    (("output", "receiver"), make_urn("org", new_ulid()), "output.receiver"),
    (("parties", 1, "role"), "buyer", "parties"),
    (("objects", 0, "provider"), make_urn("org", new_ulid()), "objects[0].provider"),
    (("computation", "operations"), ["read_everything"], "computation.operations[0]"),
    (("computation", "engines"), {"joint_statistics": "other/1"}, "computation.engines.joint_statistics"),
    (("computation", "engines"), {"joint_statistics": "additive_sharing/1", "x": "y/1"}, "computation.engines"),
    (("term", "effective_to"), "2020-01-01T00:00:00Z", "term.effective_to"),
    (("term", "effective_to"), "2026-02-30T00:00:00Z", "term.effective_to"),
    (("price", "unit_price_fen"), True, "price.unit_price_fen"),
    (("price", "unit_price_fen"), -1, "price.unit_price_fen"),
    (("number",), "DTC-\n", "number"),
    (("parties", 0, "document_key"), "did:key:z6Mk", "parties[0].document_key"),
]


@pytest.mark.parametrize(("path", "value", "named"), TERMS, ids=[item[2] + str(i) for i, item in enumerate(TERMS)])
def test_terms_that_do_not_fit_together(genuine: Any, path: tuple[Any, ...], value: Any, named: str) -> None:
    changed = deepcopy(genuine["contract"][0])
    _at(changed, path[:-1])[path[-1]] = value

    with pytest.raises(DocumentInvalid) as refused:
        terms.check(changed)

    assert refused.value.path == named


def test_a_report_fits_its_outcome(genuine: Any) -> None:
    report, check = genuine["report"]
    for changes in (
        {"outcome": "failed"},
        {"code": "ENGINE_FAILED"},
        {"units": 0},
        {"units": 2},  # a call is one
        {"part": None},
        {"previous": "a" * 64},
        {"sequence": 2},
    ):
        with pytest.raises(DocumentInvalid):
            check({**report, **changes})


def test_ranks_are_told_by_terms_and_request_alone(world: World) -> None:
    contract = world.contract({"fund-a": "a" * 64, "social": "b" * 64}, operation="aligned_statistics")
    request = world.request(contract)

    parties = operations.parties(contract, operation=request["operation"], parameters=request["parameters"])

    assert [(party["organization"], party["rank"], party["role"]) for party in parties] == [
        (world.orgs["fund-a"], 0, "data"),
        (world.orgs["social"], 1, "data"),
        (world.orgs["helper"], 2, "compute"),
    ]
    turned = {
        **request["parameters"],
        "group_provider": world.orgs["social"],
        "value_provider": world.orgs["fund-a"],
    }
    parties = operations.parties(contract, operation=request["operation"], parameters=turned)
    assert [party["organization"] for party in parties[:2]] == [world.orgs["social"], world.orgs["fund-a"]]


def test_parameters_stay_inside_the_terms(world: World) -> None:
    contract = world.contract({"fund-a": "a" * 64, "fund-b": "b" * 64})
    parameters = operations.joint_statistics(group_by=["district"], values=["salary"])

    operations.check_parameters("joint_statistics", parameters)
    with pytest.raises(ParametersOutOfTerms):
        operations.check_parameters("joint_statistics", parameters, terms=contract)


PARAMETERS: list[dict[str, Any]] = [
    {"group_by": ["a", "b", "c", "d"]},
    {"group_by": ["a", "a"]},
    {"values": []},
    {"values": ["v"] * 9},
    {"filters": [{"column": "a", "in": []}]},
    {"filters": [{"column": "a", "in": ["x"]}] * 2},
    {"filters": [{"column": "a", "in": ["x"], "not": []}]},
    {"min_group": 9},
    {"min_group": True},
    {"more": 1},
]


@pytest.mark.parametrize("changes", PARAMETERS, ids=lambda item: "_".join(item))
def test_parameters_are_closed_and_bounded(changes: dict[str, Any]) -> None:
    good = operations.joint_statistics(group_by=["a"], values=["v"])
    with pytest.raises(DocumentInvalid):
        operations.check_parameters("joint_statistics", {**good, **changes})


def test_parse_refuses_what_is_not_one_strict_object() -> None:
    for data in (b"", b"[]", b"{", b'{"a":1,"a":2}', b'{"a":1.5}', b'{"a":NaN}', b'{"a":"\xff"}', b" " * 300_000):
        with pytest.raises(DocumentInvalid):
            documents.parse(data)
    assert documents.parse(b'{"a":1}') == {"a": 1}


def test_the_failure_codes_are_a_closed_list_in_two_languages() -> None:
    assert len(codes.CODES) <= 40
    for code in codes.CODES.values():
        assert code.zh.endswith("。")
        assert code.en.endswith(".")
        assert code.action_zh
        assert code.action_en.endswith(".")
    assert codes.Refused("QUOTA_EXHAUSTED").code == "QUOTA_EXHAUSTED"
    assert codes.get("QUOTA_EXHAUSTED").sentence("zh-hans").startswith("本节点")
    with pytest.raises(KeyError):
        codes.Refused("ANYTHING")


def _paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        found += [(*prefix, name), *_paths(item, (*prefix, name))]
    return found


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        document = document[name]
    return document


def test_a_receipt_takes_headers_and_trie_nodes_of_their_real_size(genuine):
    """A branch of the state trie has 532 bytes, a header grows with its numbers; both are longer than other texts."""
    node = "0x" + "ab" * 532
    slot = {"slot": "0x" + "0" * 64, "value": "0x1", "proof": [node]}
    anchor = {
        "chain_id": 31337,
        "contract_address": "0x" + "1" * 40,
        "size": 7,
        "root": "a" * 64,
        "block_number": 3,
        "block_hash": "0x" + "b" * 64,
        "transaction": "0x" + "c" * 64,
        "evidence": {"header": "0x" + "cd" * 800, "account_proof": [node] * 9, "storage": [slot]},
    }
    receipt = {**deepcopy(genuine["bundle"][0]), "anchor": anchor}

    genuine["bundle"][1](receipt)
    anchor["evidence"]["header"] = "0x" + "cd" * 40_000
    with pytest.raises(DocumentInvalid):
        genuine["bundle"][1](receipt)
