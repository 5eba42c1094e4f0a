"""Cards of data subjects, and the signed statement of a scoring run, as a bank's node makes it."""

import secrets
from typing import Any

from compute.protocol import keyfiles, notices, operations
from ledger.proofs import statements
from tests.factories.node import CREATED, NOW, World

AGENCIES = ("fund-a", "fund-b", "social")


def card() -> dict[str, Any]:
    """A person's card."""
    return notices.new_card(created=NOW)


def scoring_contract(world: World, **changes: Any) -> dict[str, Any]:
    """A signed contract for scorings among the bank and three agencies."""
    commitments = {code: letter * 64 for code, letter in zip(AGENCIES, "abc", strict=True)}
    found = world.terms(commitments, operation=operations.CREDIT_SCORING, **changes)
    for item in found["objects"]:
        item["columns"] = ["months", "consent_until", "consent_for"]
    return world.sign_all(found)


def scoring_request(world: World, contract: dict[str, Any], *, commitment: str = "d" * 64) -> dict[str, Any]:
    """The bank's signed request under it."""
    parameters = operations.credit_scoring(
        dataset="to_score",
        commitment=commitment,
        features=[{"provider": world.orgs[code], "columns": ["months"]} for code in AGENCIES],
        model={"kind": "linear", "version": "2026-11", "commitment": "e" * 64},
    )
    return world.request(contract, parameters=parameters)


def signed_statement(
    world: World, contract: dict[str, Any], request: dict[str, Any], *, keys: keyfiles.KeyFile | None = None
) -> dict[str, Any]:
    """What the bank's node signs for one batch."""
    made = notices.statement(batch=secrets.token_hex(16), request=request, terms=contract, at=NOW)
    return statements.sign(made, key=(keys or world.keys["bank"]).document, created=CREATED)
