"""The same random calls to the deployed program, to its Solidity twin and to the rules in Python.

Each call must come to the same end in all three: taken or refused, with the same word (Python says what is
wrong with a proof in one word instead of four), the same events, and the same state in every getter.
"""

import copy
from collections import Counter

import pytest

from ledger.backends.base import Call, ChainRefused
from ledger.backends.rules import FUNCTIONS, ContractRules
from ledger.chain import artifact
from tests.solidity import pair as pairs
from tests.solidity.pair import Answer, Node, Pair
from tests.solidity.sequences import TERMS, Draw, Sequence

pytestmark = pytest.mark.chain
CALLS = 1_000  # for each seed
LOOK_EVERY = 10
NOBODY = "0x" + "00" * 20
KEY_HASH = b"\x07" * 32
PROOF_WORDS = {"PROOF_SHORT", "PROOF_LONG", "OLD_ROOT_DIFFERS", "NEW_ROOT_DIFFERS"}
# Every word the contract knows; a run must meet all of them.
WORDS = {
    "NOT_ANCHORER", "NOT_NEWER", "SIZE_MOVED", "PROOF_NOT_EMPTY", "SHARD_UNNAMED", "SHARD_MOVED", "NOT_ADMIN",
    "NOT_GRANTOR", "NO_GRANT", "NOT_RECORDER", "LENGTHS_DIFFER", "GRANT_REVOKED", "GRANT_DIFFERS", "WINDOW_EMPTY",
    "CAP_ZERO", "TERMS_VOIDED", "TOTAL_LOWER", "CAP_EXCEEDED", "SIGNATURE_LENGTH", "SIGNATURE_HIGH_S", "SIGNATURE_V",
    "SIGNATURE_WRONG", "NOT_OFFERED", *PROOF_WORDS,
}  # fmt: skip


@pytest.fixture(scope="module")
def twin():
    return pairs.compiled(pairs.TWIN)["ExchangeLedgerTwin"]


@pytest.fixture
def node(chain_rpc):
    node = Node(chain_rpc)
    node.ask("anvil_autoImpersonateAccount", True)
    yield node
    node.ask("evm_setAutomine", True)
    node.ask("anvil_autoImpersonateAccount", False)


def start(node: Node, twin, people: Sequence) -> tuple[Pair, ContractRules]:
    for account in people.people:
        node.ask("anvil_setBalance", account, hex(10**24))
    arguments = (people.admin, people.anchorer, people.recorder, KEY_HASH, NOBODY)
    made = [
        pairs.deploy(node, bytecode=bytecode, arguments=arguments, sender=people.admin)
        for bytecode in (artifact()["bytecode"], twin["bytecode"])
    ]
    node.ask("evm_setAutomine", False)
    rules = ContractRules(chain_id=people.chain_id, address=made[0])
    rules.deploy(people.admin, people.anchorer, people.recorder, KEY_HASH, None)
    return Pair(node, (made[0], made[1]), artifact()["abi"]), rules


def test_the_same_calls_come_to_the_same_end(node, twin):
    words: Counter[str] = Counter()
    for seed in (1, 2):
        words += play(node, twin, seed)
    assert WORDS - set(words) == set(), "a word that no call has met is not compared"
    assert words[""] > 300
    assert words["-"] > 20


def play(node: Node, twin, seed: int) -> Counter[str]:
    """One sequence; how often each word was the end."""
    people = Sequence(seed, chain_id=int(node.ask("eth_chainId"), 16))
    both, rules = start(node, twin, people)
    words: Counter[str] = Counter()
    for number in range(CALLS):
        draw = people.draw(rules)
        data = encoded(both, draw)
        first, second = both.ask(data, sender=draw.sender)
        assert first == second, (seed, number, draw.function, first.reason, second.reason)
        assert not (draw.damage and first.succeeded), (seed, number, draw)
        words[first.reason] += 1

        logs = both.send(data, sender=draw.sender)
        assert logs[0] == logs[1], (seed, number, draw.function)
        assert both.statuses == (first.succeeded, first.succeeded)

        if not draw.damage:
            rules = modelled(rules, draw, first, block=int(node.ask("eth_blockNumber"), 16))
        if number % LOOK_EVERY == 0 or number == CALLS - 1:
            look(both, rules, people)
    node.ask("evm_setAutomine", True)
    assert rules.shard > 2
    assert both.events > 100
    return words


