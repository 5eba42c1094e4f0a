"""The main job as a story: six organisations, four products, two contracts, two computed results.

Every step is taken by the party whose step it is: from its own command line with its own keys, or in
its own session at the exchange. The exchange is never asked to do a member's part.
"""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exchange.runner import catalogue, oracle
from exchange.runner.parties import Parties, StepFailed
from exchange.runner.stack import Stack
from exchange.runner.tables import World
from exchange.runner.world import MEMBERS, PASSWORD, PROVIDERS, Member, member

_WAIT_SECONDS = 120
_ENGINE_PORTS = 10  # reserved for each node


@dataclass(slots=True)
class Deal:
    """One contract of the story and what came of it."""

    operation: str
    providers: tuple[str, ...]
    compute_party: str | None
    ref: str = ""
    number: str = ""
    computation: str = ""
    cells: int = 0
    equals_reference: bool = False
    state: str = ""
    receipt_verified: bool = False
    checks: dict[str, str] = field(default_factory=dict)
    statement_agrees: bool = False


@dataclass(slots=True)
class Story:
    """Plays the main job on a running stack and keeps what it saw."""

    stack: Stack
    world: World
    say: Callable[[str], None]
    parties: Parties = field(init=False)
    organizations: dict[str, dict[str, Any]] = field(default_factory=dict)
    commitments: dict[str, str] = field(default_factory=dict)
    witnesses: dict[str, dict[str, str]] = field(default_factory=dict)
    products: dict[str, dict[str, Any]] = field(default_factory=dict)
    deals: list[Deal] = field(default_factory=list)
    anchored: bool = False

    def __post_init__(self) -> None:
        self.parties = Parties(self.stack)

    @property
    def canaries(self) -> list[str]:
        """Values that must be found nowhere outside the members' own machines."""
        return [value for table in self.world.tables.values() for value in table.canaries]

    def tell(self) -> None:
        """Play every chapter in order; StepFailed names the step that was refused."""
        self.join()
        self.open_nodes()
        self.register_products()
        self.deals = [
            Deal("joint_statistics", ("fund-a", "fund-b"), None),
            Deal("aligned_statistics", ("fund-a", "social"), "helper"),
        ]
        for deal in self.deals:
            self.agree(deal)
        for deal in self.deals:
            self.compute(deal)
        self.settle()

    def summary(self) -> dict[str, Any]:
        """What happened, as the last line of a headless run gives it."""
        return {
            "computations": [
                {
                    "operation": deal.operation,
                    "state": deal.state,
                    "cells": deal.cells,
                    "equals_reference": deal.equals_reference,
                    "ref": deal.computation,
                    "contract": deal.ref,
                }
                for deal in self.deals
            ],
            "receipts_verified": bool(self.deals) and all(deal.receipt_verified for deal in self.deals),
            "statements_agree": bool(self.deals) and all(deal.statement_agrees for deal in self.deals),
            "anchored": self.anchored,
            "witnessed": self._all_checked("cosignatures"),
            "proven_on_chain": self._all_checked("chain") and self._all_checked("grants"),
            "products": [product["ref"] for product in self.products.values()],
        }

    # --- chapters ------------------------------------------------------------------------------------

    def join(self) -> None:
        """Each organisation makes its keys on its own machine, applies, and is admitted by staff."""
        self.say("1  six organisations make their keys and apply; the admission officer decides")
        self._each(MEMBERS, self._apply)
        officer = self.parties.session("admission")
        for one in MEMBERS:
            ref = self.organizations[one.code]["ref"]
            officer.post(f"organizations/{ref}/admit/", {"reason": "证照与受益所有人核验无误"})
            self.parties.session(one.code, again=True)

    def open_nodes(self) -> None:
        """Each member sets up its data node, takes its table in, and starts it."""
        self.say("2  six data nodes: each its own process, directory, keys and engine port")
        self._each(MEMBERS, self._set_up_node)
        self.stack.supervisor.start(*(self.stack.node(one.code) for one in MEMBERS))
        self._admit_witnesses()

    def register_products(self) -> None:
        """Providers submit specifications; two officers review and certify; the product is listed."""
        self.say("3  four products: specification, review, registration certificate, listing")
        for code in PROVIDERS:
            one = member(code)
            draft = catalogue.product(one, self.world.tables[code], commitment=self.commitments[code])
            self.products[code] = self.register(code, draft)
            self.say(f"     {self.products[code]['name_zh']}  {_certificate(self.products[code])}")

    def agree(self, deal: Deal, **other_choices: Any) -> None:
        """The bank proposes; every party signs on its own machine; grants go on chain; money goes to escrow.

        Args:
            other_choices: terms the bank proposes in place of the demo's.
        """
        names = " + ".join(member(code).name_zh for code in deal.providers)
        self.say(f"4  contract for {deal.operation}: {names} → {member('bank').name_zh}")
        refs = [self.products[code]["ref"] for code in deal.providers]
        helper = self.organizations[deal.compute_party]["ref"] if deal.compute_party else None
        choices = catalogue.proposal(
            operation=deal.operation, products=refs, columns=self._columns(deal), compute_party=helper
        )
        made = self.parties.session("bank").post("contracts/", {**choices, **other_choices})
        deal.ref, deal.number = made["ref"], made["number"]
        signers = [*deal.providers, "bank", *([deal.compute_party] if deal.compute_party else [])]
        for code in signers:
            self.parties.cli(member(code), "contract", "sign", deal.ref, "--yes")
        self._each([member(code) for code in deal.providers], lambda one: self._grant(one, deal))
        owing = made["terms"]["money"]["escrow_minimum_fen"]
        body = {
            "amount_fen": max(owing, 4 * made["terms"]["price"]["unit_price_fen"]),
            "reference": f"BANK-{deal.number}",
        }
        self.parties.session("clerk").post(f"contracts/{deal.ref}/deposits/", body)
        signed = self.parties.session("bank").get(f"contracts/{deal.ref}/")["terms"]
        self._each([member(code) for code in signers if code != "bank"], lambda one: self._accept(one, deal, signed))
        state = self._wait_for(f"contracts/{deal.ref}/", "bank", _state, {"effective"}, {"revoked", "terminated"})
        self.say(f"     {deal.number} is {state}: signed by {len(signers)}, granted on chain, escrow funded")

    def compute(self, deal: Deal) -> None:
        """The bank signs a request; nodes check and compute; the bank opens the result on its own machine."""
        question = self.world.questions[deal.operation]
        asked = f"{', '.join(question['values'])} by {', '.join(question['group_by'])}"
        self.say(f"5  {deal.operation}: {asked}")
        bank = member("bank")
        arguments = ["--group-by", ",".join(question["group_by"]), "--values", ",".join(question["values"])]
        if deal.operation == "aligned_statistics":
            group, value = (self.organizations[code]["urn"] for code in deal.providers)
            arguments += ["--group-provider", group, "--value-provider", value]
        submitted = self.parties.cli(bank, "compute", "submit", deal.ref, "--operation", deal.operation, *arguments)
        deal.computation = submitted["ref"]
        ends = {"withdrawn", "rejected", "expired", "failed", "withheld"}
        path = f"computations/{deal.computation}/"
        deal.state = self._wait_for(path, "bank", _state, {"released", "reviewing"}, ends)
        if deal.state == "reviewing":
            rule = self.parties.session("reviewer").get(path).get("policy", {}).get("rule", "")
            self.say(f"     the policy table ({rule}) asks for a person: the compliance reviewer reads the query")
            self.parties.session("reviewer").post(f"{path}approve/", {"reason": "查询仅含分组统计，符合登记场景"})
            deal.state = self._wait_for(path, "bank", _state, {"released"}, ends)
        folder = self.stack.member("bank") / f"result-{deal.computation}"
        opened = self.parties.cli(bank, "result", "open", deal.computation, "--out", str(folder))["result"]
        deal.cells = len(opened["cells"])
        expected = oracle.expected(
            [self.stack.member(code) for code in deal.providers],
            deal.operation,
            dataset=[self.world.tables[code].dataset for code in deal.providers],
            parameters=submitted["request"]["parameters"],
            scratch=self.stack.member("bank") / f"oracle-{deal.computation}",
        )
        deal.equals_reference = opened["cells"] == expected
        receipt = self.stack.member("bank") / f"receipt-{deal.computation}.json"
        self._fetch_receipt(bank, deal, receipt)
        deal.checks = self.parties.verify(bank, receipt)
        deal.receipt_verified = bool(deal.checks)
        verdict = "equal to the clear-text reference" if deal.equals_reference else "DIFFERENT from the reference"
        self.say(f"     {deal.cells} cells, {verdict}; receipt {'holds' if deal.receipt_verified else 'DOES NOT HOLD'}")

    def settle(self) -> None:
        """Both sides recompute the statement from receipts; the log's last word is anchored on chain."""
        self.say("6  both sides recompute the statements; checkpoints are anchored")
        for deal in self.deals:
            sides = [member("bank"), member(deal.providers[0])]
            deal.statement_agrees = all(
                self.parties.cli(side, "contract", "statement", deal.ref)["agrees"] for side in sides
            )
        self.anchored = all(self._is_anchored(deal) for deal in self.deals)
        state = "anchored" if self.anchored else "NOT anchored"
        self.say(f"     statements {'agree' if all(d.statement_agrees for d in self.deals) else 'DIFFER'}; log {state}")

    def _all_checked(self, question: str) -> bool:
        """Whether the bank's own machine answered this question with PASS for every receipt."""
        return bool(self.deals) and all(deal.checks.get(question) == "PASS" for deal in self.deals)

    # --- steps ---------------------------------------------------------------------------------------

    def register(self, code: str, draft: dict[str, Any]) -> dict[str, Any]:
        """A member's product from draft to listing, each step by whose it is; as the catalogue then shows it."""
        session = self.parties.session
        ref = session(code).post("products/", draft)["ref"]
        session(code).post(f"products/{ref}/submit/", {})
        session("reviewer").post(f"products/{ref}/approve/", {"reason": "来源、权属与场景合规"})
        session("registrar").post(f"products/{ref}/certify/", {})
        session("listing").post(f"products/{ref}/list/", {})
        found: dict[str, Any] = session(code).get(f"products/{ref}/")
        return found

    def _apply(self, one: Member) -> None:
        card = self.parties.cli(one, "keys", "new", "--name", one.name_zh)
        self._login(one)
        application = {
            "name_zh": one.name_zh,
            "name_en": one.name_en,
            "uscc": one.uscc,
            "kinds": list(one.kinds),
            "card": card,
            "contact": {"name": "数据管理科", "phone": "000-00000000"},
            "business_status": {"legal_representative": "（演示）", "scope": one.name_zh, "alive": True},
        }
        self.organizations[one.code] = self.parties.session(one.code).post("organizations/", application)

    def _login(self, one: Member) -> None:
        self.parties.cli(one, "login", "--username", one.code, "--password-stdin", stdin=PASSWORD + "\n")

    def _set_up_node(self, one: Member) -> None:
        self._login(one)  # anew: the membership came with admission
        self.parties.cli(one, "policy", "fetch")
        client = self.stack.member(one.code) / "client"
        self.parties.node_cli(
            one,
            *("init", "--name", one.code, "--organization", self.organizations[one.code]["urn"]),
            *("--key", str(client / "key.json"), "--exchange", self.stack.url, "--policy", str(client / "policy.json")),
            *("--chain-rpc", self.stack.environment["CHAIN_RPC_URL"]),
            *("--engine-port", str(self.stack.ports["engines"] + one.port_offset), "--poll-milliseconds", "300"),
        )
        port = self.stack.ports["witnesses"] + MEMBERS.index(one)
        enabled = self.parties.node_cli(one, "witness", "enable", "--port", str(port))
        self.witnesses[one.code] = {
            "name": f"{one.code}/witness",
            "vkey": enabled["keys"][0],
            "url": f"http://{enabled['address']}",
        }
        table = self.world.tables.get(one.code)
        if table is not None:
            data, schema = table.write(self.stack.member(one.code) / "source")
            added = self.parties.node_cli(
                one, "dataset", "add", str(data), "--name", table.dataset, "--schema", str(schema)
            )
            self.commitments[one.code] = added["commitment"]

    def _admit_witnesses(self) -> None:
        """The operator asks the nodes to cosign; the bank compares the new policy by a second way and pins it."""
        path = self.stack.directory / "exchange" / "witnesses.json"
        path.write_text(json.dumps([self.witnesses[one.code] for one in MEMBERS]))
        self.stack.prepare("--witnesses", str(path))
        self.parties.cli(member("bank"), "policy", "fetch", "--replace")
        self.say("     the nodes are witnesses of the log, too: three of six must cosign a checkpoint")

    def _grant(self, one: Member, deal: Deal) -> None:
        self.parties.cli(one, "contract", "grant", deal.ref, "--yes")

    def _accept(self, one: Member, deal: Deal, signed: dict[str, Any]) -> None:
        path = self.stack.member(one.code) / f"contract-{deal.ref}.json"
        path.write_text(json.dumps(signed, ensure_ascii=False), encoding="utf-8")
        self.parties.node_cli(one, "contract", "accept", str(path))
        self.parties.node_cli(one, "consent", "standing", signed["id"])

    def _columns(self, deal: Deal) -> dict[str, list[str]]:
        """What the bank asks for of each product: what it groups by and what it sums, and nothing else."""
        question = self.world.questions[deal.operation]
        wanted = [*question["group_by"], *question["values"]]
        if deal.operation == "aligned_statistics":
            split = dict(zip(deal.providers, (question["group_by"], question["values"]), strict=True))
        else:
            split = dict.fromkeys(deal.providers, wanted)
        return {self.products[code]["number"]: list(names) for code, names in split.items()}

    def _fetch_receipt(self, one: Member, deal: Deal, path: Path) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                self.parties.cli(one, "receipt", "get", deal.computation, "--out", str(path))
            except StepFailed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def _is_anchored(self, deal: Deal) -> bool:
        receipt = json.loads((self.stack.member("bank") / f"receipt-{deal.computation}.json").read_bytes())
        return receipt["anchor"] is not None

    def _wait_for(self, path: str, username: str, state_of: Callable[[Any], str], good: set[str], bad: set[str]) -> str:
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            answer = self.parties.session(username).get(path)
            state = state_of(answer)
            if state in good:
                return state
            if state in bad or time.monotonic() > deadline:
                raise StepFailed(f"{path} is {state}: {json.dumps(answer, ensure_ascii=False)[:1500]}")
            time.sleep(0.3)

    def _each(self, members: Sequence[Member], step: Callable[[Member], None]) -> None:
        """The same step by several members side by side, as they would; the first failure is raised."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(step, members))


def _state(answer: Any) -> str:
    return str(answer["state"]).lower()


def _certificate(product: dict[str, Any]) -> str:
    return str(product["current"]["certificate"])
