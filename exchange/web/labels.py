"""Words for states, kinds and codes as people read them, in the language of the request.

One table for each kind of word. Codes live with their apps; this page only says how they are shown, so the
web kit needs to import none of them. `tests/unit/front` compares the tables with the apps' own lists.
"""

from collections.abc import Mapping

from django.utils.functional import Promise, lazy
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from compute.protocol import operations

Words = Mapping[str, Promise | str]


def _either(zh: str, en: str) -> str:
    return zh if (get_language() or "zh").startswith("zh") else en


_both = lazy(_either, str)  # for words that come in both languages from where they are defined

STATES: Words = {
    # computations
    "requested": _("Requested"),
    "reviewing": _("In review"),
    "consenting": _("Awaiting consent"),
    "authorized": _("Authorised"),
    "dispatched": _("Dispatched"),
    "executing": _("Computing"),
    "sealed": _("Sealed"),
    "released": _("Released"),
    "withdrawn": _("Withdrawn"),
    "rejected": _("Rejected"),
    "expired": _("Expired"),
    "failed": _("Failed"),
    "withheld": _("Withheld"),
    # each party's task and consent
    "pending": _("Pending"),
    "claimed": _("Taken up"),
    "ready": _("Ready"),
    "running": _("Running"),
    "submitted": _("Submitted"),
    "refused": _("Refused"),
    "cancelled": _("Cancelled"),
    "granted": _("Granted"),
    # organisations, keys, products, certificates
    "applied": _("Applied"),
    "admitted": _("Admitted"),
    "suspended": _("Suspended"),
    "in_verification": _("Being verified"),
    "more_info": _("More information asked"),
    "valid": _("Valid"),
    "revoked": _("Revoked"),
    "draft": _("Draft"),
    "returned": _("Returned for correction"),
    "returned_for_correction": _("Returned for correction"),
    "accepted": _("Accepted"),
    "in_review": _("In review"),
    "approved": _("Approved"),
    "publicity": _("Public notice"),
    "registered": _("Registered"),
    "anchored": _("Anchored"),
    "certified": _("Certified"),
    "listed": _("Listed"),
    "delisted": _("Delisted"),
    "active": _("Active"),
    "expiring": _("Expiring soon"),
    "frozen": _("Frozen"),
    # contracts, meters, money
    "proposed": _("Proposed"),
    "signing": _("Being signed"),
    "signed": _("Signed"),
    "agreed": _("Agreed"),
    "funded": _("Funded"),
    "effective": _("Effective"),
    "exhausted": _("Quota used up"),
    "terminated": _("Terminated"),
    "closing": _("Closing"),
    "closed": _("Closed"),
    "committed": _("Committed"),
    "reserved": _("Reserved"),
    "announced": _("Announced"),
    "confirmed": _("Confirmed"),
    "charged": _("Charged"),
    "issued": _("Issued"),
    # chain records and anchors
    "prepared": _("Prepared"),
    "sent": _("Sent"),
    "replaced": _("Replaced"),
    "lost": _("Lost"),
    # nodes
    "online": _("Online"),
    "offline": _("Offline"),
    "never_seen": _("Never seen"),
    # outcomes and answers
    "completed": _("Completed"),
    "PASS": _("Passed"),
    "FAIL": _("Failed"),
    "NOT_CHECKED": _("Not checked"),
}

# What a state looks like: the colour of its badge. Anything else is neutral.
TONES: Mapping[str, str] = {
    **dict.fromkeys(
        ("released", "listed", "effective", "admitted", "valid", "active", "granted", "submitted", "confirmed"), "good"
    ),
    **dict.fromkeys(
        ("anchored", "certified", "approved", "committed", "completed", "online", "PASS", "charged"), "good"
    ),
    **dict.fromkeys(("executing", "dispatched", "running", "claimed", "ready", "sent", "authorized", "sealed"), "busy"),
    **dict.fromkeys(("filed", "marked"), "wait"),  # objections
    **dict.fromkeys(("answered", "corrected", "upheld"), "good"),
    "overdue": "bad",
    **dict.fromkeys(("reviewing", "consenting", "in_review", "signing", "proposed", "applied", "publicity"), "wait"),
    **dict.fromkeys(("pending", "requested", "returned", "returned_for_correction", "expiring", "announced"), "wait"),
    **dict.fromkeys(("signed", "agreed", "funded", "reserved", "prepared", "NOT_CHECKED"), "wait"),
    **dict.fromkeys(("failed", "rejected", "revoked", "withheld", "refused", "suspended", "lost", "FAIL"), "bad"),
    **dict.fromkeys(("terminated", "frozen", "exhausted", "offline"), "bad"),
}

