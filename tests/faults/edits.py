"""What a superuser of the database can do past every trigger: flip a byte, cut the tail, write history anew."""

import hashlib
import json
import os
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from psycopg import sql

from ledger import actions as ledger
from ledger import keys
from ledger.actions import chain_events, chain_records, log
from ledger.actions.anchoring import AnchorOutcome
from ledger.models import Entry
from ledger.proofs import canonical, checkpoints, grants, leaves, tiles
from ledger.witness.errors import WitnessError
from tests.faults import outside
from tests.faults.restores import alarmed, witness_refuses
from tests.faults.verdicts import Broken, Verdict, detected, healed, scenario, sister

if TYPE_CHECKING:
    from psycopg import Cursor

    from tests.faults.world import World

# The columns that are evidence. Left out are notes of no consequence: when a row was made, how often was asked.
EVIDENCE = {
    "entry": ("ref", "kind", "subject", "issuer", "commit", "at"),
    "disclosure": ("payload", "salt"),
    "pending": ("entry_id",),
    "log": ("origin", "vkey", "size", "root"),
    "leaf": ("data", "leaf_hash", "index"),
    "tile": ("data", "level", "index"),
    "checkpoint": ("note", "root", "size"),
    "witness": ("vkey",),
    "cosignature": ("line", "at"),
    "chaindeployment": ("chain_id", "genesis_hash", "contract_address", "code_hash"),
    "anchor": ("size", "root", "block_hash", "transaction_hash"),
    "anchorattempt": ("raw_transaction", "transaction_hash", "root"),
    "chainrecord": ("payload", "raw_transaction", "transaction_hash"),
    "chainevent": ("name", "arguments", "block_number", "block_hash", "transaction_hash"),
}
_TERMS = "5a" * 32


def _full_house(world: "World") -> None:
    """A log with a row in each table: witnesses, anchors, a grant on the chain, its event in the log, and a queue."""
    world.start_chain()
    world.witness("witness.example")
    world.grow(world.some(120))
    provider = keys.exchange_keys()
    grant = grants.sign_grant(
        key=provider.chain,
        chain_id=int(world.rpc("eth_chainId"), 16),
        contract_address=world.address,
        terms_digest=_TERMS,
        not_before=1_700_000_000,
        not_after=1_900_000_000,
        cap=20,
    )
    key = f"grant:{grants.grant_id(grantor=grant['grantor'], terms_digest=_TERMS)}"
    ledger.submit_chain_record(kind="grant", key=key, payload=grant)
    for _ in range(4):
        chain_records.send_chain_records()
    chain_events.read_chain_events()
    world.settle()
    ledger.ask_witnesses()
    if before := world.findings():
        raise Broken(f"findings before the fault: {before[:3]}")


def _flip(world: "World", table: str) -> str:
    """Change one byte of one evidence column of one row of the table; says which."""
    name = sql.Identifier(f"ledger_{table}")
    column = world.rng.choice(EVIDENCE[table])
    with world.superuser() as cursor:
        cursor.execute(sql.SQL("SELECT ctid::text, {} FROM {} ORDER BY 1").format(sql.Identifier(column), name))
        rows = cursor.fetchall()
        usable = [row for row in rows if row[1] not in ("", None)]
        if not usable:
            raise Broken(f"no row in ledger_{table} to change")
        place, value = world.rng.choice(usable)
        taken = [one for _, one in rows]
        draws = (_changed(world, column, value) for _ in range(100))
        changed = next(one for one in draws if one not in taken)  # a value that another row has, the table refuses
        question = sql.SQL("UPDATE {} SET {} = {} WHERE ctid::text = %s")
        cursor.execute(question.format(name, sql.Identifier(column), sql.SQL("%s")), [changed, place])
        if cursor.rowcount != 1:
            raise Broken(f"ledger_{table}.{column} was not changed")
    return f"{table}.{column}"


def _changed(world: "World", column: str, value: Any) -> Any:
    rng = world.rng
    if isinstance(value, bytes | memoryview):
        data = bytearray(value)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(data)
    if isinstance(value, int):
        return value ^ (1 << rng.randrange(3 if column == "level" else 15))
    if isinstance(value, dict | list):
        return json.dumps(_changed_member(world, value))
    if isinstance(value, str):
        return _changed_text(world, value)
    return value + timedelta(seconds=1 << rng.randrange(16))


