"""The verifier in the reader's browser gives every question the answer of the one at home; run here by node."""

import base64
import copy
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.proofs import canonical, layout, policies, receipts
from ledger.proofs.errors import VerificationError
from ledger.proofs.policies import Revoked, TrustPolicy, Window
from tests.factories import page_programs
from tests.factories.receipts import BANK, EXCHANGE, FUND_A, FUND_B, ORIGIN, Purchase
from tests.unit.ledger.test_receipt_chain import TwoShards
from tests.unit.ledger.test_receipts import CASES

SEALED = {"witnesses": 3, "quorum": 2, "chain": "sealed"}
MUTATIONS = 240
PROGRAM = """
import fs from "node:fs";
import { webcrypto } from "node:crypto";
globalThis.crypto ??= webcrypto;  // browsers have it; Debian's node 18 keeps it in a module
const { verify, accepted } = await import("./js/verify.js");
const found = {};
for (const [name, { bundle, policy }] of Object.entries(JSON.parse(fs.readFileSync(0, "utf8")))) {
  try {
    const { checks } = await verify(new Uint8Array(Buffer.from(bundle, "base64")), policy);
    found[name] = [accepted(checks), Object.fromEntries(checks.map((one) => [one.name, [one.status, one.required]]))];
  } catch (error) { found[name] = error.code ?? String(error); }
}
console.log(JSON.stringify(found));
"""
Case = tuple[bytes, dict[str, Any]]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """The program as the pages load it, each file where the site serves it."""
    return page_programs.lay_out(tmp_path_factory.mktemp("browser"), PROGRAM)


def there(browser: Path, cases: dict[str, Case]) -> dict[str, Any]:
    sent = {
        name: {"bundle": base64.b64encode(bundle).decode(), "policy": policy}
        for name, (bundle, policy) in cases.items()
    }
    found: dict[str, Any] = page_programs.run(browser, sent)
    return found


def here(cases: dict[str, Case]) -> dict[str, Any]:
    found = {}
    for name, (bundle, policy) in cases.items():
        checks = receipts.verify(bundle, policy=policy)
        found[name] = [receipts.accepted(checks), {check.name: [str(check.status), check.required] for check in checks}]
    return found


def compare(browser: Path, cases: dict[str, Case]) -> dict[str, Any]:
    """What both answer; a test failure where they do not agree."""
    ours, theirs = here(cases), there(browser, cases)
    assert {name: (ours[name], theirs[name]) for name in cases if ours[name] != theirs[name]} == {}
    return ours


def case(purchase: Purchase, document: dict[str, Any] | None = None, policy: TrustPolicy | None = None) -> Case:
    signed = purchase.sign(purchase.document() if document is None else document, EXCHANGE)
    return canonical.encode(signed), (policy or purchase.policy).document()


def test_genuine_receipts_of_every_kind_are_answered_alike(browser):
    split = TwoShards()
    plain = Purchase()
    one = {"exchange_document_key": plain.policy.exchange_document_key, "log_origin": ORIGIN, "log_key": plain.log_key}
    cases = {
        "log alone": case(plain),
        "policy of version 1": (plain.bundle(), {"type": "hengshu/trust-policy/v1", **one, "chain": None}),
        "witnesses": case(Purchase(witnesses=3, quorum=2)),
        "sealed": case(Purchase(**SEALED)),
        "development": case(Purchase(chain="development")),
        "neither": case(Purchase(chain="plain")),
        "not proven": case(Purchase(chain="development", proven=False)),
        "two shards": case(split.purchase, split.document, split.policy),
    }
    found = compare(browser, cases)
    assert {name for name, (is_accepted, _) in found.items() if not is_accepted} == set()
    assert {status for status, _ in found["sealed"][1].values()} == {"PASS"}
    assert len(found["sealed"][1]) == 18


