"""From the parties' offers to addresses that answer: the gateway to relays, and the pre-flight of the links."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from compute.node import preflight
from compute.node.linkcheck import LinkCheck, Links
from compute.node.preflight import Greeting
from compute.node.relaying import Gateway

Document = Mapping[str, Any]


class Check(Protocol):
    """A pre-flight of links under way; `linkcheck.LinkCheck` is the one."""

    @property
    def percent(self) -> int:
        """How much of it is done."""

    def is_finished(self) -> bool:
        """Whether it has ended."""

    def outcome(self) -> tuple[dict[int, Greeting], dict[int, list[str]]]:
        """Greetings and answering addresses of the peers; Refused `LINK_FAILED`."""

    def stop(self) -> None:
        """End it."""


CheckLinks = Callable[[Links, Greeting], Check]


def check_links(links: Links, greeting: Greeting) -> Check:
    """The real one."""
    return LinkCheck(links, greeting)


@dataclass(frozen=True, slots=True)
class Party:
    """This node in one job: its place, its one-job identity, where it listens, and what it tells its peers."""

    rank: int
    job_digest: str
    job: Document
    request: Document
    greeting: Greeting
    listens: Sequence[str]
    certificate: Path
    key: Path
    relay: str | None
    memory_mb: int | None


@contextlib.contextmanager
def linked(
    party: Party, offers: Sequence[Document], *, check: CheckLinks, wait: Callable[[Check], None]
) -> Iterator[dict[int, list[str]]]:
    """Every party's addresses by rank, once all of them answer; a gateway to relays lives as long as the context.

    Args:
        wait: called with the check until it has ended; raises where the run is to end.
    Raises:
        Refused: what pre-flight found.
    """
    engine = preflight.engine_of(party.job)
    addresses = {offer["rank"]: list(offer["addresses"]) for offer in offers} | {party.rank: list(party.listens)}
    pinned = {offer["rank"]: str(offer["certificate"]) for offer in offers}
    gateway = Gateway(
        job_digest=party.job_digest,
        own=addresses[party.rank],
        certificate=pinned[party.rank],
        own_relay=party.relay,
        peers={
            offer["rank"]: (offer["relay"], pinned[offer["rank"]])
            for offer in offers
            if offer["rank"] != party.rank and "relay" in offer
        },
        stages=engine.link_stages,
    )
    try:
        links = Links(
            rank=party.rank,
            stages=engine.link_stages,
            addresses=addresses,
            pinned=pinned,
            certificate=party.certificate,
            key=party.key,
            other_ways=gateway.addresses,
        )
        found = check(links, party.greeting)
        try:
            wait(found)
            greetings, ways = found.outcome()
        finally:
            found.stop()
        _check(party, greetings)
        yield {**addresses, **ways}
    finally:
        gateway.stop()


def _check(party: Party, greetings: Mapping[int, Greeting]) -> None:
    """What the peers said fits, and the engine fits into the memory with everybody's rows."""
    preflight.check_peers(party.greeting, greetings)
    everybody = {party.rank: party.greeting, **greetings}
    rows = [everybody[rank].rows if rank in everybody else 0 for rank in range(len(party.job["parties"]))]
    preflight.check_memory(
        preflight.engine_of(party.job), party.request["parameters"], rows=rows, memory_mb=party.memory_mb
    )