def _changed_text(world: "World", text: str) -> str:
    """Another letter or digit for one of the text's; hex stays hex, which the tables check."""
    places = [number for number, letter in enumerate(text) if letter.isalnum() and letter.isascii()]
    place = world.rng.choice(places)
    if text[place] == "x":  # 0x
        place = places[-1]
    letters = "0123456789abcdef" if text[place] in "0123456789abcdef" else "ABCDEFGHJKMNPQRSTVWZghijkmnpqrst"
    return text[:place] + world.rng.choice(letters.replace(text[place], "")) + text[place + 1 :]


def _changed_member(world: "World", value: dict[str, Any]) -> dict[str, Any]:
    name = world.rng.choice(sorted(name for name, item in value.items() if isinstance(item, str) and item))
    return {**value, name: _changed_text(world, value[name])}


def _notices(world: "World", seen: outside.Visitor) -> list[str]:
    """Who notices; nothing that a change in the database does may make one of them fall over unheard."""
    by = []
    if world.findings():
        by.append("verify_ledger")
    if seen.look(world):
        by.append("outside verifier")
    if _stops(world.seal_refused):
        by.append("sealer (file)")
    if _stops(lambda: world.anchor().outcome in (AnchorOutcome.ALARM, AnchorOutcome.WRONG_CHAIN)):
        by.append("anchoring pass (chain)")
    if alarmed(world):
        by.append("health page")
    return by


def _stops(step: Callable[[], Any]) -> bool:
    """Whether a step says no, or ends in an error that its worker's log shows."""
    try:
        return bool(step())
    except Exception:  # noqa: BLE001  whatever a changed row makes it raise
        return True


def _one_byte(table: str) -> Callable[["World"], Verdict]:
    def run(world: "World") -> Verdict:
        _full_house(world)
        if table == "pending":
            world.record(3)  # in no other case: what is not in the log yet, for a second or so, nothing speaks for
        seen = outside.visitor(world)
        where = _flip(world, table)
        try:
            return detected(_notices(world, seen), wanted=["verify_ledger"])
        except Broken as error:
            raise Broken(f"{where}: {error}") from error

    run.__doc__ = f"One byte of ledger_{table} flipped past its triggers."
    return run


for _table in EVIDENCE:
    scenario(f"one_byte_in_{_table}")(_one_byte(_table))


def _write_tree(world: "World", cursor: "Cursor[Any]", data: list[bytes], *, with_key: bool) -> None:
    """Make every table of the log say that these are its leaves; with the key, signed and remembered, too."""
    hashes = [leaves_hash(one) for one in data]
    stored = tiles.append(size=0, leaf_hashes=hashes, read=lambda level, index: b"")
    cursor.execute("DELETE FROM ledger_tile")
    for (level, index), tile in stored.items():
        cursor.execute(
            'INSERT INTO ledger_tile (log_id, level, "index", data) VALUES (1, %s, %s, %s)', [level, index, tile]
        )
    cursor.execute('DELETE FROM ledger_leaf WHERE "index" >= %s', [len(data)])
    for index, (one, hashed) in enumerate(zip(data, hashes, strict=True)):
        cursor.execute('UPDATE ledger_leaf SET data = %s, leaf_hash = %s WHERE "index" = %s', [one, hashed, index])
    root = outside.tree_root(hashes)
    cursor.execute("UPDATE ledger_log SET size = %s, root = %s", [len(data), root.hex()])
    for table in ("cosignature", "checkpoint", "anchor", "anchorattempt"):
        cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(f"ledger_{table}")))
    if with_key:
        told = checkpoints.Checkpoint(origin=world.origin, size=len(data), root=root)
        note = checkpoints.sign(told, key=keys.log_keys().document)
        cursor.execute(
            "INSERT INTO ledger_checkpoint (log_id, size, root, note, created) VALUES (1, %s, %s, %s, now())",
            [len(data), root.hex(), note],
        )
        keys.signed_checkpoint_file().write_text(note)