ROLES: Words = {
    "provider": _("Data provider"),
    "source_unit": _("Source unit"),
    "operator": _("Authorised operator"),
    "buyer": _("Data buyer"),
    "compute_party": _("Compute party"),
    "requester": _("Requester (the buyer's own node)"),
    "data": _("Data party"),
    "data_party": _("Data party"),
    "compute": _("Compute party"),
    "delivery_party": _("Delivery party"),
    "admission_officer": _("Admission officer"),
    "registrar": _("Registrar"),
    "compliance_reviewer": _("Compliance reviewer"),
    "quality_reviewer": _("Quality reviewer"),
    "algorithm_reviewer": _("Algorithm reviewer"),
    "listing_officer": _("Listing officer"),
    "settlement_clerk": _("Settlement clerk"),
    "mediator": _("Mediator"),
    "auditor": _("Auditor"),
    "supervisor": _("Supervisor"),
    "ops": _("Operations"),
    "broker": _("Broker"),
    "compliance_assessor": _("Compliance assessor"),
    "quality_assessor": _("Quality assessor"),
    "valuer": _("Valuer"),
    "arbitral_body": _("Arbitral body"),
    "data_subject": _("Data subject"),
    "administrator": _("Administrator"),
    "exchange": _("Exchange"),
    "parties": _("Parties"),
    "staff": _("Staff"),
    "system": _("System"),
    "nobody": _("Nobody"),
}

MERCHANT_KINDS: Words = {
    "supplier": _("Data supplier"),
    "demander": _("Data demander"),
    "delivery": _("Delivery service"),
    "assessment": _("Professional assessment"),
    "intermediary": _("Professional intermediary"),
    "consulting": _("Professional consulting"),
    "other": _("Other"),
}

# Operations name themselves, in both languages, beside their parameters.
OPERATIONS: Words = {code: _both(found.title_zh, found.title_en) for code, found in operations.OPERATIONS.items()}

TECHNIQUES: Words = {
    "mpc": _("Secure multi-party computation"),
    "psi": _("Private set intersection"),
    "pir": _("Private information retrieval"),
    "he": _("Homomorphic encryption"),
    "fl": _("Federated learning"),
    "tee": _("Trusted execution environment"),
    "sandbox": _("Secure sandbox"),
    "dp": _("Differential privacy"),
    "api": _("API"),
    "file": _("File"),
    "report": _("Report"),
    "model": _("Model"),
}

TASK_KINDS: Words = {
    "joint_stats": _("Joint statistics"),
    "aligned_stats": _("Aligned statistics"),
    "pir": _("Private information retrieval"),
    "psi": _("Private set intersection"),
    "consistency": _("Consistency check"),
    "verification": _("Verification"),
    "feature_eng": _("Feature engineering"),
    "sql": _("Joint query"),
    "arith": _("Arithmetic"),
    "train": _("Joint modelling"),
    "predict": _("Prediction"),
}

ENGINES: Words = {found.engine: _both(found.engine_zh, found.engine_en) for found in operations.OPERATIONS.values()}

GRADES: Words = {
    "1": _("General data, grade 1"),
    "2": _("General data, grade 2"),
    "3": _("General data, grade 3"),
    "4": _("General data, grade 4"),
    "5": _("Important data"),
    "general": _("General data"),
    "important": _("Important data"),
    "core": _("Core data"),
}

PERSONAL_FLAGS: Words = {
    "none": _("No personal information"),
    "personal": _("Personal information"),
    "pi": _("Personal information"),
    "sensitive": _("Sensitive personal information"),
    "minor": _("Information about minors under 14"),
}

PURPOSES: Words = {
    "credit_risk_statistics": _("Credit-risk statistics"),
    "public_service": _("Public service"),
    "policy_research": _("Policy research"),
    "risk_control": _("Risk control"),
    "statistics": _("Statistics"),
}

