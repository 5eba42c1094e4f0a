"""Keys that were withdrawn, as this node knows of them: whatever they signed, nothing starts or leaves any more.

The exchange passes the signed revocations on. It can keep one back, and the parties' own revocation of the
contract and the chain remain; it cannot invent one that its own signature is not under.
"""

import json
from collections.abc import Iterable
from typing import Any

from compute.node import journal
from compute.node.config import Config
from compute.node.store import Store
from compute.protocol import key_documents, shapes
from exchange.kernel.errors import DomainError
from ledger.proofs import policies, statements
from ledger.proofs.errors import VerificationError

Document = dict[str, Any]


def learn(document: Any, *, config: Config, store: Store) -> bool:
    """Keep a revocation of keys that came from outside, if one who may withdraw them has signed it.

    That is a key withdrawn by itself, the pinned exchange, or a party's document or chain key under an
    accepted contract; of what that party names, its own keys under such contracts count.

    Returns: whether it was news.
    """
    try:
        key_documents.verify_revocation(document)
    except (DomainError, VerificationError):
        return False
    parties = [party for accepted in store.contracts() for party in accepted["parties"]]
    named = [party for party in parties if party["organization"] == document["organization"]]
    signing = {_key(party[name]) for party in named for name in ("document_key", "chain_address")}
    own = signing | {party["sealing_key"] for party in named if party["sealing_key"]}
    keys = {_key(item["key"]) for item in document["keys"]}
    by = _key(document["revoked_by"])
    alone = len(document["keys"]) == 1 and key_documents.revoked_by_itself(document)
    if not (alone or by in policies.exchange_keys(config.trust)):
        keys &= own if by in signing else set()
    return bool(keys) and add(store, document, keys=keys)


def add(store: Store, document: Document, *, keys: Iterable[str]) -> bool:
    """Keep a verified revocation of these keys; False when all of them are known. There is no un-revoking."""
    with store.transaction() as connection:
        known = "INSERT OR IGNORE INTO revoked_keys VALUES (?, ?, ?)"
        text, now = json.dumps(document, ensure_ascii=False), shapes.write_time(store.clock())
        added = sum(connection.execute(known, (key, text, now)).rowcount for key in keys)
        if added:
            journal.append(
                connection,
                event="key.revoked",
                now=store.clock(),
                organization=document["organization"],
                revoked_by=document["revoked_by"],
                document=statements.digest(document),
            )
        return added > 0


def is_any(store: Store, keys: Iterable[str]) -> bool:
    """Whether one of these keys, as texts, was withdrawn."""
    query = "SELECT 1 FROM revoked_keys WHERE key = ?"
    return any(store.connection().execute(query, (_key(key),)).fetchone() for key in keys)


def _key(text: str) -> str:
    """A key's text; an address in lower case, so that it is one key however it is spelt."""
    return text.lower() if text.startswith("0x") else text
