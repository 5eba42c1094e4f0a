"""Two persons of the owner may let one very query through that neither tier of the gate allows.

Each sees what this table has answered so far, and signs a document on the node: the digest of the request, the digest
of that history, yes or no. Two yeses under two different keys of `[reviewers]` in config.toml, and no "no", let the
request be answered exactly; changing a letter of it makes it another request. What the two take upon themselves is not
covered by fixed blocks nor by the budget: the node only still withholds groups of fewer than k persons.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from compute.node.config import Config
from compute.node.errors import ConsentNotPossible
from compute.node.store import Store
from compute.protocol import privacy, shapes
from compute.protocol.codes import Refused
from compute.protocol.keyfiles import KeyFile
from ledger.proofs import canonical, statements
from ledger.proofs.errors import VerificationError

Document = dict[str, Any]

TYPE = "hengshu/review/v1"
APPROVALS_NEEDED = 2


def is_asked(request: Mapping[str, Any]) -> bool:
    """Whether a request can only be answered after review."""
    asked = request["parameters"].get("privacy")
    return asked is not None and asked["mechanism"] == privacy.REVIEWED


def decide(
    computation: str, *, decision: str, dataset: str, config: Config, keys: KeyFile, store: Store, now: datetime
) -> Document:
    """Sign one reviewer's answer over the request and over the table's history as it is now; keep it.

    Args:
        decision: approved or refused. keys: the reviewer's own key file.
    Raises:
        ConsentNotPossible: no such request, no such reviewer, or this reviewer has answered.
    """
    request = store.request(computation)
    if request is None or not is_asked(request):
        raise ConsentNotPossible("No such query waits for review here.", zh="这里没有等待复核的该查询。")
    name = next((name for name, key in config.reviewers.items() if key == keys.document_key), None)
    if name is None:
        raise ConsentNotPossible(
            "This key is not among [reviewers] in config.toml.", zh="该密钥不在 config.toml 的 [reviewers] 中。"
        )
    document = {
        "type": TYPE,
        "organization": config.organization,
        "computation": computation,
        "request_digest": statements.digest(request),
        "dataset": dataset,
        "history_digest": canonical.digest(history(store, dataset=dataset)),
        "reviewer": name,
        "decision": decision,
        "issued": shapes.write_time(now),
    }
    signed = statements.sign(document, key=keys.document, created=shapes.write_time(now))
    with store.transaction() as connection:
        added = connection.execute(
            "INSERT OR IGNORE INTO reviews VALUES (?, ?, ?)",
            (computation, keys.document_key, canonical.encode(signed).decode()),
        ).rowcount
    if added != 1:
        raise ConsentNotPossible("This reviewer has answered already.", zh="该复核人已经答复过。")
    store.note(f"review.{decision}", computation=computation, reviewer=name, review=statements.digest(signed))
    return signed


def check(request: Mapping[str, Any], *, config: Config, store: Store) -> None:
    """Check that two different reviewers have let this very request through and none has refused it.

    Raises:
        Refused: `CONSENT_MISSING`, `CONSENT_REFUSED`.
    """
    approved = set()
    for document in answers(request["id"], store=store):
        key = config.reviewers.get(document["reviewer"])
        if key is None or document["request_digest"] != statements.digest(request):
            continue  # no longer a reviewer, or signed over another request
        try:
            statements.verify(document, signers=[key])
        except VerificationError:
            continue
        if document["decision"] != "approved":
            raise Refused("CONSENT_REFUSED")
        approved.add(key)
    if len(approved) < APPROVALS_NEEDED:
        raise Refused("CONSENT_MISSING")


def answers(computation: str, *, store: Store) -> list[Document]:
    """What reviewers have signed about one request."""
    rows = store.connection().execute(
        "SELECT document FROM reviews WHERE computation = ? ORDER BY rowid", (computation,)
    )
    return [json.loads(row[0]) for row in rows.fetchall()]


def waiting(*, store: Store) -> list[Document]:
    """Undecided requests that can only be answered after review."""
    return [request for request in store.undecided() if is_asked(request)]


def history(store: Store, *, dataset: str) -> list[Document]:
    """Every run over a table that was admitted here and did not come to nothing, oldest first: what was asked of it."""
    rows = store.connection().execute(
        "SELECT jobs.computation, admitted_at, jobs.contract, job, request FROM jobs"
        " LEFT JOIN requests USING (computation)"
        " WHERE state <> 'void' OR EXISTS (SELECT 1 FROM spendings WHERE spendings.computation = jobs.computation)"
        " ORDER BY admitted_at, jobs.computation"
    )
    found = []
    for computation, admitted_at, contract, job, request in rows.fetchall():
        document = json.loads(job)
        if all(party.get("dataset") != dataset for party in document.get("parties", ())):
            continue
        found.append(
            {
                "computation": computation,
                "admitted_at": admitted_at,
                "contract": contract,
                "operation": document.get("operation", ""),
                "parameters": json.loads(request)["parameters"] if request else {},
            }
        )
    return found