USES: Words = {
    "re_identification": _("Re-identification"),
    "resale": _("Resale"),
    "marketing": _("Marketing"),
    "profiling": _("Profiling of individuals"),
    "model_training": _("Model training"),
    "onward_transfer": _("Onward transfer"),
    "none": _("None"),
}

PRODUCT_KINDS: Words = {
    "dataset": _("Dataset"),
    "api": _("API"),
    "report": _("Report"),
    "model": _("Model"),
    "computed_result": _("Computed result"),
    "verification": _("Verification"),
    "algorithm": _("Algorithm"),
    "compute_service": _("Compute service"),
}

TERMS: Words = {
    # values of contract terms
    "data_provision": _("Data provision contract"),
    "standing": _("Standing consent"),
    "per_run": _("Consent run by run"),
    "manual": _("A person reviews each result"),
    "none": _("None"),
    "sealed_result": _("Result sealed to the buyer's key"),
    "opens_and_verifies": _("The result opens and its receipt verifies"),
    "per_call": _("Per released call"),
    "per_subject": _("Per person asked about"),
    "per_row": _("Per row compared"),
    "released": _("Counted when a result is released"),
    "request_id": _("The request's own identifier"),
    "semi-honest": _("Semi-honest"),
    "party": _("Each party keeps its own keys"),
    "required": _("Anchored on chain before release"),
    "logged": _("Logged before it runs"),
    "crypto_erase": _("Keys destroyed (cryptographic erasure)"),
    "dual_control": _("Opened by two persons together"),
    "withhold": _("Runs in flight are withheld"),
    "not_retroactive": _("Earlier lawful runs stand"),
}

STAGES: Words = {
    "consent": _("Consent"),
    "admission": _("Admission by the node"),
    "dataset": _("Checking the table"),
    "preflight": _("Pre-flight checks"),
    "waiting": _("Waiting for the other parties"),
    "load": _("Reading columns"),
    "key": _("Agreeing on a key"),
    "encrypt": _("Encrypting"),
    "compare": _("Comparing"),
    "lookup": _("Looking up"),
    "score": _("Scoring"),
    "train": _("Training"),
    "link": _("Connecting the parties"),
    "match": _("Aligning rows"),
    "run": _("Running"),
    "restart": _("Engine started again"),
    "compute": _("Computing"),
    "share": _("Exchanging shares"),
    "gate": _("Privacy gate"),
    "part": _("Making the part of the result"),
    "delivery": _("Sealing and delivery"),
}

CONTROLS: Words = {
    "min_cell": _("Minimum number of persons in a group"),
    "protected_release": _("Whole fixed blocks only"),
    "manual_review": _("A person reviews the query"),
    "per_run_consent": _("Consent run by run"),
    "legal_basis": _("Legal basis on file"),
    "separate_consent": _("Separate consent"),
    "written_consent": _("Written consent"),
    "guardian_consent": _("Guardian's consent"),
    "algorithm_listed": _("Listed algorithms only"),
    "risk_assessment": _("Risk assessment on file"),
    "regulator_reference": _("Regulator's reference on file"),
    "no_export": _("No export"),
    "sticky_anonymity_set": _("Fixed anonymity set"),
    "no_record_gradients": _("No per-record gradients"),
    "dp_on_model": _("Differential privacy on the model"),
    "ethics_check": _("Ethics check"),
    "authorised_operator": _("Authorised operator"),
    "raw_stays_in_domain": _("Raw data stays in domain"),
    "yearly_audit": _("Yearly audit"),
    "case_document": _("Case or batch document"),
}

