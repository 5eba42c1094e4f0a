"""The smallest job on a whole exchange: from the buyer's signed request to the sealed and released result.

A bank asks two data nodes for sums by group under standing consent; no person has to decide. PostgreSQL, broker, chain,
web, worker and six nodes are processes of their own, as in `make demo`. All times are the buyer's: from before the
request is made and signed to the answer that says so.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from compute.protocol import documents, keyfiles, shapes
from exchange.client.api import Api
from exchange.kernel import identifiers
from exchange.runner import catalogue, demo
from exchange.runner.stack import Stack
from exchange.runner.story import Deal, Story
from exchange.runner.tables import synthetic
from exchange.runner.world import member
from ledger.proofs import statements

FUNDS = ("fund-a", "fund-b")
WARM, RUNS = 3, 15
LOOK_SECONDS = 0.03
STATES = ("accepted by the exchange", "authorized", "dispatched", "executing", "released")
TARGET_SECONDS = 2.0


def run() -> Iterator[tuple[str, str]]:
    """One exchange, one contract, `WARM` runs that nobody counts and `RUNS` that are counted."""
    directory = Path(tempfile.mkdtemp(prefix="hengshu-bench-"))
    stack = Stack(directory, say=lambda line: None, web_port=19000)
    try:
        demo.start(stack, _Silent())
        story = Story(stack, synthetic(), say=lambda line: None)
        story.join()
        story.open_nodes()
        for code in FUNDS:
            story.products[code] = _register(story, code)
        deal = Deal("joint_statistics", FUNDS, None)
        quota = {"total": 100, "per_day": 100, "rate_per_minute": 600}
        story.agree(deal, quota=quota, escrow_minimum_fen=(WARM + RUNS) * catalogue.PRICE_FEN)
        api, keys = story.parties.session("bank"), keyfiles.load(stack.member("bank") / "client" / "key.json")
        terms = api.get(f"contracts/{deal.ref}/")["terms"]
        question = {**story.world.questions[deal.operation], "filters": [], "min_group": terms["output"]["min_cell"]}
        found = [_ask(api, terms, keys, question) for _ in range(WARM + RUNS)][WARM:]
    finally:
        stack.supervisor.stop()
        shutil.rmtree(directory, ignore_errors=True)
    sealed = [one["sealed"] for one in found]
    yield (
        f"request to sealed result, {RUNS} runs, median (and slowest)",
        f"{statistics.median(sealed):6.2f} s ({max(sealed):.2f})  (target < {TARGET_SECONDS:.0f} s)",
    )
    for name in STATES:
        seen = [one[name] for one in found if name in one]  # a state may be over before it is looked for
        if seen:
            yield f"  until {name}, median of {len(seen)}", f"{statistics.median(seen):6.2f} s"


class _Silent(demo.Clock):
    def say(self, line: str) -> None:
        pass


def _register(story: Story, code: str) -> dict[str, Any]:
    """A product of the member's table without its persons: no reviewer is asked, so none is waited for."""
    draft = catalogue.product(member(code), story.world.tables[code], commitment=story.commitments[code])
    draft["specification"] |= {"pi_flags": ["none"], "grade_general": 2}
    draft["columns"] = [{**one, "pi": "none"} for one in draft["columns"] if one["name"] not in ("person_id", "name")]
    return story.register(code, draft)


def _ask(api: Api, terms: dict[str, Any], keys: keyfiles.KeyFile, parameters: Mapping[str, Any]) -> dict[str, float]:
    """Sign and send one request and look until it is released; seconds."""
    began = time.monotonic()
    now = datetime.now(UTC).replace(microsecond=0)
    request = documents.request(
        computation=identifiers.make_urn("computation", identifiers.new_ulid()),
        terms=terms,
        operation="joint_statistics",
        parameters=dict(parameters),
        created=now,
        expires=now + timedelta(minutes=10),
    )
    signed = statements.sign(request, key=keys.document, created=shapes.write_time(now))
    ref = identifiers.parse_urn(request["id"], kind="computation")
    answer = api.post("computations/", {"request": signed}, key=request["id"])
    times, state = {"accepted by the exchange": time.monotonic() - began}, answer["state"]
    while True:
        answer = api.get(f"computations/{ref}/")
        if answer["state"] != state:
            state = answer["state"]
            times[state] = time.monotonic() - began
        if state == "released":
            times.setdefault("sealed", times["released"])
            return times
        if state == "reviewing":
            raise RuntimeError("the policy asks for a person")
        if answer.get("end_code"):
            raise RuntimeError(f"{state} {answer['end_code']}")
        time.sleep(LOOK_SECONDS)