def leaves_hash(data: bytes) -> bytes:
    """The hash of one leaf's bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def _stored(world: "World") -> list[bytes]:
    return [bytes(data) for (data,) in world.sql('SELECT data FROM ledger_leaf ORDER BY "index"')]


def _forged(world: "World") -> list[bytes]:
    """One old fact replaced by another, and every leaf behind it that names a leaf before it written anew."""
    count = world.sql("SELECT count(*) FROM ledger_leaf")[0][0]
    index = world.rng.randrange(count)
    payload, salt = canonical.encode({"number": -1, "dice": world.rng.randrange(2**32)}), os.urandom(32)
    commit = leaves.commitment(payload, salt=salt)
    with world.superuser() as cursor:
        cursor.execute('SELECT entry_id FROM ledger_leaf WHERE "index" = %s', [index])
        (entry,) = cursor.fetchone() or (None,)
        cursor.execute("UPDATE ledger_entry SET commit = %s WHERE id = %s", [commit, entry])
        cursor.execute(
            "UPDATE ledger_disclosure SET payload = %s, salt = %s, erased_at = NULL WHERE entry_id = %s",
            [payload, salt, entry],
        )
    before: dict[str, bytes] = {}
    data = []
    for one in Entry.objects.filter(leaf__isnull=False).order_by("leaf__index"):
        data.append(log.leaf_of(one, prev=before.get(one.subject)).data)
        before[one.subject] = leaves_hash(data[-1])
    return data


def _anchored(world: "World") -> outside.Visitor:
    world.start_chain()
    world.grow(world.some(120))
    world.settle()
    world.grow(world.rng.randint(2, 120))
    world.settle()
    return outside.visitor(world)


@scenario("truncated_tail")
def truncated_tail(world: "World") -> Verdict:
    """The last leaves gone: the rows alone, or every table made to agree, entries included."""
    seen = _anchored(world)
    kept = world.rng.randrange(1, seen.size)
    thoroughly = world.rng.random() < 0.6
    data = _stored(world)[:kept]
    with world.superuser() as cursor:
        if thoroughly:
            gone = 'SELECT entry_id FROM ledger_leaf WHERE "index" >= %s'
            cursor.execute(f"DELETE FROM ledger_disclosure WHERE entry_id IN ({gone})", [kept])
            cursor.execute(f"DELETE FROM ledger_entry WHERE id IN ({gone})", [kept])
            _write_tree(world, cursor, data, with_key=False)
        else:
            cursor.execute('DELETE FROM ledger_leaf WHERE "index" >= %s', [kept])
    wanted = ["verify_ledger", "outside verifier"]
    if thoroughly:
        wanted += ["sealer (file)", "anchoring pass (chain)", "health page"]
    return detected(_notices(world, seen), wanted=wanted)


@scenario("history_rewritten")
def history_rewritten(world: "World") -> Verdict:
    """An old fact replaced and all tables made to agree, by a superuser who has no key."""
    seen = _anchored(world)
    data = _forged(world)
    with world.superuser() as cursor:
        _write_tree(world, cursor, data, with_key=False)
    wanted = ["verify_ledger", "outside verifier", "sealer (file)", "anchoring pass (chain)", "health page"]
    return detected(_notices(world, seen), wanted=wanted)


@scenario("history_rewritten_with_the_key")
def history_rewritten_with_the_key(world: "World") -> Verdict:
    """The same by the operator: signed anew, and the file replaced. What lies outside his reach still says no."""
    running = world.witness("witness.example")
    seen = _anchored(world)
    ledger.ask_witnesses()
    data = _forged(world)
    with world.superuser() as cursor:
        _write_tree(world, cursor, data, with_key=True)
    by = _notices(world, seen)
    try:
        if witness_refuses(running):
            by.append("witness")
    except WitnessError:
        by.append("witness")
    wanted = ["verify_ledger", "outside verifier", "anchoring pass (chain)", "health page", "witness"]
    return detected(by, wanted=wanted)


# --- guards off ----------------------------------------------------------------------------------------------


@sister("one_byte_nowhere")
def one_byte_nowhere(world: "World") -> Verdict:
    """Nothing is changed: nobody may call that detected."""
    _full_house(world)
    seen = outside.visitor(world)
    return detected(_notices(world, seen), wanted=["verify_ledger"])


@sister("history_rewritten_with_the_key_and_no_chain")
def history_rewritten_with_the_key_and_no_chain(world: "World") -> Verdict:
    """Without a chain the log's own audit finds a well-made forgery in order."""
    _anchored(world)
    data = _forged(world)
    with world.superuser() as cursor:
        _write_tree(world, cursor, data, with_key=True)
    world.look_at("")
    return detected(["verify_ledger"] if world.findings() else [], wanted=["verify_ledger"])


@sister("truncated_tail_and_no_file")
def truncated_tail_and_no_file(world: "World") -> Verdict:
    """The tail cut in every table and in the file: without chain and visitor the log looks whole, and goes on."""
    _anchored(world)
    data = _stored(world)[:-1]
    with world.superuser() as cursor:
        gone = 'SELECT entry_id FROM ledger_leaf WHERE "index" >= %s'
        cursor.execute(f"DELETE FROM ledger_disclosure WHERE entry_id IN ({gone})", [len(data)])
        cursor.execute(f"DELETE FROM ledger_entry WHERE id IN ({gone})", [len(data)])
        _write_tree(world, cursor, data, with_key=True)
    world.look_at("")
    if not world.findings() and not world.seal_refused():
        raise Broken("noticed by nobody inside")
    return healed()