SPECIFICATION: Words = {
    "natural": _("Natural person"),
    "legal": _("Legal person"),
    "unincorporated": _("Unincorporated organisation"),
    "collected": _("Collected lawfully"),
    "scraped_public": _("Public sources"),
    "by_agreement": _("Obtained by agreement"),
    "derived": _("Derived"),
    "international": _("International"),
    "national": _("National"),
    "province": _("Province"),
    "city": _("City"),
    "county": _("County"),
    "below_county": _("Below county"),
    "daily": _("Daily"),
    "weekly": _("Weekly"),
    "monthly": _("Monthly"),
    "yearly": _("Yearly"),
    "on_demand": _("On demand"),
    "real_time": _("Real time"),
    "image": _("Image"),
    "text": _("Text"),
    "video": _("Video"),
    "audio": _("Audio"),
    "table": _("Table"),
    "structured": _("Structured"),
    "semi_structured": _("Semi-structured"),
    "unstructured": _("Unstructured"),
    "finance": _("Finance"),
    "health": _("Health"),
    "consent": _("Consent"),
    "contract": _("Contract"),
    "statutory_duty": _("Statutory duty"),
    "emergency": _("Emergency"),
    "news": _("News reporting"),
    "disclosed": _("Lawfully disclosed"),
    "other_law": _("Other legal ground"),
    "category": _("Category"),
    "integer": _("Integer"),
    "decimal": _("Decimal"),
    "hold": _("Right to hold"),
    "use": _("Right to use"),
    "operate": _("Right to operate"),
    "other": _("Other"),
}

# The parts of a specification, as reviewers and defects name them.
FIELDS: Words = {
    "name_zh": _("Name"),
    "applicant_name": _("Applicant"),
    "id_no": _("Unified social credit code"),
    "contact": _("Contact person"),
    "abstract_zh": _("Abstract"),
    "industry": _("Industry"),
    "classification": _("Classification"),
    "source_types": _("Source"),
    "source_statement": _("Source statement"),
    "region_scope": _("Region"),
    "time_from": _("Time range"),
    "update_freq": _("Update frequency"),
    "volume_rows": _("Volume"),
    "persons_approx": _("Persons, about"),
    "rights": _("Rights"),
    "restrictions": _("Restrictions"),
    "columns": _("Columns, grades and personal information"),
    "legal_basis": _("Legal basis"),
    "deident_method": _("De-identification"),
    "consent_template_digest": _("Consent template"),
    "pia_report": _("Impact assessment"),
    "scenarios": _("Scenarios"),
    "prohibited_uses": _("Prohibited uses"),
    "delivery_modes": _("Delivery"),
    "algorithms": _("Operations"),
    "output_policy": _("Output policy"),
    "quality_report": _("Quality report"),
    "compliance_opinion": _("Compliance opinion"),
    "pricing": _("Pricing"),
    "sample": _("Sample"),
    "dataset_commitment": _("Dataset commitment"),
}

ENTRY_KINDS: Words = {
    "organization.applied": _("Organisation applied"),
    "organization.admitted": _("Organisation admitted"),
    "organization.rejected": _("Organisation turned down"),
    "organization.suspended": _("Organisation suspended"),
    "organization.verifying": _("Application being verified"),
    "organization.more_info": _("More information asked"),
    "organization.withdrawn": _("Organisation left"),
    "key.registered": _("Key registered"),
    "key.revoked": _("Key revoked"),
    "key.rotated": _("Key rotated"),
    "role.granted": _("Role granted"),
    "role.withdrawn": _("Role withdrawn"),
    "node.registered": _("Data node registered"),
    "product.drafted": _("Product drafted"),
    "product.revised": _("Product revised"),
    "product.submitted": _("Product submitted"),
    "product.returned": _("Product returned for correction"),
    "product.rejected": _("Product rejected"),
    "product.approved": _("Product approved"),
    "product.registered": _("Product registered"),
    "product.listed": _("Product listed"),
    "product.suspended": _("Listing suspended"),
    "product.delisted": _("Product delisted"),
    "certificate.issued": _("Certificate issued"),
    "certificate.suspended": _("Certificate suspended"),
    "certificate.revoked": _("Certificate revoked"),
    "contract.proposed": _("Contract proposed"),
    "contract.signed": _("Contract signed by a party"),
    "contract.agreed": _("Contract signed by all parties"),
    "contract.granted": _("Grant sent to the chain"),
    "contract.activated": _("Contract effective"),
    "contract.revoked": _("Contract revoked"),
    "contract.expired": _("Contract expired"),
    "contract.terminated": _("Contract terminated"),
    "contract.suspended": _("Contract suspended"),
    "contract.resumed": _("Contract resumed"),
    "contract.exhausted": _("Contract's quota used up"),
    "contract.closed": _("Contract closed"),
    "contract.withdrawn": _("Contract withdrawn"),
    "quota.reserved": _("Quota reserved"),
    "quota.committed": _("Quota committed"),
    "quota.released": _("Quota returned"),
    "escrow.deposited": _("Escrow deposited"),
    "escrow.returned": _("Escrow returned"),
    "settlement.charged": _("Charge posted"),
    "settlement.issued": _("Statement issued"),
    "dispute.opened": _("Dispute opened"),
    "dispute.closed": _("Dispute closed"),
    "computation.requested": _("Computation requested"),
    "computation.reviewed": _("Computation reviewed"),
    "computation.rejected": _("Computation rejected"),
    "computation.withdrawn": _("Computation withdrawn"),
    "consent.granted": _("Consent granted"),
    "consent.refused": _("Consent refused"),
    "computation.authorized": _("Computation authorised"),
    "computation.dispatched": _("Computation dispatched"),
    "computation.expired": _("Computation expired"),
    "computation.failed": _("Computation failed"),
    "result.accepted": _("Result accepted"),
    "result.released": _("Result released"),
    "result.delivered": _("Result handed to its receiver"),
    "result.withheld": _("Result withheld"),
    "objection.filed": _("Objection filed by a data subject"),
    "objection.marked": _("Record marked as disputed"),
    "objection.answered": _("Objection answered"),
    "objection.overdue": _("Objection not answered in time"),
    "policy.published": _("Policy published"),
    "staff.viewed": _("Viewed by staff"),
    "chain.event": _("Chain event"),
    "witness.admitted": _("Witness admitted"),
    "witness.withdrawn": _("Witness withdrawn"),
    "log.opened": _("Log opened"),
    "log.frozen": _("Log frozen"),
    "log.key_rotated": _("Log key rotated"),
    "log.key_revoked": _("Log key revoked"),
}

