"""The contract's rules in Python: one object is one deployed contract. `MemoryBackend` keeps it on a chain.

Every function of `ledger/chain/ExchangeLedger.vy` is here under its own name, takes the same arguments
after the sender, and is refused with the same word. What is wrong with a consistency proof is said in one
word, PROOF_WRONG, where the contract has four.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ledger.backends.base import ZERO_ADDRESS, Call, ChainRefused, GrantState
from ledger.proofs import grants, merkle, typed_data
from ledger.proofs.errors import VerificationError

NO_ROOT = "00" * 32
FUNCTIONS = frozenset(
    {
        "anchor",
        "anchor_first",
        "open_shard",
        "grant",
        "grant_by_signature",
        "revoke",
        "revoke_by_signature",
        "void",
        "void_by_signature",
        "meter",
        "meter_batch",
        "set_anchorer",
        "set_recorder",
        "set_log_key",
        "offer_admin",
        "accept_admin",
    }
)


@dataclass
class ContractRules:
    """State of one contract. A refused call may leave it half changed: callers work on a copy."""

    chain_id: int
    address: str
    admin: str = ""
    pending_admin: str = ZERO_ADDRESS
    anchorers: set[str] = field(default_factory=set)
    recorders: set[str] = field(default_factory=set)
    shard: int = 1
    size: int = 0
    root: str = NO_ROOT
    roots: dict[tuple[int, int], str] = field(default_factory=dict)  # (shard, size) -> root
    frozen: dict[int, tuple[int, str, str]] = field(default_factory=dict)  # shard -> size, root, log key hash
    log_key_hash: str = NO_ROOT
    log_keys: dict[int, list[tuple[str, int]]] = field(default_factory=dict)  # shard -> key hash, from size
    grants: dict[str, GrantState] = field(default_factory=dict)
    voided: set[tuple[str, str]] = field(default_factory=set)
    block: int = 0  # the block the call is executed in
    emitted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # name, arguments as `events` gives them

    def deploy(
        self, admin: str, anchorer: str, recorder: str, log_key_hash: bytes, predecessor: "ContractRules | None"
    ) -> None:
        """The constructor."""
        _require(admin != ZERO_ADDRESS, "ADMIN_EMPTY")
        self.admin = admin
        self._set_role(self.anchorers, "anchorer", anchorer, True)
        self._set_role(self.recorders, "recorder", recorder, True)
        if predecessor is not None:
            self.shard, self.size, self.root = predecessor.shard, predecessor.size, predecessor.root
            self.roots[self.shard, self.size] = self.root
        self._emit("AdminChanged", old=ZERO_ADDRESS, new=admin)
        self._set_log_key(log_key_hash.hex())

    def execute(self, call: Call, *, sender: str) -> None:
        """Run one function.

        Raises:
            ChainRefused: with the contract's word.
        """
        _require(call.function in FUNCTIONS, "UNKNOWN_FUNCTION")
        getattr(self, call.function)(sender, *call.arguments)

    def anchor(self, sender: str, old_size: int, new_size: int, root: bytes, proof: Sequence[bytes]) -> None:
        _require(sender in self.anchorers, "NOT_ANCHORER")
        _require(new_size > old_size, "NOT_NEWER")
        if (new_size, root.hex()) == (self.size, self.root):
            return
        _require(old_size == self.size, "SIZE_MOVED")
        if old_size == 0:
            _require(not proof, "PROOF_NOT_EMPTY")
            _require(self.shard == 1, "SHARD_UNNAMED")
        else:
            try:
                merkle.verify_consistency(
                    old_size=old_size,
                    new_size=new_size,
                    old_root=bytes.fromhex(self.root),
                    new_root=root,
                    proof=proof,
                )
            except VerificationError:
                raise _refused("PROOF_WRONG") from None
        self._move(old_size, new_size, root)

    def anchor_first(self, sender: str, shard: int, new_size: int, root: bytes) -> None:
        _require(sender in self.anchorers, "NOT_ANCHORER")
        _require(shard == self.shard, "SHARD_MOVED")
        _require(new_size > 0, "NOT_NEWER")
        if (new_size, root.hex()) == (self.size, self.root):
            return
        _require(self.size == 0, "SIZE_MOVED")
        self._move(0, new_size, root)

    def open_shard(self, sender: str, number: int, log_key_hash: bytes) -> None:
        _require(sender == self.admin, "NOT_ADMIN")
        if number == self.shard and log_key_hash.hex() == self.log_keys[self.shard][0][0]:
            return
        _require(number == self.shard + 1, "SHARD_MOVED")
        size, root = self.size, self.root
        self.frozen[self.shard] = (size, root, self.log_key_hash)
        self.shard, self.size, self.root = number, 0, NO_ROOT
        self._emit(
            "ShardOpened",
            shard=str(number),
            log_key_hash="0x" + log_key_hash.hex(),
            frozen_size=str(size),
            frozen_root="0x" + root,
        )
        self._set_log_key(log_key_hash.hex())

    def grant(self, sender: str, terms_digest: bytes, not_before: int, not_after: int, cap: int) -> None:
        self._grant(GrantState(sender, terms_digest.hex(), not_before, not_after, cap, used=0, revoked_at=0))

    def grant_by_signature(
        self,
        sender: str,
        grantor: str,
        terms_digest: bytes,
        not_before: int,
        not_after: int,
        cap: int,
        signature: bytes,
    ) -> None:
        message = grants.grant_digest(
            chain_id=self.chain_id,
            contract_address=self.address,
            grantor=grantor,
            terms_digest=terms_digest.hex(),
            not_before=not_before,
            not_after=not_after,
            cap=cap,
        )
        _check_signature(grantor, message, signature)
        self._grant(GrantState(grantor, terms_digest.hex(), not_before, not_after, cap, used=0, revoked_at=0))

    def revoke(self, sender: str, grant: bytes) -> None:
        found = self.grants.get("0x" + grant.hex())
        if found is None or found.grantor != sender:
            raise _refused("NOT_GRANTOR")
        self._revoke("0x" + grant.hex())

    def revoke_by_signature(self, sender: str, grant: bytes, signature: bytes) -> None:
        found = self._found(grant)
        message = grants.revoke_digest(chain_id=self.chain_id, contract_address=self.address, grant="0x" + grant.hex())
        _check_signature(found.grantor, message, signature)
        self._revoke("0x" + grant.hex())

    def void(self, sender: str, digest: bytes) -> None:
        if (sender, digest.hex()) not in self.voided:
            self.voided.add((sender, digest.hex()))
            self._emit("Voided", signer=sender, digest="0x" + digest.hex())

    def void_by_signature(self, sender: str, signer: str, digest: bytes, signature: bytes) -> None:
        message = grants.void_digest(
            chain_id=self.chain_id, contract_address=self.address, signer=signer, statement_digest=digest.hex()
        )
        _check_signature(signer, message, signature)
        self.void(signer, digest)

    def meter(self, sender: str, grant: bytes, used: int) -> None:
        _require(sender in self.recorders, "NOT_RECORDER")
        found = self._found(grant)
        _require(used >= found.used, "TOTAL_LOWER")
        if used == found.used:
            return
        _require(found.revoked_at == 0, "GRANT_REVOKED")
        _require((found.grantor, found.terms_digest) not in self.voided, "TERMS_VOIDED")
        _require(used <= found.cap, "CAP_EXCEEDED")
        self.grants["0x" + grant.hex()] = replace(found, used=used)
        self._emit("Metered", id="0x" + grant.hex(), used=str(used))

    def meter_batch(self, sender: str, ids: Sequence[bytes], totals: Sequence[int]) -> None:
        _require(sender in self.recorders, "NOT_RECORDER")
        _require(len(ids) == len(totals), "LENGTHS_DIFFER")
        for grant, used in zip(ids, totals, strict=True):
            self.meter(sender, grant, used)

    def set_anchorer(self, sender: str, holder: str, allowed: bool) -> None:
        _require(sender == self.admin, "NOT_ADMIN")
        self._set_role(self.anchorers, "anchorer", holder, allowed)

    def set_recorder(self, sender: str, holder: str, allowed: bool) -> None:
        _require(sender == self.admin, "NOT_ADMIN")
        self._set_role(self.recorders, "recorder", holder, allowed)

    def set_log_key(self, sender: str, new: bytes) -> None:
        _require(sender == self.admin, "NOT_ADMIN")
        if new.hex() != self.log_key_hash:
            self._set_log_key(new.hex())

    def offer_admin(self, sender: str, to: str) -> None:
        _require(sender == self.admin, "NOT_ADMIN")
        self.pending_admin = to
        self._emit("AdminOffered", to=to)

    def accept_admin(self, sender: str) -> None:
        _require(sender == self.pending_admin, "NOT_OFFERED")
        self._emit("AdminChanged", old=self.admin, new=sender)
        self.admin, self.pending_admin = sender, ZERO_ADDRESS

    def _move(self, old_size: int, new_size: int, root: bytes) -> None:
        self.size, self.root = new_size, root.hex()
        self.roots[self.shard, new_size] = root.hex()
        shard, size = str(self.shard), str(new_size)
        self._emit("Anchored", shard=shard, size=size, root="0x" + root.hex(), old_size=str(old_size))

    def _grant(self, asked: GrantState) -> None:
        grant_id = grants.grant_id(grantor=asked.grantor, terms_digest=asked.terms_digest)
        found = self.grants.get(grant_id)
        if found is not None:
            _require(found.revoked_at == 0, "GRANT_REVOKED")
            _require(replace(found, used=0) == asked, "GRANT_DIFFERS")
            return
        _require(asked.not_after > asked.not_before, "WINDOW_EMPTY")
        _require(asked.cap > 0, "CAP_ZERO")
        _require((asked.grantor, asked.terms_digest) not in self.voided, "TERMS_VOIDED")
        self.grants[grant_id] = asked
        self._emit(
            "Granted",
            id=grant_id,
            grantor=asked.grantor,
            terms_digest="0x" + asked.terms_digest,
            not_before=str(asked.not_before),
            not_after=str(asked.not_after),
            cap=str(asked.cap),
        )

    def _revoke(self, grant_id: str) -> None:
        found = self.grants[grant_id]
        if not found.revoked_at:
            self.grants[grant_id] = replace(found, revoked_at=self.block)
            self._emit("Revoked", id=grant_id, grantor=found.grantor)

    def _found(self, grant: bytes) -> GrantState:
        found = self.grants.get("0x" + grant.hex())
        if found is None:
            raise _refused("NO_GRANT")
        return found

    def _set_role(self, holders: set[str], role: str, holder: str, allowed: bool) -> None:
        (holders.add if allowed else holders.discard)(holder)
        self._emit("RoleChanged", role=role, holder=holder, allowed=allowed)

    def _set_log_key(self, new: str) -> None:
        self.log_keys.setdefault(self.shard, []).append((new, self.size))
        shard, size = str(self.shard), str(self.size)
        self._emit("LogKeyChanged", old="0x" + self.log_key_hash, new="0x" + new, shard=shard, from_size=size)
        self.log_key_hash = new

    def _emit(self, name: str, **arguments: Any) -> None:
        self.emitted.append((name, arguments))


def _check_signature(signer: str, message: bytes, signature: bytes) -> None:
    _require(len(signature) == 65, "SIGNATURE_LENGTH")
    _require(int.from_bytes(signature[32:64], "big") <= typed_data.HALF_ORDER, "SIGNATURE_HIGH_S")
    _require(signature[64] in (27, 28), "SIGNATURE_V")
    try:
        typed_data.verify(message, signature, signer=signer)
    except VerificationError:
        raise _refused("SIGNATURE_WRONG") from None


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise _refused(reason)


def _refused(reason: str) -> ChainRefused:
    return ChainRefused(f"The contract turned the call down: {reason}.", reason=reason)
