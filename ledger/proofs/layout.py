"""Where our contract keeps things: the storage slots of `ledger/chain/ExchangeLedger.vy`.

Vyper puts `map[key]` at keccak256(slot ‖ key), both as 32-byte words, and every member of a struct into
a slot of its own. The numbers are those of the artifact; `tests/unit/ledger/test_layout.py` compares them.
Slots are returned as 0x text of 32 bytes, the form in which a chain is asked for them.
"""

from functools import lru_cache

from ledger.proofs.errors import VerificationError
from ledger.proofs.typed_data import keccak256, to_bytes

SLOTS = {
    "shard": 1,
    "size": 2,
    "root": 3,
    "root_in": 4,
    "frozen": 5,
    "grants": 6,
    "voided": 7,
    "log_key_hash": 12,
}
GRANT = ("grantor", "terms_digest", "not_before", "not_after", "cap", "used", "revoked_at")
FROZEN = ("size", "root", "log_key_hash")


def plain(name: str) -> str:
    """The slot of a variable that is no map: `shard`, `size`, `root` or `log_key_hash`."""
    return _text(SLOTS[name])


def root_in(shard: int, size: int) -> str:
    """The slot of the root anchored at this size of this shard; zero where none was."""
    return _text(_mapped(_mapped(SLOTS["root_in"], _word(shard)), _word(size)))


def frozen(shard: int, member: str) -> str:
    """The slot of one member of what a shard was frozen at: `size`, `root` or `log_key_hash`."""
    return _text(_mapped(SLOTS["frozen"], _word(shard)) + FROZEN.index(member))


def grant(grant_id: str | bytes, member: str) -> str:
    """The slot of one member of a grant, such as `revoked_at`."""
    return _text(_mapped(SLOTS["grants"], _bytes32(grant_id)) + GRANT.index(member))


def voided(signer: str, digest: str | bytes) -> str:
    """The slot that is 1 once the signer has withdrawn the statement of this digest."""
    address = to_bytes(signer)
    if len(address) != 20:
        raise VerificationError("TYPED_DATA_INVALID", "an address has 20 bytes")
    return _text(_mapped(_mapped(SLOTS["voided"], address.rjust(32, b"\0")), _bytes32(digest)))


def for_root(shard: int, size: int) -> list[str]:
    """The slots that `chain.check_root` reads."""
    return [root_in(shard, size)]


def for_grant(*, grant_id: str | bytes, signer: str, terms_digest: str | bytes) -> list[str]:
    """The slots that `chain.check_grant_in_force` reads."""
    members = [grant(grant_id, member) for member in ("grantor", "terms_digest", "revoked_at")]
    return [*members, voided(signer, terms_digest)]


def for_statement(*, signer: str, digest: str | bytes) -> list[str]:
    """The slots that `chain.check_not_voided` reads."""
    return [voided(signer, digest)]


@lru_cache(maxsize=1024)
def _mapped(slot: int, key: bytes) -> int:
    return int.from_bytes(keccak256(_word(slot) + key), "big")


def _word(value: int) -> bytes:
    if not 0 <= value < 1 << 256:
        raise VerificationError("TYPED_DATA_INVALID", "not an integer of 256 bits")
    return value.to_bytes(32, "big")


def _bytes32(value: str | bytes) -> bytes:
    raw = to_bytes(value if isinstance(value, bytes) or value.startswith("0x") else "0x" + value)
    if len(raw) != 32:
        raise VerificationError("TYPED_DATA_INVALID", "not 32 bytes")
    return raw


def _text(slot: int) -> str:
    return "0x" + (slot % (1 << 256)).to_bytes(32, "big").hex()