KEY_PURPOSES: Words = {
    "document": _("Document signing key (Ed25519)"),
    "chain": _("Chain address (secp256k1)"),
    "sealing": _("Sealing key (X25519)"),
}

ACCOUNTS: Words = {
    "bank": _("Bank"),
    "escrow": _("Escrow"),
    "held": _("Set aside for runs"),
    "payable": _("Owed to the organisation"),
    "fees": _("Fees of the exchange"),
    "deposit": _("Deposit"),
    "hold": _("Set aside"),
    "charge": _("Charge"),
    "release": _("Given back"),
    "return": _("Escrow returned"),
}

CHAIN_RECORDS: Words = {
    "grant": _("Grant"),
    "revoke": _("Revocation"),
    "meter": _("Usage total"),
    "void": _("Withdrawal of a signed statement"),
}

OBJECTIONS: Words = {
    "filed": _("Filed"),
    "marked": _("Marked as disputed"),
    "answered": _("Answered"),
    "overdue": _("Overdue"),
    "corrected": _("Record corrected"),
    "upheld": _("Record upheld"),
}

TABLES: Mapping[str, Words] = {
    "state": STATES,
    "entry": ENTRY_KINDS,
    "role": ROLES,
    "merchant": MERCHANT_KINDS,
    "operation": OPERATIONS,
    "technique": TECHNIQUES,
    "task_kind": TASK_KINDS,
    "engine": ENGINES,
    "grade": GRADES,
    "personal": PERSONAL_FLAGS,
    "purpose": PURPOSES,
    "use": USES,
    "product": PRODUCT_KINDS,
    "term": TERMS,
    "stage": STAGES,
    "key": KEY_PURPOSES,
    "control": CONTROLS,
    "specification": SPECIFICATION,
    "account": ACCOUNTS,
    "chain": CHAIN_RECORDS,
    "field": FIELDS,
    "objection": OBJECTIONS,
}


def label(value: object, table: str = "") -> str:
    """The words for a code; a code nobody knows is shown as it is, with spaces for underscores.

    Args:
        table: where to look first, a key of TABLES; empty: all of them in order.
    """
    code = str(value)
    chosen = [TABLES[table]] if table else []
    for words in (*chosen, *TABLES.values()):
        if code in words:
            return str(words[code])
    return code.replace("_", " ")


def tone(value: object) -> str:
    """The tone of a state's badge: good, busy, wait, bad, or neutral."""
    return TONES.get(str(value), "neutral")
