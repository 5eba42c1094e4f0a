"""New tables, products and contracts on the running exchange, made by everybody's own commands and sessions."""

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exchange.runner import catalogue
from exchange.runner.parties import StepFailed
from exchange.runner.story import Deal, Story
from exchange.runner.tables import NodeTable
from exchange.runner.world import member

ENDS = {"released", "withdrawn", "rejected", "expired", "failed", "withheld", "cancelled"}
_serial = itertools.count(1)


@dataclass
class Asked:
    """One computation as the buyer sees it at its end."""

    ref: str
    state: str
    code: str
    request: dict[str, Any]
    answer: dict[str, Any]


@dataclass
class Market:
    """What the acceptance cases do on the exchange of the told story."""

    story: Story
    commitments: dict[tuple[str, str], str] = field(default_factory=dict)
    tables: dict[tuple[str, str], NodeTable] = field(default_factory=dict)
    approvers: dict[str, list[str]] = field(default_factory=dict)  # whose owners say yes run by run, by contract

    def table(
        self,
        code: str,
        dataset: str,
        columns: Mapping[str, Mapping[str, Any]],
        rows: Sequence[Mapping[str, str]],
        *,
        blocks: Sequence[str] = (),
        id: str = "person_id",  # noqa: A002 - as in the schema
    ) -> str:
        """Take a table in at a member's node, with its own command; returns the commitment."""
        table = NodeTable(dataset, columns, blocks, rows, (), id=id)
        data, schema = table.write(self.story.stack.member(code) / "source")
        added = self.story.parties.node_cli(
            member(code), "dataset", "add", str(data), "--name", dataset, "--schema", str(schema)
        )
        self.tables[code, dataset] = table
        self.commitments[code, dataset] = added["commitment"]
        return str(added["commitment"])

    def product(self, code: str, dataset: str, *, name: str, operations: Sequence[str], **changes: Any) -> dict:
        """A product of that table: specification, review, certificate, listing, each by whose step it is."""
        draft = catalogue.product(
            member(code),
            self.tables[code, dataset],
            commitment=self.commitments[code, dataset],
            names=(name, name),
            operations=operations,
        )
        draft["specification"] |= changes
        return self.story.register(code, draft)

    def contract(
        self,
        operation: str,
        products: Mapping[str, dict],
        *,
        columns: Mapping[str, Sequence[str]],
        compute_party: str | None = None,
        requester: bool = False,
        deposit_fen: int = 0,
        **choices: Any,
    ) -> dict[str, Any]:
        """A contract of the bank with the providers, by code; signed, granted, funded, accepted at every node.

        Args:
            columns: what is asked for of each provider's product.
            requester: the bank's own node takes part. deposit_fen: at least so much goes to escrow.
        """
        parties, session = self.story.parties, self.story.parties.session
        helper = self.story.organizations[compute_party]["ref"] if compute_party else None
        proposal = catalogue.proposal(
            operation=operation,
            products=[products[code]["ref"] for code in products],
            columns={products[code]["number"]: list(columns[code]) for code in products},
            compute_party=helper,
        )
        made = session("bank").post("contracts/", {**proposal, **choices})
        signers = [*products, "bank", *([compute_party] if compute_party else [])]
        for code in signers:
            parties.cli(member(code), "contract", "sign", made["ref"], "--yes")
        for code in products:
            parties.cli(member(code), "contract", "grant", made["ref"], "--yes")
        price = made["terms"]["price"]["unit_price_fen"]
        owing = max(made["terms"]["money"]["escrow_minimum_fen"], 40 * price, deposit_fen)
        if owing:
            body = {"amount_fen": owing, "reference": f"BANK-{made['number']}-{next(_serial)}"}
            session("clerk").post(f"contracts/{made['ref']}/deposits/", body)
        signed = session("bank").get(f"contracts/{made['ref']}/")["terms"]
        for code in signers:
            if code == "bank" and not requester:
                continue
            path = self.story.stack.member(code) / f"contract-{made['ref']}.json"
            path.write_text(json.dumps(signed, ensure_ascii=False), encoding="utf-8")
            parties.node_cli(member(code), "contract", "accept", str(path))
            if signed["computation"]["approval"] == "standing":
                parties.node_cli(member(code), "consent", "standing", signed["id"])
            else:
                self.approvers.setdefault(made["urn"], []).append(code)
        self.wait(f"contracts/{made['ref']}/", {"effective"})
        return session("bank").get(f"contracts/{made['ref']}/")

    def sign_request(self, contract: Mapping[str, Any], operation: str, parameters: Mapping[str, Any]) -> Path:
        """The bank makes and signs a request on its own machine, and keeps it in a file; nothing is sent."""
        folder = self.story.stack.member("bank")
        number = next(_serial)
        given = folder / f"parameters-{number}.json"
        given.write_text(json.dumps(parameters, ensure_ascii=False), encoding="utf-8")
        path = folder / f"request-{number}.json"
        self.story.parties.cli(
            member("bank"),
            *("compute", "request", contract["ref"], "--operation", operation),
            *("--parameters", str(given), "--out", str(path)),
        )
        return path

    def ask(
        self, contract: Mapping[str, Any], operation: str, parameters: Mapping[str, Any], *, request: Path | None = None
    ) -> Asked:
        """Send a request and follow it to its end; the reviewer lets it pass where the policy wants a person."""
        path = request or self.sign_request(contract, operation, parameters)
        sent = self.story.parties.cli(member("bank"), "compute", "submit", contract["ref"], "--request", str(path))
        return self.follow(sent["ref"], json.loads(path.read_bytes()))

    def follow(self, ref: str, request: dict[str, Any]) -> Asked:
        """Wait for the end of a computation; reviewer and owners decide where they are asked."""
        place, approvers = f"computations/{ref}/", self.approvers.get(request["contract"], [])
        answer = self.wait(place, {*ENDS, "reviewing", *(["consenting"] if approvers else [])})
        if answer["state"] == "reviewing":
            self.story.parties.session("reviewer").post(f"{place}approve/", {"reason": "符合登记场景"})
            answer = self.wait(place, {*ENDS, *(["consenting"] if approvers else [])})
        if answer["state"] == "consenting":
            for code in approvers:
                self.approve(code, request["id"], place)
            answer = self.wait(place, ENDS)
        return Asked(ref, answer["state"], answer.get("end_code") or "", request, answer)

    def approve(self, code: str, computation: str, place: str) -> None:
        """The owner's yes to one run, at its own node, as soon as the node has heard of the request.

        A request that a node refuses by itself ends, and needs no yes.
        """
        end = time.monotonic() + 60
        while True:
            try:
                self.story.parties.node_cli(member(code), "consent", "approve", computation)
            except StepFailed as failed:
                if self.wait(place, {*ENDS, "consenting"})["state"] in ENDS:
                    return
                if time.monotonic() > end or "CONSENT" not in str(failed):
                    raise
                time.sleep(0.3)
            else:
                return

    def wait(self, path: str, states: set[str]) -> dict[str, Any]:
        """What the exchange tells the bank once the state is one of these."""
        self.story._wait_for(path, "bank", lambda answer: str(answer["state"]).lower(), states, set())
        answer = self.story.parties.session("bank").get(path)
        return {**answer, "state": str(answer["state"]).lower()}

    def opened(self, asked: Asked) -> dict[str, Any]:
        """The result as the bank opens it on its own machine."""
        folder = self.story.stack.member("bank") / f"result-{asked.ref}"
        found: dict[str, Any] = self.story.parties.cli(
            member("bank"), "result", "open", asked.ref, "--out", str(folder)
        )["result"]
        return found

    def receipt(self, asked: Asked) -> dict[str, str]:
        """The receipt's checks, verified on the bank's own machine; empty where it does not hold."""
        path = self.story.stack.member("bank") / f"receipt-{asked.ref}.json"
        self.story._fetch_receipt(member("bank"), Deal("", (), None, computation=asked.ref), path)
        return self.story.parties.verify(member("bank"), path)

    def units(self, contract: Mapping[str, Any]) -> int:
        """Units of a contract's statement, once the bank's own machine has recomputed it from every receipt."""
        end = time.monotonic() + 60
        while True:
            try:
                found = self.story.parties.cli(member("bank"), "contract", "statement", contract["ref"])
            except StepFailed:  # the last run's receipt waits for its checkpoint
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)
            else:
                return int(found["statement"]["totals"]["units"])

    def refused(self, *words: str, code: str = "bank") -> str:
        """The refusal of a command that must not work."""
        try:
            self.story.parties.cli(member(code), *words)
        except StepFailed as failed:
            return str(failed)
        raise AssertionError(f"{words} was allowed")
