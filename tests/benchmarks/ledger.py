"""The ledger: appending against bare hashing, proofs and their growth, storage, anchors, witnesses, one receipt.

Prints PASS or FAIL behind every figure that something is demanded of, and exits 1 after a FAIL.
"""

from collections.abc import Iterator

from tests.benchmarks import _exchange, _ledger_chain, _ledger_log, _ledger_tree
from tests.benchmarks._timing import Demands, best

RECEIPT_MS = 5  # with all the evidence that there can be


def run() -> Iterator[tuple[str, str]]:
    demands = Demands()
    yield from _ledger_tree.run(demands)
    _exchange.start()
    yield from _ledger_log.run(demands)
    yield from _ledger_chain.run(demands)
    yield from _receipt(demands)
    yield "everything demanded", demands.verdict()
    if demands.failed:
        raise SystemExit(1)


def _receipt(demands: Demands) -> Iterator[tuple[str, str]]:
    from ledger.proofs import receipts
    from tests.factories.receipts import Purchase

    for named, purchase in (
        ("bare", Purchase()),
        ("three witnesses, sealed block", Purchase(witnesses=3, quorum=2, chain="sealed")),
    ):
        bundle, policy = purchase.bundle(), purchase.policy
        verifying = best(lambda bundle=bundle, policy=policy: receipts.verify(bundle, policy=policy), times=20) * 1000
        verdict = demands.check(verifying < RECEIPT_MS, f"< {RECEIPT_MS} ms")
        yield f"receipt bundle verified ({len(bundle) / 1024:.0f} kB, {named})", f"{verifying:9.1f} ms  {verdict}"
