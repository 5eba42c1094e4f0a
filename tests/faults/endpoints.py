"""A chain endpoint that hangs, talks nonsense or is another chain."""

import time
from typing import TYPE_CHECKING

from ledger.actions.anchoring import AnchorOutcome
from ledger.backends import evm
from tests.faults import outside, proxy
from tests.faults.verdicts import Broken, Verdict, healed, scenario, sister

if TYPE_CHECKING:
    from tests.faults.world import World

PASS_SECONDS = 8.0  # a pass asks at most one question of a silent endpoint, for three seconds


def _behind_proxy(world: "World") -> proxy.Proxy:
    world.start_chain()
    world.grow(world.some())
    if world.rng.random() < 0.5:
        world.settle()
        world.grow(world.some())
    liar = proxy.Proxy(world.chain_url)
    world.closing.callback(liar.stop)
    world.look_at(world.chain_url, through=liar.url)
    return liar


def _nothing_but(world: "World", liar: proxy.Proxy, mode: proxy.Answer, *outcomes: AnchorOutcome) -> None:
    """A pass with this mode ends in seconds, in one of these outcomes, and leaves the log able to sign."""
    events = len(outside.events(world.chain_url, world.address))
    liar.mode = mode
    began = time.monotonic()
    found = world.anchor()
    took = time.monotonic() - began
    liar.mode = None
    name = getattr(mode, "__name__", "the endpoint")
    if took > PASS_SECONDS:
        raise Broken(f"{name}: the pass took {took:.1f} s")
    if found.outcome not in outcomes:
        raise Broken(f"{name}: the pass ended as {found.outcome}")
    if len(outside.events(world.chain_url, world.address)) > events + 1:
        raise Broken(f"{name}: more than one anchor")
    if refusal := world.seal_refused():
        raise Broken(f"{name}: the log signs nothing any more ({refusal})")


def _whole_again(world: "World") -> Verdict:
    world.record(world.some())
    world.settle()
    outside.check_whole(world)
    return healed()


@scenario("rpc_hangs")
def rpc_hangs(world: "World") -> Verdict:
    """Every question is accepted and never answered; in some seeds only after some good answers."""
    liar = _behind_proxy(world)
    good = world.rng.choice([0, 0, 1, 3, 8])
    asked = liar.asked

    def after_some(method: str, answer: bytes) -> bytes | None:
        return answer if liar.asked - asked <= good else proxy.hang(method, answer)

    _nothing_but(world, liar, after_some, AnchorOutcome.UNREACHABLE)
    return _whole_again(world)


@scenario("rpc_garbage")
def rpc_garbage(world: "World") -> Verdict:
    """HTML, noise, cut or nested JSON, nulls and texts in place of answers, to all questions or some."""
    liar = _behind_proxy(world)
    for _ in range(3):
        allowed = [outcome for outcome in AnchorOutcome if outcome != AnchorOutcome.ALARM]
        _nothing_but(world, liar, proxy.garbage(world.rng), *allowed)
    return _whole_again(world)


@scenario("rpc_wrong_chain_id")
def rpc_wrong_chain_id(world: "World") -> Verdict:
    """The endpoint says it is another chain: nothing is signed for it, nothing sent."""
    liar = _behind_proxy(world)
    rows = world.sql("SELECT count(*) FROM ledger_anchorattempt")
    _nothing_but(world, liar, proxy.other_chain(world.rng.choice([1, 137, 31338])), AnchorOutcome.WRONG_CHAIN)
    if world.sql("SELECT count(*) FROM ledger_anchorattempt") != rows:
        raise Broken("a transaction was signed for another chain")
    return _whole_again(world)


@sister("rpc_hangs_with_a_long_time_out")
def rpc_hangs_with_a_long_time_out(world: "World") -> Verdict:
    """The same with a patient transport: the pass is held up."""
    liar = _behind_proxy(world)
    evm.evm_backend(liar.url)._web3.provider._timeout_seconds = PASS_SECONDS + 2  # type: ignore[attr-defined]
    _nothing_but(world, liar, proxy.hang, AnchorOutcome.UNREACHABLE)
    return _whole_again(world)