def encoded(both: Pair, draw: Draw) -> tuple[str, str]:
    """The call data for each; both refuse what is spoilt, without a word."""
    first, second = (both.data(draw.function, draw.arguments(address)) for address in both.addresses)
    if draw.damage:
        return both.spoilt(draw.function, first, draw.damage), both.spoilt(draw.function, second, draw.damage)
    return first, second


def modelled(rules: ContractRules, draw: Draw, said: Answer, *, block: int) -> ContractRules:
    """The Python rules after the call; their word must be the contract's."""
    after = copy.deepcopy(rules)
    after.emitted, after.block = [], block
    word = ""
    try:
        after.execute(Call(draw.function, draw.arguments(rules.address)), sender=draw.sender)
    except ChainRefused as error:
        word, after = error.reason, rules
    if said.reason == "-":  # too long for the program's room: no word, and none of Python's business
        return rules
    assert word == ("PROOF_WRONG" if said.reason in PROOF_WORDS else said.reason), draw.function
    return after


def look(both: Pair, rules: ContractRules, people: Sequence) -> None:
    """Every getter of both contracts, and the model's state in their words."""
    shards = range(1, rules.shard + 2)
    ids = [bytes.fromhex(grant_id[2:]) for grant_id in rules.grants]
    views: list[tuple[str, tuple]] = [(name, ()) for name in ("shard", "size", "root", "admin", "pending_admin")]
    views += [(name, ()) for name in ("log_key_hash", "predecessor", "predecessor_shard", "predecessor_size")]
    views += [("root_at", (rules.size,)), ("root_at", (rules.size + 1,))]
    views += [("root_in", place) for place in [*rules.roots, (rules.shard, rules.size + 1), (0, 1)]]
    views += [(name, (shard,)) for shard in shards for name in ("frozen", "log_key_count")]
    views += [("log_keys", (shard, position)) for shard in shards for position in range(4)]
    views += [("grants", (grant_id,)) for grant_id in [*ids, bytes(32)]]
    views += [("voided", (person, terms)) for person in people.people for terms in TERMS]
    views += [(name, (person,)) for person in people.people for name in ("anchorers", "recorders")]
    views += [("grant_id", (person, TERMS[0])) for person in people.people]
    first, second = both.state(views)
    assert first == second
    said = dict(zip(views, first, strict=True))

    def number(name: str, *arguments) -> int:
        return int(said[name, arguments].data, 16)

    assert (number("shard"), number("size"), number("root")) == (rules.shard, rules.size, int(rules.root, 16))
    for place, root in rules.roots.items():
        assert number("root_in", *place) == int(root, 16)
    for shard, (size, root, key_hash) in rules.frozen.items():
        assert said["frozen", (shard,)].data == f"0x{size:064x}{root}{key_hash}"
    for shard, keys in rules.log_keys.items():
        assert number("log_key_count", shard) == len(keys)
        for position, (key_hash, size) in list(enumerate(keys))[:4]:
            assert said["log_keys", (shard, position)].data == f"0x{key_hash}{size:064x}"
    for grant_id, held in zip(ids, rules.grants.values(), strict=True):
        words = (held.not_before, held.not_after, held.cap, held.used, held.revoked_at)
        numbers = "".join(f"{word:064x}" for word in words)
        assert said["grants", (grant_id,)].data == f"0x{int(held.grantor, 16):064x}{held.terms_digest}{numbers}"
    for person in people.people:
        assert number("anchorers", person) == (person in rules.anchorers)
        assert number("recorders", person) == (person in rules.recorders)
        for terms in TERMS:
            assert number("voided", person, terms) == ((person, terms.hex()) in rules.voided)
    assert (number("admin"), number("pending_admin")) == (int(rules.admin, 16), int(rules.pending_admin, 16))


def test_both_have_the_same_functions_and_events(twin):
    assert _shapes(artifact()["abi"]) == _shapes(twin["abi"])


def test_the_rules_in_python_have_every_function_that_changes_something():
    changing = {
        e["name"] for e in artifact()["abi"] if e["type"] == "function" and e["stateMutability"] == "nonpayable"
    }
    assert changing == FUNCTIONS


def _shapes(abi) -> set[tuple]:
    return {
        (
            entry["type"],
            entry.get("name"),
            tuple((item["type"], item.get("indexed", False)) for item in entry["inputs"]),
            entry.get("stateMutability"),
        )
        for entry in abi
    }
