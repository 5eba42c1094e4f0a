"""The log on a chain of its own: what an anchor costs, and how many records one after another get anchored."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks._timing import Demands

MOST_GAS = 100_000
SIZES = (10**3, 10**6, 10**8)
ROUNDS = 6


def run(demands: Demands) -> Iterator[tuple[str, str]]:
    with _anvil() as url:
        yield from _gas(url, demands)
        yield from _anchoring(url)


@contextmanager
def _anvil() -> Iterator[str]:
    from exchange.runner import embedded, supervisor

    port = supervisor.free_ports(1, start=27_545)[0]
    process = subprocess.Popen(embedded.anvil_command(port=port, state=None))
    try:
        ready = supervisor.port_answers(port)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                if ready():
                    break
            except OSError:
                pass
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


def _gas(url: str, demands: Demands) -> Iterator[tuple[str, str]]:
    """Anchors between trees of these sizes, whose hashes are made up from their places; the proofs are real."""
    from ledger.backends.base import anchor_call
    from ledger.backends.evm import EVMBackend
    from ledger.proofs import layout
    from tests.solidity.pair import big_tree
    from tests.unit.ledger import chain_world

    backend = EVMBackend(url)
    contract = chain_world.deploy(backend)
    ask = backend._web3.provider.make_request
    for size in SIZES:
        worst, steps = 0, 0
        for old, new in ((size, size + 1), (size - 1, size + 1000), (size + 1, 2 * size - 1)):
            old_root, new_root, proof = big_tree(old, new)
            for slot, value in ((layout.plain("size"), old.to_bytes(32)), (layout.plain("root"), old_root)):
                ask("anvil_setStorageAt", [contract.address, slot, "0x" + value.hex()])
            landed = contract.run(
                anchor_call(old_size=old, new_size=new, root=new_root.hex(), proof=proof), by=contract.log
            )
            receipt = ask("eth_getTransactionReceipt", [landed.transaction_hash])["result"]
            used = receipt["gasUsed"]
            worst = max(worst, used if isinstance(used, int) else int(used, 16))
            steps = max(steps, len(proof))
        say = demands.check(worst <= MOST_GAS, f"at most {MOST_GAS:,}")
        yield f"gas of an anchor at 10^{len(str(size)) - 1} leaves ({steps} hashes)", f"{worst:9,} gas   {say}"


def _anchoring(url: str) -> Iterator[tuple[str, str]]:
    from django.conf import settings

    from ledger import actions, keys
    from ledger.actions import deployments
    from ledger.actions.anchoring import anchor_pass
    from ledger.backends.evm import EVMBackend
    from ledger.models import Log
    from tests.benchmarks._ledger_log import BATCH, fill

    settings.CHAIN_RPC_URL = url
    deployments.deploy(backend=EVMBackend(url), anchor=keys.log_keys(), record=keys.exchange_keys())
    actions.seal()
    anchor_pass()
    took = 0.0
    for _ in range(ROUNDS):
        fill()
        began = time.perf_counter()
        actions.seal()
        anchor_pass()
        took += time.perf_counter() - began
    while actions.anchored_size() < Log.objects.get().size:
        began = time.perf_counter()
        anchor_pass()
        took += time.perf_counter() - began
    yield (
        f"records anchored: sealed, sent, seen mined, {BATCH:,} an anchor (anvil)",
        f"{ROUNDS * BATCH / took:9,.0f} records/s   {took / ROUNDS:.2f} s an anchor",
    )
    settings.CHAIN_RPC_URL = ""
