"""What a person who trusts nobody sees of a running exchange: SQL, the nodes' own files, and processes."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg

from exchange.runner.story import Deal, Story
from exchange.runner.supervisor import Process
from exchange.runner.world import member
from tests.factories.processes import command_line, descendants, is_alive

T = TypeVar("T")
ENDS = ("released", "failed", "rejected", "withheld", "withdrawn", "expired")
_MONEY = (
    "SELECT kind, balance_fen FROM contracts_account WHERE contract_id ="
    " (SELECT id FROM contracts_contract WHERE ref = %s)"
)


@dataclass(frozen=True)
class Books:
    """One contract's meter and money at one moment, read with SQL.

    Args:
        charges, records, results: how many, over all its computations.
    """

    reserved: int
    committed: int
    escrow: int
    held: int
    charges: int
    records: int
    results: int

    def after(self, runs: int, *, price: int) -> "Books":
        """These books after so many released runs and nothing else."""
        return Books(
            0,
            self.committed + runs,
            self.escrow - runs * price,
            0,
            self.charges + runs,
            self.records + runs,
            self.results + runs,
        )


@dataclass
class Outside:
    """Acts as the bank on one contract, and looks from outside at what came of it."""

    story: Story
    deal: Deal

    @property
    def bank(self) -> Any:
        return self.story.parties.session("bank")

    def price(self) -> int:
        return int(
            self.rows("SELECT terms FROM contracts_contract WHERE ref = %s", self.deal.ref)[0][0]["price"][
                "unit_price_fen"
            ]
        )

    def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        url = self.story.stack.environment["DATABASE_URL"]
        with psycopg.connect(url) as connection:
            cursor = connection.execute(query, arguments)
            return cursor.fetchall() if cursor.description else []

    def node_rows(self, code: str, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        path = self.story.stack.member(code) / "node" / "node.sqlite3"
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(query, arguments).fetchall()
        finally:
            connection.close()

    # --- the bank ------------------------------------------------------------------------------------

    def ask(self) -> str:
        """Sign and send a request; a reviewer approves it. Returns its reference."""
        question = self.story.world.questions[self.deal.operation]
        made = self.story.parties.cli(
            member("bank"),
            *("compute", "submit", self.deal.ref, "--operation", self.deal.operation),
            *("--group-by", ",".join(question["group_by"]), "--values", ",".join(question["values"])),
        )
        ref: str = made["ref"]
        if made["computation"]["state"] == "reviewing":
            reviewer = self.story.parties.session("reviewer")
            reviewer.post(f"computations/{ref}/approve/", {"reason": "查询仅含分组统计，符合登记场景"})
        return ref

    def state(self, ref: str) -> tuple[str, str]:
        """State and code of a computation."""
        found = self.rows("SELECT state, end_code FROM compute_computation WHERE ref = %s", ref)
        return found[0] if found else ("", "")

    def wait_for(self, ref: str, *states: str) -> tuple[str, str]:
        return until(lambda: self.state(ref), lambda found: found[0] in states)

    def books(self) -> Books:
        meter = self.rows(
            "SELECT reserved, committed FROM contracts_meter m JOIN contracts_contract c ON c.id = m.contract_id"
            " WHERE c.ref = %s",
            self.deal.ref,
        )[0]
        money = dict(self.rows(_MONEY, self.deal.ref))
        counted = self.rows(
            "SELECT"
            " (SELECT COUNT(*) FROM contracts_transfer t WHERE t.contract_id = c.id AND t.kind = 'charge'),"
            " (SELECT COUNT(*) FROM contracts_usagerecord u WHERE u.contract_id = c.id),"
            " (SELECT COUNT(*) FROM compute_result r JOIN compute_computation p ON p.id = r.computation_id"
            "   WHERE p.contract_id = c.id)"
            " FROM contracts_contract c WHERE c.ref = %s",
            self.deal.ref,
        )[0]
        return Books(meter[0], meter[1], money.get("escrow", 0), money.get("held", 0), *counted)

    def node_meters(self) -> dict[str, tuple[int, int]]:
        """reserved and committed at each provider's own node."""
        contract = f"urn:hengshu:contract:{self.deal.ref}"
        return {
            code: self.node_rows(code, "SELECT reserved, committed FROM meters WHERE contract = ?", contract)[0]
            for code in self.deal.providers
        }

    # --- processes -----------------------------------------------------------------------------------

    def process(self, name: str) -> Process:
        return next(one for one in self.story.stack.supervisor.processes if one.name == name)

    def kill(self, name: str) -> None:
        """kill -9 one process; whatever it started ends with it, without being asked."""
        process = self.process(name)
        assert process.pid is not None
        assert process.popen is not None
        family = descendants(process.pid)
        process.popen.kill()
        process.popen.wait(10)
        until(lambda: [command_line(pid) for pid in family if is_alive(pid)], lambda left: not left, seconds=15)

    def restart(self, name: str) -> None:
        """Start it again as the supervisor would, and wait until it serves."""
        process = self.process(name)
        if name.startswith("node-"):
            (self.story.stack.member(name.removeprefix("node-")) / "node" / "ready").unlink(missing_ok=True)
        process.start(log=self.story.stack.directory / "logs" / f"{name}.log")
        until(lambda: _is_ready(process), bool, seconds=process.ready_seconds)


def until(look: Callable[[], T], good: Callable[[T], bool], *, seconds: float = 60, every: float = 0.05) -> T:
    """Look again until it is good; AssertionError with the last sight otherwise."""
    deadline = time.monotonic() + seconds
    while not good(found := look()):
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        time.sleep(every)
    return found


def _is_ready(process: Process) -> bool:
    assert process.is_running(), f"{process.name} ended"
    try:
        return process.ready()
    except OSError:
        return False
