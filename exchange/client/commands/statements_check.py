"""A statement against the terms both sides signed and the receipts one has: every figure worked out again."""

from typing import Any

from contracts import pricing
from exchange.client.context import Context
from exchange.client.errors import ClientError
from exchange.kernel import identifiers
from exchange.kernel.errors import DomainError
from ledger.proofs import canonical, receipts, statements


def compare(context: Context, terms: dict[str, Any], statement: dict[str, Any]) -> list[str]:
    """What does not agree, as sentences; empty when all does."""
    findings: list[str] = []
    if statement.get("terms_digest") != statements.digest(terms):
        findings.append(
            context.out.pick("结算单所依条款与所签合约不同", "The statement rests on other terms than the contract")
        )
    try:
        pricing.verify_statement(statement, terms=terms)
    except DomainError as error:
        findings.append(error.message)
    policy = context.policy()
    for line in statement.get("lines", []):
        findings += _line(context, line, terms=terms, policy=policy)
    return findings


def _line(context: Context, line: dict[str, Any], *, terms: dict[str, Any], policy: Any) -> list[str]:
    """One counted run against its receipt, fetched and verified here."""
    subject = str(line.get("subject", ""))
    try:
        ref = identifiers.parse_urn(subject, kind="computation")
        bundle = context.api().get_bytes(f"/api/v1/computations/{ref}/receipt/")
    except (ValueError, ClientError):
        return [context.out.pick(f"{subject}：取不到用量凭证", f"{subject}: no receipt to be had")]
    failures = [check for check in receipts.verify(bundle, policy=policy) if check.status is receipts.Status.FAIL]
    if failures:
        return [f"{subject}: {context.out.pick(check.name_zh, check.name_en)} ({check.code})" for check in failures]
    receipt = canonical.parse_canonical(bundle)
    counted = sorted(statements.digest(report) for report in receipt["documents"]["reports"])
    agrees = (
        receipt["computation"] == subject
        and statements.digest(receipt["documents"]["contract"]) == statements.digest(terms)
        and receipt["charge"]["units"] == line.get("units")
        and receipt["charge"]["amount_fen"] == line.get("amount_fen")
        and counted == line.get("reports")
    )
    return [] if agrees else [context.out.pick(f"{subject}：与用量凭证不符", f"{subject}: differs from its receipt")]