def test_lies_that_the_exchange_signed_are_found_by_the_same_questions(browser):
    cases = {name: case(Purchase(changes={document: change})) for name, (document, change, _, _) in CASES.items()}
    cases["nothing but proof missing"] = case(Purchase(chain="sealed", proven=False))
    size = 13
    for name, state in {"no root": {layout.root_in(1, size): 0}, "another root": {layout.root_in(1, size): 5}}.items():
        cases[name] = case(Purchase(**SEALED, state=state))
    found = compare(browser, cases)
    assert [name for name, (is_accepted, _) in found.items() if is_accepted] == []


def test_a_policy_is_demanding_in_the_same_way(browser):
    bought, stranger = Purchase(**SEALED), Purchase(**SEALED)
    document, policy = bought.document(), bought.policy
    own = [bought.keys[who].document_key for who in (EXCHANGE, FUND_A, FUND_B, BANK)]
    keys = [*own, bought.keys[FUND_B].chain_address.upper().replace("0X", "0x"), bought.keys[BANK].sealing_key]
    cases = {
        f"{key} withdrawn at {index}": case(bought, document, replace(policy, revoked=(Revoked(key, ORIGIN, index),)))
        for key in (*keys, bought.log_key) for index in (0, 9, 10, 11, 12, 13)
    }  # fmt: skip
    for until in (8, 9, 10, 12, 13):
        windows = (Window(own[0], 0, until), Window(stranger.keys[EXCHANGE].document_key, until))
        cases[f"exchange key until {until}"] = case(bought, document, replace(policy, exchange_keys=windows))
        log = (Window(bought.log_key, 0, until), Window(stranger.log_key, until))
        cases[f"log key until {until}"] = case(bought, document, replace(policy, logs=(policies.Log(ORIGIN, log),)))
    for quorum in range(4):
        witnesses = replace(policy.witnesses, quorum=quorum)
        cases[f"quorum {quorum}"] = case(bought, document, replace(policy, witnesses=witnesses))
        half = policies.Witnesses((*policy.witnesses.keys[:1], *stranger.policy.witnesses.keys[1:]), quorum)
        cases[f"quorum {quorum} with strangers"] = case(bought, document, replace(policy, witnesses=half))
    for name, change in {
        "other validators": {"validators": stranger.trusted_chain.validators},
        "some validators": {"validators": bought.trusted_chain.validators[:3]},
        "no validators": {"validators": ()}, "development": {"validators": (), "development": True},
        "other code": {"code_hash": "0x" + "00" * 32}, "any code": {"code_hash": None},
        "other address": {"contract_address": "0x" + "cd" * 20}, "other chain": {"chain_id": 1},
    }.items():  # fmt: skip
        cases[name] = case(bought, document, policies.with_chain(policy, replace(policy.chain, **change)))
    cases["no chain"] = case(bought, document, policies.with_chain(policy, None))
    found = compare(browser, cases)
    assert 20 < sum(is_accepted for is_accepted, _ in found.values()) < len(found) - 20


