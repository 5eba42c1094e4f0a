"""The ledger: appending against bare hashing, proofs and their growth, storage, anchors, witnesses, one receipt.

Prints PASS or FAIL behind every figure that something is demanded of, and exits 1 after a FAIL.
"""

from collections.abc import Iterator

from tests.benchmarks import _exchange, _ledger_chain, _ledger_log, _ledger_tree
from tests.benchmarks._timing import Demands, best


def run() -> Iterator[tuple[str, str]]:
    demands = Demands()
    yield from _ledger_tree.run(demands)
    _exchange.start()
    yield from _ledger_log.run(demands)
    yield from _ledger_chain.run(demands)
    yield from _receipt()
    yield "everything demanded", demands.verdict()
    if demands.failed:
        raise SystemExit(1)


def _receipt() -> Iterator[tuple[str, str]]:
    from ledger.proofs import receipts
    from tests.factories.receipts import Purchase

    purchase = Purchase()
    bundle, policy = purchase.bundle(), purchase.policy
    verifying = best(lambda: receipts.verify(bundle, policy=policy), times=20)
    yield f"receipt bundle verified ({len(bundle) / 1024:.0f} kB, all checks)", f"{verifying * 1000:9.1f} ms"
