"""What the verification page says: names of the questions, and what each answer means."""

from typing import Any

from django.utils.translation import gettext as _


def words() -> dict[str, Any]:
    """The texts of `static/js/verify-page.js` in the language of the page."""
    return {
        "status": {"PASS": _("Passed"), "FAIL": _("Failed"), "NOT_CHECKED": _("Not checked")},
        "accepted": _("The receipt is genuine and whole."),
        "refused": _("The receipt is not accepted."),
        "partly": _("Nothing failed, but not everything could be checked."),
        "policy_own": _("Checked in this browser against the trust policy you brought."),
        "policy_served": _(
            "Checked in this browser against the trust policy that this site serves: its keys are our word. Drop the"
            " policy file you have kept, and nothing but this page's program is taken from us."
        ),
        "policy_taken": _("Trust policy taken. Now choose the receipt file."),
        "unreadable": _("The file or the trust policy cannot be read. Choose the receipt file as you received it."),
        "development_chain": _(
            "The anchor is on a development chain that the exchange itself runs; it is no proof towards outsiders."
        ),
        "picture": _("How the evidence hangs together"),
        "required": _("demanded by the policy"),
        "code": _("Code"),
        "facts": {
            "number": _("Receipt number"),
            "computation": _("Computation"),
            "entries": _("Log entries shown"),
            "charge": _("Charge"),
            "anchor": _("Anchor"),
            "block": _("block"),
            "key": _("Exchange key used"),
            "hash": _("SHA-256 of the file"),
        },
        "names": {
            "bundle": _("The bundle is whole and signed by the exchange"),
            "contract": _("The contract is signed by every party named in it"),
            "request": _("The request is signed by the buyer named in the contract"),
            "job": _("The job is signed by the exchange and its result goes to the buyer's key"),
            "consents": _("Every party of the job has consented"),
            "reports": _("The execution reports are signed by the parties' keys and agree"),
            "checkpoint": _("The checkpoint is signed by the log's key"),
            "inclusion": _("Every entry is included in the log under the checkpoint"),
            "commitments": _("Every entry's commitment opens to the payload shown"),
            "entry_kinds": _("Authorization, acceptance, release and charge are all logged"),
            "authorization": _("The logged authorization is for exactly this run"),
            "charge": _("The charge is unit price times units"),
            "cosignatures": _("Enough witnesses have cosigned the checkpoint"),
            "anchor": _("The anchor says the same as the checkpoint"),
            "chain": _("The chain itself holds this root"),
            "header": _("The block is sealed by validators you trust"),
            "grants": _("Every provider's grant is in force as of the block"),
            "keys": _("No signing key was revoked before what it signed was logged"),
        },
        "details": _details(),
    }


def _details() -> dict[str, str]:
    return {
        "NOT_WHOLE": _("The bundle is damaged or has been changed; nothing further was checked."),
        "NO_ANCHOR": _("This bundle carries no anchor. The log's own signatures are the only evidence of its order."),
        "OTHER_SIZE": _("The anchor covers another size of the log, and the bundle does not join the two."),
        "NO_QUORUM": _("The policy demands no witnesses, so nobody but the log says that all see one history."),
        "COSIGNED": _("Witnesses that have cosigned: {count}."),
        "AS_OF_BLOCK": _("As of block {block}, {hash}."),
        "SEALED": _("Block {block} is sealed by the policy's validators."),
        "DEVELOPMENT_CHAIN": _(
            "Development chain: no third party holds it, and whoever reaches its port can rewrite it."
        ),
        "HEADER_NOT_VOUCHED": _(
            "The policy names no validators. Compare the hash of block {block} with a source of your own."
        ),
        "CHAIN_NOT_IN_POLICY": _(
            "The policy names no chain, so there is nothing to hold the proof against. Take a policy that does."
        ),
        "NO_CHAIN_PROOF": _(
            "The bundle carries no proof of the chain's state. Ask a chain node that you trust for this root."
        ),
        "NO_GRANT_PROOF": _("The bundle does not prove every provider's grant. Ask a chain node that you trust."),
        "GRANTS_NOT_DEMANDED": _("The contract's terms ask for no grant on a chain."),
        "ML_DSA_UNSUPPORTED": _(
            "This browser cannot check ML-DSA-44 signatures, and the others are too few. Run hengshu verify."
        ),
        "ED25519_UNSUPPORTED": _(
            "This browser cannot check Ed25519 signatures. Use a current browser, or run hengshu verify."
        ),
        "NOT_CANONICAL": _("The bytes are not in canonical form: the file was changed or saved anew by an editor."),
        "JSON_INVALID": _("The file is not JSON in UTF-8."),
        "TYPE_UNKNOWN": _("A document is not of the type and version that belongs here."),
        "SIGNATURE_INVALID": _("A signature does not match the document."),
        "SIGNATURE_MISSING": _("A required party has not signed the document."),
        "EXCHANGE_UNKNOWN": _("The contract was made at an exchange or log that this trust policy does not name."),
        "DIGEST_MISMATCH": _("A document refers to another one than is in this bundle."),
        "RESULT_KEY_MISMATCH": _("The result is sealed to another key than the buyer's."),
        "INCLUSION_INVALID": _("A path does not lead to the root of the checkpoint."),
        "COMMITMENT_INVALID": _("A commitment does not open to the payload shown."),
        "CHARGE_INVALID": _("The amount is not the contract's price times units, or not the one that was logged."),
        "QUORUM_MISSING": _("Too few of the policy's witnesses have cosigned the checkpoint."),
        "LOG_FROZEN": _("The log was frozen with another size or root than the checkpoint's."),
        "CHAIN_PROOF_INVALID": _("The proof of the chain's state does not hold."),
        "CHAIN_ROOT_ABSENT": _("The contract holds no root of this size in this block."),
        "CHAIN_ROOT_DIFFERS": _("The contract holds another root of this size: one of the two histories is false."),
        "CODE_DIFFERS": _("The contract at the policy's address has other code than the policy says."),
        "BLOCK_DIFFERS": _("The proof is of an earlier or another block than the anchor's."),
        "SEALS_MISSING": _("The block carries too few seals of the policy's validators."),
        "SEALS_INVALID": _("A seal is by no validator of the policy, or stands twice."),
        "VALIDATORS_DIFFER": _("The block names other validators than the policy."),
        "GRANT_ABSENT": _("The contract holds no such grant in this block."),
        "GRANT_REVOKED": _("A provider's grant had been revoked by this block."),
        "STATEMENT_VOIDED": _("A provider had withdrawn its statement by this block."),
        "KEY_REVOKED": _("A key had been withdrawn before what it signed was logged."),
        "KEY_NOT_IN_FORCE": _("A key signed before or after the time that the policy gives it."),
        "ANCHOR_INVALID": _("The anchor contradicts the checkpoint or names another chain or contract."),
    }