def test_the_end_of_a_frozen_log_is_the_policys_word_in_both(browser):
    split = TwoShards()
    (first, second), key = split.policy.logs, split.purchase.log_key
    cases = {}
    for index in (0, first.frozen.size - 1):
        withdrawn = replace(split.policy, revoked=(Revoked(key, ORIGIN, index),))
        cases[f"ended, withdrawn at {index}"] = case(split.purchase, split.document, withdrawn)
        for size, root in ((first.frozen.size + 1, first.frozen.root), (first.frozen.size, "ab" * 32)):
            ends = (replace(first, keys=(Window(key),), frozen=policies.Frozen(size, root)), second)
            cases[f"{size} {root} {index}"] = case(split.purchase, split.document, replace(withdrawn, logs=ends))
    found = compare(browser, cases)
    assert {name for name, (is_accepted, _) in found.items() if is_accepted} == set(list(cases)[::3])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every member and item inside a document."""
    if isinstance(value, dict | list):
        for name in value if isinstance(value, dict) else range(len(value)):
            yield (*path, name)
            yield from places(value[name], (*path, name))


def mutated(document: dict[str, Any], path: tuple[Any, ...], rng: random.Random) -> str:
    """Change one place; what was done."""
    *way, last = path
    inside: Any = document
    for name in way:
        inside = inside[name]
    was = inside[last]
    choice = rng.randrange(6)
    if choice == 0:
        del inside[last]
    elif choice == 1:
        inside[last] = rng.choice([None, True, 0, "", [], {}, "0x", -1])
    elif choice == 2 and isinstance(inside, list):
        inside.append(copy.deepcopy(was))
    elif isinstance(was, str) and was:
        place = rng.randrange(len(was))
        other = rng.choice("01289abfzAZ +/—é\n") if rng.random() < 0.5 else chr(ord(was[place]) ^ 1)
        inside[last] = was[:place] + other + was[place + 1 :]
    elif isinstance(was, bool) or not isinstance(was, int):
        inside[last] = "changed"
    else:
        inside[last] = was + rng.choice([-1, 1, 2**40])
    return f"{choice} at {'.'.join(map(str, path))}"


@pytest.mark.parametrize("options", [SEALED, {}], ids=["all evidence", "log alone"])
def test_any_change_in_any_part_gets_the_same_answers(browser, options):
    """The exchange signs what was changed, so every question is reached, not only the outermost."""
    bought, rng = Purchase(**options), random.Random(20261121)
    genuine = bought.document()
    every = sorted(places(genuine), key=str)
    by_part: dict[Any, list[Any]] = {}
    for path in every:
        by_part.setdefault(path[:2] if path[0] in ("documents", "anchor") else path[:1], []).append(path)
    cases: dict[str, Case] = {}
    while len(cases) < MUTATIONS:
        document = copy.deepcopy(genuine)
        what = mutated(document, rng.choice(rng.choice(list(by_part.values()))), rng)
        cases[f"{len(cases)}: {what}"] = case(bought, document)
    found = compare(browser, cases)
    assert sum(is_accepted for is_accepted, _ in found.values()) < MUTATIONS // 4
    for question in found[next(iter(found))][1]:
        if options or question not in ("cosignatures", "chain", "header", "grants"):
            failed = question == "bundle" or any(answers[question][0] == "FAIL" for _, answers in found.values())
            assert failed, f"no change failed {question}"


def test_flipped_bytes_fail_in_both(browser):
    bought, rng = Purchase(**SEALED), random.Random(8)
    bundle, policy = case(bought)
    cases = {}
    for number in range(80):
        changed = bytearray(bundle)
        place = rng.randrange(len(changed))
        changed[place] ^= 1 << rng.randrange(8)
        cases[f"{number} at {place}"] = (bytes(changed), policy)
    cases |= {"empty": (b"", policy), "no object": (b"[]", policy), "deep": (b"[" * 70 + b"]" * 70, policy),
              "white space": (bundle + b"\n", policy), "twice": (bundle[:-1] + b',"type":1}', policy)}  # fmt: skip
    assert not any(is_accepted for is_accepted, _ in compare(browser, cases).values())


def test_a_policy_that_is_none_is_refused_by_both(browser):
    bought = Purchase(**SEALED)
    bundle, good = case(bought)
    rng, cases = random.Random(20261121), {}
    for path in sorted(places(good), key=str):
        for _ in range(2):
            policy = copy.deepcopy(good)
            cases[f"{len(cases)}: {mutated(policy, path, rng)}"] = (bundle, policy)
    refused = set()
    for name, (_, policy) in cases.items():
        try:
            policies.parse(policy)
        except VerificationError:
            refused.add(name)
    theirs = there(browser, cases)
    assert {name for name, found in theirs.items() if isinstance(found, str)} == refused
    assert len(refused) > len(cases) // 2
    compare(browser, {name: one for name, one in cases.items() if name not in refused})
