"""A log that shows two histories of one size to two audiences."""

import hashlib
from typing import TYPE_CHECKING

from ledger import keys
from ledger.actions import witnessing
from ledger.models import Checkpoint, Tile
from ledger.proofs import checkpoints, merkle, notes, tiles
from ledger.proofs.errors import VerificationError
from ledger.proofs.tlog_policy import Group, LogPolicy, Member
from ledger.witness.client import WitnessClient
from ledger.witness.errors import WitnessRefused
from ledger.witness.rules import Held
from ledger.witness.state import State
from ledger.witness.views import compare
from tests.faults import outside
from tests.faults.verdicts import Broken, Verdict, detected, scenario, sister

if TYPE_CHECKING:
    from tests.factories.witnesses import Running
    from tests.faults.world import World


@scenario("split_view")
def split_view(world: "World") -> Verdict:
    """The operator signs two notes of one size and shows each to half of three witnesses and to one visitor."""
    return _split(world)


def _split(world: "World") -> Verdict:
    world.start_chain()
    three = [world.witness(f"{name}.example") for name in "abc"]
    world.grow(world.some(120))
    world.settle()
    witnessing.ask_witnesses()
    old = Checkpoint.objects.order_by("-size")[0]
    hashes = outside.stored_hashes(world)
    world.grow(world.rng.randint(2, 100))
    world.settle()
    true = Checkpoint.objects.order_by("-size")[0]
    other_hashes = hashes + [hashlib.sha256(world.rng.randbytes(8)).digest() for _ in range(true.size - old.size)]
    other = _sign(world, other_hashes)
    read = Tile.objects.reader(1)

    def prove(start: int, end: int) -> list[bytes]:
        return tiles.consistency_proof(old_size=start, new_size=end, read=read)

    def pretend(start: int, end: int) -> list[bytes]:
        return merkle.consistency_proof(start, other_hashes[:end])

    world.rng.shuffle(three)
    cut = world.rng.randint(1, 2)
    shown = {id(one): (true.note, prove) if number < cut else (other, pretend) for number, one in enumerate(three)}
    lines: dict[str, list[str]] = {true.note: [], other: []}
    for one in three:
        note, proof = shown[id(one)]
        lines[note] += _cosign(one, note, old.size, proof)
    by = []
    # The operator now asks each witness for the other note, too, to fill both quorums.
    for one in three:
        note, proof = (other, pretend) if shown[id(one)][0] == true.note else (true.note, prove)
        try:
            lines[note] += _cosign(one, note, true.size, proof)
        except WitnessRefused:
            by.append("witness")
    policy = LogPolicy(
        logs=(Member(world.vkey),),
        witnesses={f"w{number}": Member(one.row.vkey) for number, one in enumerate(three)},
        groups={"all": Group(2, tuple(f"w{number}" for number in range(3)))},
        quorum="all",
    )
    believed = [note for note in lines if _believes(policy, note, lines[note])]
    if len(believed) == 2:
        raise Broken("two views of one size both have their quorum")
    by.append("policy (quorum)")
    if compare([true.note, other], logs={world.origin: [world.vkey]}):
        by.append("two visitors who compare")
    if outside.head(world.chain_url, world.address) != (true.size, checkpoints.parse(other).root.hex()):
        by.append("chain")
    return detected(by, wanted=["witness", "policy (quorum)", "two visitors who compare", "chain"])


def _sign(world: "World", hashes: list[bytes]) -> str:
    told = checkpoints.Checkpoint(origin=world.origin, size=len(hashes), root=outside.tree_root(hashes))
    return checkpoints.sign(told, key=keys.log_keys().document)


def _cosign(one: "Running", note: str, known: int, prove) -> list[str]:  # type: ignore[no-untyped-def]
    client = WitnessClient(one.row.url, vkeys=[one.row.vkey])
    return list(client.cosign(note, known_size=known, prove=prove).lines)


def _believes(policy: LogPolicy, note: str, lines: list[str]) -> bool:
    try:
        policy.check(notes.add_signatures(note, lines))
    except VerificationError as error:
        if error.code != "QUORUM_MISSING":
            raise
        return False
    return True


@sister("split_view_with_forgetful_witnesses")
def split_view_with_forgetful_witnesses(world: "World") -> Verdict:
    """Witnesses that keep nothing cosign whatever is signed: both views are believed."""
    held, hold = State.held, State.hold
    State.held = lambda self, origin: Held()  # type: ignore[method-assign]
    State.hold = lambda self, origin, held: None  # type: ignore[method-assign]
    try:
        return _split(world)
    finally:
        State.held, State.hold = held, hold  # type: ignore[method-assign]
