"""Judges that do not ask the exchange: plain JSON-RPC, SQL, HTTP, and a Merkle tree of their own."""

import hashlib
import json
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledger.proofs import checkpoints, tiles
from ledger.proofs.errors import VerificationError
from ledger.proofs.typed_data import keccak256
from tests.faults.verdicts import Broken

if TYPE_CHECKING:
    from tests.faults.world import World

_ANCHORED = "0x" + keccak256(b"Anchored(uint64,uint64,bytes32,uint64)").hex()
_SIZE, _ROOT = ("0x" + keccak256(name).hex()[:8] for name in (b"size()", b"root()"))


def rpc(url: str, method: str, *parameters: Any) -> Any:
    """One question to a chain node, without any library of chains."""
    question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
    request = urllib.request.Request(url, json.dumps(question).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=15) as response:
        answer = json.load(response)
    if "error" in answer:
        raise Broken(f"{method}: {answer['error']}")
    return answer["result"]


@dataclass(frozen=True, slots=True)
class Anchored:
    """One Anchored event."""

    shard: int
    old_size: int
    size: int
    root: str


def events(url: str, address: str) -> list[Anchored]:
    """Every Anchored event of the contract, in the chain's order."""
    question = {"address": address, "fromBlock": "0x0", "toBlock": "latest", "topics": [_ANCHORED]}
    found = []
    for log in rpc(url, "eth_getLogs", question):
        data = bytes.fromhex(log["data"][2:])
        shard, size = (int(topic, 16) for topic in log["topics"][1:3])
        found.append(Anchored(shard, int.from_bytes(data[32:64]), size, data[:32].hex()))
    return found


def head(url: str, address: str) -> tuple[int, str]:
    """The contract's size and root."""
    size, root = (rpc(url, "eth_call", {"to": address, "data": data}, "latest") for data in (_SIZE, _ROOT))
    return int(size, 16), root[2:]


def tree_root(hashes: Sequence[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree_root(hashes[:split]) + tree_root(hashes[split:])).digest()


def stored_hashes(world: "World") -> list[bytes]:
    """The hashes of the leaves' bytes as they are stored, in their order."""
    rows = world.sql('SELECT "index", data FROM ledger_leaf WHERE log_id = 1 ORDER BY "index"')
    if [row[0] for row in rows] != list(range(len(rows))):
        raise Broken("the leaves' places have a gap or a repeat")
    return [hashlib.sha256(b"\x00" + bytes(data)).digest() for _, data in rows]


def check_whole(world: "World") -> None:
    """Everything is in the log once, the log is signed and anchored to its end, each anchor by one event.

    Raises:
        Broken: with the first thing that is not so.
    """
    hashes = stored_hashes(world)
    root = tree_root(hashes).hex()
    entries, waiting, distinct = world.sql(
        "SELECT (SELECT count(*) FROM ledger_entry), (SELECT count(*) FROM ledger_pending),"
        " (SELECT count(DISTINCT entry_id) FROM ledger_leaf)"
    )[0]
    _equal("entries, leaves and entries with a leaf", (entries, len(hashes), distinct), (entries, entries, entries))
    _equal("entries that wait", waiting, 0)
    _equal("the log's head", world.sql("SELECT size, root FROM ledger_log")[0], (len(hashes), root))
    check_events(world, hashes)
    _equal("the contract's head", head(world.chain_url, world.address), (len(hashes), root))
    note = checkpoints.verify(world.remembered(), keys=[world.vkey], origin=world.origin)
    _equal("the checkpoint in the file", (note.size, note.root.hex()), (len(hashes), root))
    size, seen = served(world)
    _equal("what is served", (size, seen.hex()), (len(hashes), root))
    _equal("findings of verify_ledger", world.findings(), [])


def check_events(world: "World", hashes: Sequence[bytes]) -> None:
    """One event for each anchored size, each over what the leaves say, each from where the last one ended."""
    found = events(world.chain_url, world.address)
    twice = [place for place, count in Counter((one.shard, one.size) for one in found).items() if count != 1]
    _equal("sizes with more than one event", twice, [])
    before = 0
    for event in found:
        _equal(f"the old size of {event.size}", event.old_size, before)
        _equal(f"the root anchored at {event.size}", event.root, tree_root(hashes[: event.size]).hex())
        before = event.size
    rows = world.sql(
        "SELECT a.size, a.root FROM ledger_anchor a JOIN ledger_chaindeployment d ON d.id = a.deployment_id"
        " WHERE d.contract_address = %s AND d.genesis_hash = %s ORDER BY a.size",
        world.address,
        world.genesis,
    )
    known = {(event.size, event.root) for event in found}
    _equal("anchors that are not on the chain", [row for row in rows if row not in known], [])


def served(world: "World") -> tuple[int, bytes]:
    """Size and root as a stranger works them out from the served checkpoint, tiles and entry bundles.

    Raises:
        VerificationError: what is served does not hold together.
    """
    note = checkpoints.verify(world.fetch("checkpoint"), keys=[world.vkey], origin=world.origin)
    hashes = served_hashes(world, note.size)
    if tree_root(hashes) != note.root:
        raise VerificationError("ROOT_DIFFERS", "the served tiles do not lead to the served checkpoint")
    return note.size, note.root


def served_hashes(world: "World", size: int) -> list[bytes]:
    """The leaf hashes of the served tiles, each compared with the served bytes of its leaf."""
    hashes: list[bytes] = []
    for index in range((size + tiles.WIDTH - 1) // tiles.WIDTH):
        path = tiles.format_path(index, width=tiles.width(level=0, index=index, size=size))
        found = tiles.split(world.fetch(f"tile/0/{path}"))
        bundle = tiles.parse_entries(world.fetch(f"tile/entries/{path}"))
        if [hashlib.sha256(b"\x00" + data).digest() for data in bundle] != found:
            raise VerificationError("LEAF_DIFFERS", "the served entries are not those of the served tile")
        hashes += found
    if len(hashes) != size:
        raise VerificationError("TILE_INVALID", "the served tiles are fewer than the checkpoint promises")
    return hashes


@dataclass
class Visitor:
    """Somebody outside who keeps the last checkpoint he saw."""

    size: int
    root: bytes

    def look(self, world: "World") -> str:
        """Look again; says what is wrong, or "" when what is served extends what was seen."""
        try:
            size, root = served(world)
            if size < self.size:
                return "the log has become shorter"
            if tree_root(served_hashes(world, size)[: self.size]) != self.root:
                return "the log is not a continuation"
        except VerificationError as error:
            return error.code
        self.size, self.root = size, root
        return ""


def visitor(world: "World") -> Visitor:
    """A visitor who has just seen the log."""
    return Visitor(*served(world))


def _equal(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise Broken(f"{what}: {str(found)[:200]}, not {str(wanted)[:200]}")
