"""Ways in which a job bundle, or the node's world, can be wrong; each returns the bundle to admit."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compute.node import admission, consents
from compute.protocol import keyfiles, operations
from ledger.proofs import statements
from tests.factories.node import NOW, Provider

Bundle = dict[str, Any]
Change = Callable[[Provider, Bundle], Any]


def case_of(fund: Provider, bundle: Any) -> admission.Case:
    return admission.Case(
        bundle=bundle,
        task="urn:hengshu:task:01JD0000000000000000000000",
        fencing_token=1,
        lease_until=30.0,
        config=fund.config,
        store=fund.store,
        grants=fund.grants,
        now=fund.world.clock(),
        monotonic=lambda: 0.0,
    )


def genuine(fund: Provider) -> Bundle:
    request = fund.world.request(fund.contract)
    return fund.world.bundle(fund.contract, request, consents=fund.consented(request))


def free_member(fund: Provider, bundle: Bundle) -> Any:
    return {**bundle, "note": "anything"}


def not_an_object(fund: Provider, bundle: Bundle) -> Any:
    return [bundle]


def huge(fund: Provider, bundle: Bundle) -> Any:
    return {**bundle, "checkpoint": "x" * (3 * 1024 * 1024)}


def unknown_version(fund: Provider, bundle: Bundle) -> Any:
    return _with_job(fund, bundle, type="hengshu/job/v2")


def unknown_operation(fund: Provider, bundle: Bundle) -> Any:
    return _with_job(fund, bundle, operation="read_everything")


def job_signed_by_another(fund: Provider, bundle: Bundle) -> Any:
    return {**bundle, "job": fund.world.sign(statements.unsigned(bundle["job"]), "bank")}


def job_changed_after_signing(fund: Provider, bundle: Bundle) -> Any:
    return {**bundle, "job": {**bundle["job"], "min_group": 11}}


def changed_term(fund: Provider, bundle: Bundle) -> Any:
    """Every party has signed the other terms, and still the owner has not accepted them."""
    return _other_terms(fund, output={**fund.contract["output"], "min_cell": 50})


def cheaper_price(fund: Provider, bundle: Bundle) -> Any:
    return _other_terms(fund, price={**fund.contract["price"], "unit_price_fen": 1})


def unaccepted_contract(fund: Provider, bundle: Bundle) -> Any:
    commitment = fund.contract["objects"][0]["dataset_commitment"]
    return _under(fund, fund.world.contract({"fund-a": commitment, "fund-b": "b" * 64}), ("fund-a", "fund-b"))


def contract_unsigned_by_a_party(fund: Provider, bundle: Bundle) -> Any:
    proofs = [p for p in bundle["contract"]["proof"] if fund.world.keys["fund-b"].document_key not in str(p)]
    return {**bundle, "contract": {**bundle["contract"], "proof": proofs}}


def request_signed_by_another(fund: Provider, bundle: Bundle) -> Any:
    return _around(fund, fund.world.request(fund.contract, signer="fund-b"))


def another_request(fund: Provider, bundle: Bundle) -> Any:
    return {**bundle, "request": fund.world.request(fund.contract)}


def operation_outside_contract(fund: Provider, bundle: Bundle) -> Any:
    parameters = operations.aligned_statistics(
        group_by=["district"],
        values=["base"],
        group_provider=fund.world.orgs["fund-a"],
        value_provider=fund.world.orgs["fund-b"],
    )
    return _around(fund, fund.world.request(fund.contract, operation="aligned_statistics", parameters=parameters))


def other_purpose(fund: Provider, bundle: Bundle) -> Any:
    return _around(fund, fund.world.request(fund.contract, purpose="marketing"))


def other_column(fund: Provider, bundle: Bundle) -> Any:
    return _around(fund, asking(fund, values=["person_id"]))


def grouping_by_a_number(fund: Provider, bundle: Bundle) -> Any:
    return _around(fund, asking(fund, group_by=["base"]))


def filter_by_a_number(fund: Provider, bundle: Bundle) -> Any:
    return _around(fund, asking(fund, filters=[{"column": "base", "in": ["1000.50"]}]))


def other_engine(fund: Provider, bundle: Bundle) -> Any:
    return _with_job(fund, bundle, engine="aby3_aligned/1")


def swapped_result_key(fund: Provider, bundle: Bundle) -> Any:
    stranger = keyfiles.generate("stranger").sealing_key
    return _with_job(fund, bundle, result={"organization": fund.world.orgs["bank"], "sealing_key": stranger})


def swapped_receiver(fund: Provider, bundle: Bundle) -> Any:
    return _with_job(fund, bundle, result={**bundle["job"]["result"], "organization": fund.world.orgs["fund-b"]})


def other_min_group(fund: Provider, bundle: Bundle) -> Any:
    return _with_job(fund, bundle, min_group=1000)


def wrong_commitment(fund: Provider, bundle: Bundle) -> Any:
    first, second = bundle["job"]["parties"]
    return _with_job(fund, bundle, parties=[{**first, "dataset_commitment": "c" * 64}, second])


def dataset_version_gone(fund: Provider, bundle: Bundle) -> Any:
    """The contract speaks of a version that this node never had."""
    other = fund.world.contract({"fund-a": "c" * 64, "fund-b": "b" * 64})
    fund.store.add_contract(other)
    return _under(fund, other, ("fund-a", "fund-b"), keep=True)


def wrong_audience(fund: Provider, bundle: Bundle) -> Any:
    other = fund.world.contract({"social": "d" * 64, "fund-b": "b" * 64})
    fund.store.add_contract(other)
    return _under(fund, other, ("social", "fund-b"))


def missing_consent(fund: Provider, bundle: Bundle) -> Any:
    return _with_consents(fund, bundle, bundle["consents"][:1])


def own_consent_never_given(fund: Provider, bundle: Bundle) -> Any:
    """Signed by our key perhaps, but not in our store."""
    return _with_consents(fund, bundle, [fund.world.consent(bundle["request"], "fund-a"), bundle["consents"][1]])


def consent_signed_by_another(fund: Provider, bundle: Bundle) -> Any:
    forged = fund.world.sign(statements.unsigned(bundle["consents"][1]), "bank")
    return _with_consents(fund, bundle, [bundle["consents"][0], forged])


def refused_consent(fund: Provider, bundle: Bundle) -> Any:
    no = fund.world.consent(bundle["request"], "fund-b", decision="refused")
    return _with_consents(fund, bundle, [bundle["consents"][0], no])


def wrong_log_key(fund: Provider, bundle: Bundle) -> Any:
    return _logged(fund, bundle, log=Ed25519PrivateKey.generate())


def authorization_not_logged(fund: Provider, bundle: Bundle) -> Any:
    return {**bundle, "authorization": {**bundle["authorization"], "path": ["0" * 64] * 3}}


def authorization_payload_changed(fund: Provider, bundle: Bundle) -> Any:
    payload = {**bundle["authorization"]["payload"], "policy_version": 2}
    return {**bundle, "authorization": {**bundle["authorization"], "payload": payload}}


def authorization_of_another_job(fund: Provider, bundle: Bundle) -> Any:
    return _logged(fund, bundle, job_digest="e" * 64)


def entry_of_another_kind(fund: Provider, bundle: Bundle) -> Any:
    payload = bundle["authorization"]["payload"]
    proof, note = fund.world.log_entry(payload, subject=bundle["job"]["id"], kind="computation.requested")
    return {**bundle, "authorization": proof, "checkpoint": note}


def too_early(fund: Provider, bundle: Bundle) -> Any:
    fund.world.now = NOW - timedelta(minutes=10)
    return bundle


def too_late(fund: Provider, bundle: Bundle) -> Any:
    fund.world.now = NOW + timedelta(minutes=10)
    return bundle


def much_too_late(fund: Provider, bundle: Bundle) -> Any:
    fund.world.now = NOW + timedelta(days=400)
    return bundle


def revoked_here(fund: Provider, bundle: Bundle) -> Any:
    consents.revoke(
        contract=fund.contract["id"], reason="", config=fund.config, keys=fund.keys, store=fund.store, now=NOW
    )
    return bundle


def grant_missing(fund: Provider, bundle: Bundle) -> Any:
    fund.grants.code = "GRANT_MISSING"
    return bundle


def grant_expired(fund: Provider, bundle: Bundle) -> Any:
    fund.grants.code = "GRANT_EXPIRED"
    return bundle


def grant_revoked(fund: Provider, bundle: Bundle) -> Any:
    fund.grants.code = "CONTRACT_REVOKED"
    return bundle


def chain_silent(fund: Provider, bundle: Bundle) -> Any:
    fund.grants.code = "CHAIN_UNAVAILABLE"
    return bundle


def paused(fund: Provider, bundle: Bundle) -> Any:
    fund.store.set_paused(True)
    return bundle


def replayed(fund: Provider, bundle: Bundle) -> Any:
    admission.admit(case_of(fund, bundle))
    return bundle


def exhausted(fund: Provider, bundle: Bundle) -> Any:
    for _ in range(20):
        admission.admit(case_of(fund, _under(fund, fund.contract, ("fund-a", "fund-b"), keep=True)))
    return bundle


# change, code, the step that refuses
REFUSALS: list[tuple[Change, str, str]] = [
    (free_member, "DOCUMENT_INVALID", "documents"),
    (not_an_object, "DOCUMENT_INVALID", "documents"),
    (huge, "DOCUMENT_INVALID", "documents"),
    (unknown_version, "DOCUMENT_INVALID", "documents"),
    (unknown_operation, "OPERATION_UNKNOWN", "documents"),
    (job_signed_by_another, "EXCHANGE_SIGNATURE_INVALID", "exchange_signature"),
    (job_changed_after_signing, "EXCHANGE_SIGNATURE_INVALID", "exchange_signature"),
    (unaccepted_contract, "CONTRACT_UNKNOWN", "party_signatures"),
    (changed_term, "TERMS_CHANGED", "party_signatures"),
    (cheaper_price, "TERMS_CHANGED", "party_signatures"),
    (contract_unsigned_by_a_party, "CONTRACT_SIGNATURE_INVALID", "party_signatures"),
    (request_signed_by_another, "REQUEST_SIGNATURE_INVALID", "party_signatures"),
    (another_request, "REQUEST_MISMATCH", "fields"),
    (operation_outside_contract, "OPERATION_UNKNOWN", "fields"),
    (other_purpose, "PURPOSE_NOT_ALLOWED", "fields"),
    (other_column, "PARAMETERS_OUT_OF_TERMS", "fields"),
    (grouping_by_a_number, "GROUPING_NOT_A_BLOCK", "fields"),
    (filter_by_a_number, "FILTER_NOT_A_BLOCK", "fields"),
    (other_engine, "ENGINE_NOT_ALLOWED", "fields"),
    (swapped_result_key, "RESULT_KEY_SWAPPED", "fields"),
    (swapped_receiver, "RESULT_KEY_SWAPPED", "fields"),
    (other_min_group, "REQUEST_MISMATCH", "fields"),
    (wrong_commitment, "COMMITMENT_MISMATCH", "fields"),
    (dataset_version_gone, "COMMITMENT_MISMATCH", "fields"),
    (wrong_audience, "AUDIENCE_WRONG", "fields"),
    (missing_consent, "CONSENT_MISSING", "fields"),
    (own_consent_never_given, "CONSENT_MISSING", "fields"),
    (consent_signed_by_another, "CONSENT_MISSING", "fields"),
    (refused_consent, "CONSENT_REFUSED", "fields"),
    (wrong_log_key, "LOG_KEY_WRONG", "fields"),
    (authorization_not_logged, "AUTHORIZATION_NOT_LOGGED", "fields"),
    (authorization_payload_changed, "AUTHORIZATION_NOT_LOGGED", "fields"),
    (authorization_of_another_job, "AUTHORIZATION_MISMATCH", "fields"),
    (entry_of_another_kind, "AUTHORIZATION_MISMATCH", "fields"),
    (too_early, "JOB_OUT_OF_TIME", "time_and_revocation"),
    (too_late, "JOB_OUT_OF_TIME", "time_and_revocation"),
    (much_too_late, "JOB_OUT_OF_TIME", "time_and_revocation"),
    (revoked_here, "CONTRACT_REVOKED", "time_and_revocation"),
    (grant_missing, "GRANT_MISSING", "time_and_revocation"),
    (grant_expired, "GRANT_EXPIRED", "time_and_revocation"),
    (grant_revoked, "CONTRACT_REVOKED", "time_and_revocation"),
    (chain_silent, "CHAIN_UNAVAILABLE", "time_and_revocation"),
    (paused, "NODE_PAUSED", "time_and_revocation"),
    (replayed, "JOB_REPLAYED", "reservation"),
    (exhausted, "QUOTA_EXHAUSTED", "reservation"),
]


def asking(fund: Provider, **changes: Any) -> Bundle:
    parameters = operations.joint_statistics(**{"group_by": ["district"], "values": ["base"], **changes})
    return fund.world.request(fund.contract, parameters=parameters)


def _with_job(fund: Provider, bundle: Bundle, **changes: Any) -> Bundle:
    job = fund.world.job(fund.contract, bundle["request"], **changes)
    return fund.world.bundle(fund.contract, bundle["request"], job=job, consents=bundle["consents"])


def _with_consents(fund: Provider, bundle: Bundle, given: list[Bundle]) -> Bundle:
    return fund.world.bundle(fund.contract, bundle["request"], job=bundle["job"], consents=given)


def _logged(fund: Provider, bundle: Bundle, **changes: Any) -> Bundle:
    kept = {"job": bundle["job"], "consents": bundle["consents"]}
    return fund.world.bundle(fund.contract, bundle["request"], **kept, **changes)


def _other_terms(fund: Provider, **changes: Any) -> Bundle:
    other = fund.world.sign_all({**statements.unsigned(fund.contract), **changes})
    return _under(fund, other, ("fund-a", "fund-b"))


def _under(fund: Provider, contract: Bundle, consenting: tuple[str, ...], *, keep: bool = False) -> Bundle:
    request = fund.world.request(contract)
    given = [fund.world.consent(request, code) for code in consenting]
    if keep:
        fund.store.add_consent(given[0])
    return fund.world.bundle(contract, request, consents=given)


def _around(fund: Provider, request: Bundle) -> Bundle:
    """The whole bundle around a request, consents signed whatever our node thinks of it."""
    given = [fund.world.consent(request, code) for code in ("fund-a", "fund-b")]
    joint = operations.joint_statistics(group_by=["district"], values=["base"])
    like = {**request, "operation": "joint_statistics", "parameters": joint}
    job = {**statements.unsigned(fund.world.job(fund.contract, like)), "request_digest": statements.digest(request)}
    return fund.world.bundle(fund.contract, request, job=fund.world.sign(job, "exchange"), consents=given)
