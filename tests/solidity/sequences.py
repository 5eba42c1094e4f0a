"""Random calls of the ledger contract, good and bad, drawn with an eye on its present state.

A draw is a function, its arguments and a sender; where a signature is due, it is made for each contract's
own address. Everything follows from the seed.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import coincurve

from ledger.backends.rules import ContractRules
from ledger.proofs import grants, merkle, typed_data

ORDER = typed_data.HALF_ORDER * 2 + 1
TERMS = [bytes([0xA0 + number]) * 32 for number in range(4)]
FROM, UNTIL = 1_700_000_000, 1_900_000_000
MAX_STEP = 40


@dataclass(frozen=True, slots=True)
class Draw:
    """`arguments(address)` are the call's for the contract at that address; `raw` replaces the call data."""

    function: str
    sender: str
    arguments: Callable[[str], tuple[Any, ...]]
    damage: str = ""  # how the encoded call is spoilt, if it is


class Sequence:
    """The people, their keys, and the model that says what would be a good call now."""

    def __init__(self, seed: int, *, chain_id: int) -> None:
        self.rng = random.Random(seed)
        self.chain_id = chain_id
        self.keys = [
            coincurve.PrivateKey(bytes([seed % 200 + 1]) * 16 + bytes([number]) * 16) for number in range(1, 7)
        ]
        self.people = [
            typed_data.checksum_address(typed_data.keccak256(key.public_key.format(compressed=False)[1:])[-20:])
            for key in self.keys
        ]
        self.admin, self.anchorer, self.recorder = self.people[:3]
        self.providers = self.people[3:]
        self._before: list[Draw] = []

    def draw(self, state: ContractRules) -> Draw:
        """The next call; now and then one that was made before, word for word."""
        if self._before and self.rng.random() < 0.08:
            return self.rng.choice(self._before[-60:])
        kinds = {
            self._anchor: 22, self._anchor_first: 6, self._open_shard: 4, self._grant: 10, self._signed_grant: 14,
            self._revoke: 3, self._signed_revoke: 6, self._void: 2, self._signed_void: 4, self._meter: 14,
            self._meter_batch: 8, self._role: 4, self._log_key: 3, self._offer: 2, self._accept: 2,
        }  # fmt: skip
        made = self.rng.choices(list(kinds), weights=list(kinds.values()))[0](state)
        if self.rng.random() < 0.03 and made.function != "accept_admin":  # it has no arguments to spoil
            damage = self.rng.choice(["cut", "dirty", "selector", "nothing"])
            made = Draw(made.function, made.sender, made.arguments, damage)
        self._before.append(made)
        return made

    def _mostly(self, right: str) -> str:
        return right if self.rng.random() < 0.85 else self.rng.choice(self.people)

    def _anchor(self, state: ContractRules) -> Draw:
        old, new = state.size, state.size + self.rng.randrange(1, MAX_STEP)
        leaves = tree(state.shard, new)
        proof = merkle.consistency_proof(old, leaves) if old else []
        root = merkle.root(leaves)
        fault = self.rng.choice(["", "", "", "flip", "short", "long", "swap", "empty", "root", "history", "old", "new",
                                 "again", "many", "most"])  # fmt: skip
        at = self.rng.randrange(len(proof)) if proof else 0
        if fault == "flip" and proof:
            proof[at] = bytes([proof[at][0] ^ 1]) + proof[at][1:]
        elif fault == "short":
            proof = proof[:-1]
        elif fault == "long":
            proof = [*proof, self.rng.randbytes(32)]
        elif fault == "swap":
            proof = proof[::-1]
        elif fault == "empty":
            proof = []
        elif fault == "root":
            root = self.rng.randbytes(32)
        elif fault == "history":
            other = tree(state.shard + 7, new)
            proof, root = (merkle.consistency_proof(old, other) if old else []), merkle.root(other)
        elif fault == "old":
            old = max(0, old + self.rng.choice([-1, 1]))
        elif fault == "new":
            new = self.rng.randrange(old + 1)
        elif fault == "again" and state.size:
            old, new, proof, root = 0, state.size, [], bytes.fromhex(state.root)
        elif fault == "many":
            proof = proof + [bytes(32)] * (129 - len(proof))
        elif fault == "most":
            proof = proof + [bytes(32)] * (128 - len(proof))
        return self._plain("anchor", self._mostly(self.anchorer), old, new, root, proof)

    def _anchor_first(self, state: ContractRules) -> Draw:
        size = self.rng.randrange(0, 9)
        root = merkle.root(tree(state.shard, size)) if size else bytes(32)
        shard = max(0, state.shard + self.rng.choice([0, 0, 0, -1, 1]))
        return self._plain("anchor_first", self._mostly(self.anchorer), shard, size, root)

    def _open_shard(self, state: ContractRules) -> Draw:
        number = max(0, state.shard + self.rng.choice([1, 1, 0, 2, -1]))
        first = bytes.fromhex(state.log_keys[state.shard][0][0])
        key_hash = first if self.rng.random() < 0.5 else self.rng.randbytes(32)
        return self._plain("open_shard", self._mostly(state.admin), number, key_hash)

    def _terms(self) -> tuple[bytes, int, int, int]:
        window = (FROM, UNTIL) if self.rng.random() < 0.9 else self.rng.choice([(5, 5), (6, 5), (0, 2**64 - 1)])
        cap = 20 if self.rng.random() < 0.85 else self.rng.choice([0, 1, 2**64 - 1])
        return self.rng.choice(TERMS), *window, cap

    def _grant(self, state: ContractRules) -> Draw:
        return self._plain("grant", self.rng.choice(self.providers), *self._terms())

    def _signed_grant(self, state: ContractRules) -> Draw:
        who = self.rng.randrange(3, 6)
        grantor, (terms, start, end, cap) = self.people[who], self._terms()
        place, spoil = self._place(), self._spoiler()
        signer, signed_cap = self._signer(who), cap if self.rng.random() < 0.95 else cap ^ 1

        def arguments(address: str) -> tuple[Any, ...]:
            digest = grants.grant_digest(
                **place(address), grantor=grantor, terms_digest=terms.hex(), not_before=start, not_after=end,
                cap=signed_cap,
            )  # fmt: skip
            return grantor, terms, start, end, cap, spoil(typed_data.sign(digest, key=signer))

        return Draw("grant_by_signature", self.rng.choice(self.people), arguments)

    def _a_grant(self, state: ContractRules) -> tuple[str, bytes]:
        if state.grants and self.rng.random() < 0.9:
            grant_id = self.rng.choice(sorted(state.grants))
            return state.grants[grant_id].grantor, bytes.fromhex(grant_id[2:])
        return self.rng.choice(self.providers), self.rng.randbytes(32)

    def _revoke(self, state: ContractRules) -> Draw:
        grantor, grant_id = self._a_grant(state)
        return self._plain("revoke", self._mostly(grantor), grant_id)

    def _signed_revoke(self, state: ContractRules) -> Draw:
        grantor, grant_id = self._a_grant(state)
        place, spoil, signer = self._place(), self._spoiler(), self._signer(self.people.index(grantor))

        def arguments(address: str) -> tuple[Any, ...]:
            digest = grants.revoke_digest(**place(address), grant="0x" + grant_id.hex())
            return grant_id, spoil(typed_data.sign(digest, key=signer))

        return Draw("revoke_by_signature", self.rng.choice(self.people), arguments)

    def _void(self, state: ContractRules) -> Draw:
        return self._plain("void", self.rng.choice(self.people), self.rng.choice([*TERMS, self.rng.randbytes(32)]))

    def _signed_void(self, state: ContractRules) -> Draw:
        who, digest = self.rng.randrange(3, 6), self.rng.choice([TERMS[0], self.rng.randbytes(32)])
        place, spoil, signer = self._place(), self._spoiler(), self._signer(who)

        def arguments(address: str) -> tuple[Any, ...]:
            message = grants.void_digest(**place(address), signer=self.people[who], statement_digest=digest.hex())
            return self.people[who], digest, spoil(typed_data.sign(message, key=signer))

        return Draw("void_by_signature", self.rng.choice(self.people), arguments)

    def _total(self, state: ContractRules, grant_id: bytes) -> int:
        found = state.grants.get("0x" + grant_id.hex())
        used = 0 if found is None else found.used
        return self.rng.choice([used, used + 1, used + 2, max(0, used - 1), 21, 2**64 - 1] + [used + 1] * 4)

    def _meter(self, state: ContractRules) -> Draw:
        _, grant_id = self._a_grant(state)
        return self._plain("meter", self._mostly(self.recorder), grant_id, self._total(state, grant_id))

    def _meter_batch(self, state: ContractRules) -> Draw:
        ids = [self._a_grant(state)[1] for _ in range(self.rng.randrange(5))]
        totals = [self._total(state, grant_id) for grant_id in ids]
        fault = self.rng.random()
        if fault < 0.1:
            totals = totals[:-1]
        elif fault < 0.15:
            ids, totals = [bytes(32)] * 251, [0] * 251
        return self._plain("meter_batch", self._mostly(self.recorder), ids, totals)

    def _role(self, state: ContractRules) -> Draw:
        function = self.rng.choice(["set_anchorer", "set_recorder"])
        own = self.anchorer if function == "set_anchorer" else self.recorder
        holder = self.rng.choice([own, own, self.rng.choice(self.people)])
        return self._plain(function, self._mostly(state.admin), holder, self.rng.random() < 0.8)

    def _log_key(self, state: ContractRules) -> Draw:
        new = self.rng.choice([bytes.fromhex(state.log_key_hash), self.rng.randbytes(32)])
        return self._plain("set_log_key", self._mostly(state.admin), new)

    def _offer(self, state: ContractRules) -> Draw:
        return self._plain("offer_admin", self._mostly(state.admin), self.rng.choice(self.people))

    def _accept(self, state: ContractRules) -> Draw:
        return self._plain(
            "accept_admin", self._mostly(state.pending_admin if int(state.pending_admin, 16) else state.admin)
        )

    def _plain(self, function: str, sender: str, *arguments: Any) -> Draw:
        return Draw(function, sender, lambda address: arguments)

    def _place(self) -> Callable[[str], dict[str, Any]]:
        """Where a signature is good: here, or now and then on another chain or for another contract."""
        other = self.rng.random()
        chain_id = self.chain_id + (1 if other < 0.06 else 0)
        return lambda address: {
            "chain_id": chain_id,
            "contract_address": "0x" + "77" * 20 if 0.06 < other < 0.12 else address,
        }

    def _signer(self, who: int) -> coincurve.PrivateKey:
        return self.keys[who] if self.rng.random() < 0.92 else self.rng.choice(self.keys)

    def _spoiler(self) -> Callable[[str], bytes]:
        fault = self.rng.choice([""] * 12 + ["high_s", "v0", "v29", "cut", "longer", "none", "zero", "flip"])
        return lambda signature: spoilt(bytes.fromhex(signature[2:]), fault)


def spoilt(raw: bytes, fault: str) -> bytes:
    """A signature with one thing wrong."""
    if fault == "high_s":
        high = ORDER - int.from_bytes(raw[32:64], "big")
        return raw[:32] + high.to_bytes(32, "big") + bytes([55 - raw[64]])
    changed = {
        "": raw,
        "v0": raw[:64] + bytes([raw[64] - 27]),
        "v29": raw[:64] + b"\x1d",
        "cut": raw[:64],
        "longer": raw + b"\x00",
        "none": b"",
        "zero": bytes(64) + b"\x1b",
        "flip": bytes([raw[0] ^ 1]) + raw[1:],
    }
    return changed[fault]


def tree(shard: int, size: int) -> list[bytes]:
    """The leaves of one shard's log."""
    return [merkle.leaf_hash(f"{shard} {number}".encode()) for number in range(size)]
