"""Consents and revocations: what the owner has said, standing or run by run, and how it is signed.

A request that admission would refuse is refused here already, with the same code as its reason, so that
no quota, review or peer is troubled for nothing.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from compute.node import admission, preflight, reviews, verdicts
from compute.node.config import Config
from compute.node.errors import ConsentNotPossible, ContractNotAccepted
from compute.node.store import Store
from compute.protocol import codes, documents, operations, shapes, terms
from compute.protocol.codes import Refused
from compute.protocol.keyfiles import KeyFile
from exchange.kernel.errors import DomainError
from exchange.kernel.identifiers import make_urn, new_ulid
from ledger.proofs import policies, statements
from ledger.proofs.errors import VerificationError

Document = dict[str, Any]


def accept_contract(document: Any, *, config: Config, keys: KeyFile, store: Store) -> Document:
    """Accept a contract for this node: from here on its parties' keys are pinned and its meter is open.

    The document must carry the valid signatures of every party, ours by this node's own key among them,
    and name the exchange and log keys that are pinned in the configuration.

    Raises:
        ContractNotAccepted: it does not; DocumentInvalid: it is not a contract of this version.
    """
    terms.check(document)
    own = terms.party(document, config.organization)
    takes_part = any(operations.get(code).has_requester for code in document["computation"]["operations"])
    if own is None or (own["role"] == "buyer" and not takes_part):
        raise ContractNotAccepted(
            "This node's organisation takes part in no computation under that contract.",
            zh="本节点的机构不参与该合约的任何计算。",
        )
    if own["document_key"] != keys.document_key or own["sealing_key"] != keys.sealing_key:
        raise ContractNotAccepted(
            "The contract names other keys for this organisation than this node's key file.",
            zh="合约中本机构的公钥不是本节点密钥文件的公钥。",
        )
    exchange = document["exchange"]
    known = policies.exchange_keys(config.trust)
    if exchange["document_key"] not in known or exchange["log_key"] not in policies.log_keys(
        config.trust, exchange["log_origin"]
    ):
        raise ContractNotAccepted(
            "The contract names other exchange keys than those pinned in config.toml.",
            zh="合约中的交易所公钥与 config.toml 中固定的不同。",
        )
    try:
        terms.verify_signatures(document)
    except VerificationError as error:
        raise ContractNotAccepted(
            f"{error.message}; every party signs before a node accepts.",
            zh="合约签名不全或无效；各方签署后节点才能接受。",
        ) from None
    try:
        store.add_contract(document)
    except Refused:
        raise ContractNotAccepted(
            "Another version of this contract was accepted before; terms never change under one reference.",
            zh="此前已接受该合约的另一版本；同一编号的条款不得更改。",
        ) from None
    accepted: Document = document
    return accepted


def set_standing(
    *, store: Store, contract: str, expires: datetime | None, per_day: int | None, chosen: list[str] | None
) -> None:
    """Keep a standing consent for a contract, never wider than the contract itself."""
    accepted = _accepted(store, contract)
    allowed = accepted["computation"]["operations"]
    if chosen is not None and not set(chosen) <= set(allowed):
        raise ConsentNotPossible(
            f"The contract allows only {', '.join(allowed)}.", zh=f"合约只允许 {', '.join(allowed)}。"
        )
    if accepted["computation"]["approval"] != "standing":
        raise ConsentNotPossible(
            "The contract asks for consent run by run; use: hengshu-node consent approve COMPUTATION",
            zh="合约要求逐次同意；请用：hengshu-node consent approve 计算编号",
        )
    end = shapes.parse_time(accepted["term"]["effective_to"])
    store.set_rule(
        contract=contract,
        operations=chosen or allowed,
        per_day=min(per_day or accepted["quota"]["per_day"], accepted["quota"]["per_day"]),
        expires=shapes.write_time(min(expires or end, end)),
    )


def consider(pair: Any, *, config: Config, keys: KeyFile, store: Store, now: datetime) -> str:
    """Look at one consent request from the exchange; returns what became of it.

    `granted` by a standing rule, `refused` with a code as reason, `waiting` for the owner, `known`, or
    `ignored` when it is not a valid request under an accepted contract.
    """
    request = _readable(pair, store=store)
    if request is None:
        return "ignored"
    if store.consent(request["id"]) is not None:
        return "known"
    store.add_request(request)
    reason = _refusal(request, config=config, store=store, now=now)
    if reason:
        _decide(
            request, decision="refused", basis="per_run", reason=reason, config=config, keys=keys, store=store, now=now
        )
        return "refused"
    rule = store.rule(request["contract"])
    accepted = _accepted(store, request["contract"])
    if (
        rule is None
        or accepted["computation"]["approval"] != "standing"
        or store.is_paused()
        or reviews.is_asked(request)  # two persons first, then the owner's own yes
        or request["operation"] not in rule["operations"]
        or now >= shapes.parse_time(rule["expires"])
    ):
        return "waiting"
    decided = _decide(
        request,
        decision="granted",
        basis="standing",
        reason="",
        config=config,
        keys=keys,
        store=store,
        now=now,
        per_day=rule["per_day"],
    )
    return "granted" if decided else "waiting"


def decide(
    *, computation: str, decision: str, reason: str, config: Config, keys: KeyFile, store: Store, now: datetime
) -> Document:
    """The owner's own yes or no to one waiting computation; the daemon sends it.

    Raises:
        ConsentNotPossible: unknown, decided already, or a yes to what admission would refuse.
    """
    request = store.request(computation)
    if request is None:
        raise ConsentNotPossible(
            "No such computation waits here; see: hengshu-node consent list",
            zh="没有等待决定的这项计算；请看：hengshu-node consent list",
        )
    refusal = _refusal(request, config=config, store=store, now=now)
    if decision == "granted" and not refusal:
        refusal = _review_missing(request, config=config, store=store)
    if decision == "granted" and refusal:
        raise ConsentNotPossible(codes.get(refusal).sentence("en"), zh=codes.get(refusal).sentence("zh"))
    if not _decide(
        request, decision=decision, basis="per_run", reason=reason, config=config, keys=keys, store=store, now=now
    ):
        raise ConsentNotPossible("This computation has been decided.", zh="这项计算已经决定过。")
    document = store.consent(computation)
    if document is None:
        raise ConsentNotPossible("This computation has been decided.", zh="这项计算已经决定过。")
    return document


def revoke(*, contract: str, reason: str, config: Config, keys: KeyFile, store: Store, now: datetime) -> Document:
    """Revoke a contract at this node, at once; returns the signed document for the exchange and the chain.

    Raises:
        ContractNotAccepted: unknown here, or its terms give this role no right to revoke.
    """
    accepted = _accepted(store, contract)
    own = terms.party(accepted, config.organization)
    if own is None or own["role"] not in accepted["revocation"]["by"]:
        raise ContractNotAccepted(
            "The terms give this organisation no right to revoke; pause the node instead.",
            zh="条款未赋予本机构撤销权；可改为暂停节点。",
        )
    document = documents.revocation(
        contract=contract,
        terms_digest=statements.digest(accepted),
        organization=config.organization,
        sequence=store.last_revocation(contract, config.organization) + 1,
        issued=now,
        reason=reason,
    )
    signed = statements.sign(document, key=keys.document, created=shapes.write_time(now))
    store.add_revocation(signed)
    return signed


def learn_revocation(document: Any, *, store: Store) -> bool:
    """Keep a revocation that came from outside, if a party with the right to it has signed it."""
    try:
        documents.check_revocation(document)
        accepted = store.contract(document["contract"])
        party = terms.party(accepted, document["organization"]) if accepted else None
        if (
            accepted is None
            or party is None
            or party["role"] not in accepted["revocation"]["by"]
            or document["terms_digest"] != statements.digest(accepted)
        ):
            return False
        statements.verify(document, signers=[party["document_key"]])
    except (DomainError, VerificationError):
        return False
    return store.add_revocation(document)


def _readable(pair: Any, *, store: Store) -> Document | None:
    """The request of a pair, if its contract is accepted and its buyer has signed it."""
    try:
        request: Document = pair["request"]
        documents.check_request(request)
        accepted = store.contract(request["contract"])
        if accepted is None:
            return None
        statements.verify(request, signers=[terms.buyer(accepted)["document_key"]])
    except operations.OperationUnknown:
        return None
    except (DomainError, VerificationError, KeyError, TypeError):
        return None
    return request


def _refusal(request: Mapping[str, Any], *, config: Config, store: Store, now: datetime) -> str:
    """The code with which admission would refuse this request, or nothing."""
    accepted = _accepted(store, request["contract"])
    try:
        admission.check_request(request, accepted=accepted)
        if now >= shapes.parse_time(request["expires"]):
            return "JOB_OUT_OF_TIME"
        admission.check_contract_open(accepted, store=store, now=now)
        listed = operations.parties(accepted, operation=request["operation"], parameters=request["parameters"])
        for party in listed:
            if party["organization"] == config.organization and party["role"] != "compute":
                dataset = store.dataset(party["dataset"], party["dataset_commitment"])
                if dataset is None:
                    return "DATASET_UNKNOWN"
                least = operations.effective_min_group(accepted, request["parameters"])
                buyer = terms.buyer(accepted)["organization"]
                verdict = verdicts.judge(
                    request, dataset, parties=listed, recipient=buyer, config=config, min_group=least
                )
                verdicts.check(verdict, store=store, now=now)
    except Refused as refused:
        return refused.code
    except DomainError:
        return "PARAMETERS_OUT_OF_TERMS"
    return ""


def _review_missing(request: Mapping[str, Any], *, config: Config, store: Store) -> str:
    try:
        verdicts.check_reviewed(request, config=config, store=store)
    except Refused as refused:
        return refused.code
    return ""


def _decide(
    request: Mapping[str, Any],
    *,
    decision: str,
    basis: str,
    reason: str,
    config: Config,
    keys: KeyFile,
    store: Store,
    now: datetime,
    per_day: int | None = None,
    identifier: Callable[[], str] = new_ulid,
) -> bool:
    # A refusal of an expired request must still be a valid document.
    expires = max(shapes.parse_time(request["expires"]), now + timedelta(minutes=1))
    document = documents.consent(
        consent_id=make_urn("consent", identifier()),
        request=request,
        organization=config.organization,
        basis=basis,
        decision=decision,
        issued=now,
        expires=expires,
        reason=reason,
        seconds=_estimate(request, config=config, store=store) if decision == "granted" else None,
    )
    signed = statements.sign(document, key=keys.document, created=shapes.write_time(now))
    return store.add_consent(signed, per_day=per_day)


def _estimate(request: Mapping[str, Any], *, config: Config, store: Store) -> int | None:
    """How long the run will take, judged by this node's own table; the exchange derives the run's deadline from it."""
    accepted = _accepted(store, request["contract"])
    listed = operations.parties(accepted, operation=request["operation"], parameters=request["parameters"])
    own = next(party for party in listed if party["organization"] == config.organization)
    if own["role"] == "compute":
        return None
    return preflight.seconds(request, store.dataset(own["dataset"], own["dataset_commitment"]), parties=len(listed))


def _accepted(store: Store, contract: str) -> Document:
    accepted = store.contract(contract)
    if accepted is None:
        raise ContractNotAccepted(
            "This node has not accepted that contract; run: hengshu-node contract accept FILE",
            zh="本节点没有接受该合约；请运行：hengshu-node contract accept 文件",
        )
    return accepted
