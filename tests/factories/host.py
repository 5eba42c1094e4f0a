"""One party on a host of its own: `python -m tests.factories.host`, told by JSON on standard input.

It does what a node does between the parties' offers and its part: a gateway where there is a relay, the pre-flight
of the links, then the engine's process with the addresses that answered.
"""

import json
import sys
from pathlib import Path
from typing import Any

from compute.engines import launcher
from compute.node.linkcheck import LinkCheck, Links
from compute.node.preflight import Greeting
from compute.node.relaying import Gateway
from compute.protocol.codes import Refused


def main(told: dict[str, Any]) -> dict[str, Any]:
    rank, work = told["rank"], Path(told["work"])
    addresses = {int(peer): found for peer, found in told["addresses"].items()}
    pinned = {int(peer): pem for peer, pem in told["certificates"].items()}
    work.mkdir(mode=0o700)
    (work / "own.pem").write_text(pinned[rank])
    (work / "own.key").write_text(told["key"])
    relay = told["relay"]
    gateway = Gateway(
        job_digest="ab" * 32,
        own=addresses[rank],
        certificate=pinned[rank],
        own_relay=relay,
        peers={peer: (relay, pem) for peer, pem in pinned.items() if relay and peer != rank},
        stages=1,
    )
    try:
        links = Links(rank, 1, addresses, pinned, work / "own.pem", work / "own.key", gateway.addresses)
        greeting = Greeting("ab" * 32, rank, 0, {}, 64, "")
        try:
            ways = LinkCheck(links, greeting, seconds=told["seconds"]).outcome()[1]
        except Refused as refused:
            return {"code": refused.code, "stage": "preflight"}
        engine = work / "engine"
        engine.mkdir(mode=0o700)
        launcher.write_job(
            engine,
            job=told["job"],
            request=told["request"],
            rank=rank,
            addresses={**addresses, **ways},
            certificates=pinned,
            private_key=told["key"],
            dataset=Path(told["dataset"]),
            min_group=10,
            deadline_seconds=40,
        )
        run = launcher.start(engine, deadline_seconds=40)
        run.wait()
        return {"code": run.code(), "stage": "run", "ways": ways, "part": str(engine / launcher.PART_FILE)}
    finally:
        gateway.stop()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.load(sys.stdin))))
