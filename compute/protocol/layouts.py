"""The closed shape of every document, member by member; `documents` builds and checks with it."""

from collections.abc import Mapping
from typing import Any

from compute.protocol import operations, privacy, shapes
from compute.protocol.shapes import CODE, COLUMN, ENGINE, HEX32, HEX64, SEALING_KEY, SLUG, refuse

KEY_CARD = "hengshu/key-card/v1"
CONTRACT = "hengshu/contract/v1"
REQUEST = "hengshu/computation-request/v1"
CONSENT = "hengshu/consent/v1"
JOB = "hengshu/job/v1"
AUTHORIZATION = "hengshu/authorization/v1"
LINK_OFFER = "hengshu/link-offer/v1"
EXECUTION_REPORT = "hengshu/execution-report/v1"
REVOCATION = "hengshu/revocation/v1"
NODE_MESSAGE = "hengshu/node-message/v1"
RECEIPT_BUNDLE = "hengshu/receipt-bundle/v1"

MAX_DOCUMENT_BYTES = 256 * 1024
MAX_BUNDLE_BYTES = 4 * 1024 * 1024
MAX_RUN_SECONDS = 86_400
MAX_UNITS = 1_000_000  # of a meter, in one run
MAX_PART_BYTES = 4 * 1024 * 1024  # one sealed part; a contract's output.max_bytes is lower
TRANSPORT = "mutual TLS 1.3, one-job pinned certificates"
VERBS = ("poll", "consent", "claim", "offer", "progress", "notices", "refuse", "fail", "submit")
OBJECTION_VERBS = ("objections", "mark_objection", "answer_objection")
OUTCOMES = ("completed", "refused", "failed")

_ORG, _CONTRACT, _COMPUTATION = shapes.urn("org"), shapes.urn("contract"), shapes.urn("computation")
_PEM = shapes.pattern(
    r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]{100,900}\n-----END CERTIFICATE-----\n", "one PEM certificate"
)
_HOST_PORT = shapes.pattern(r"[A-Za-z0-9.\-\[\]:]{1,200}:[0-9]{1,5}", "host:port")
_PARTY = shapes.members(
    {
        "organization": _ORG,
        "rank": shapes.integer(0, 15),
        "role": shapes.choice("requester", "data", "compute"),
        "dataset": shapes.optional(COLUMN),
        "dataset_commitment": shapes.optional(HEX64),
    }
)
_DECIMAL = shapes.pattern(r"(0|[1-9][0-9]{0,3})(\.[0-9]{1,12})?", "a decimal")
_LEARNED = shapes.members({"role": shapes.text(1, 80), "zh": shapes.text(1, 1000), "en": shapes.text(1, 2000)})
_NOTICES = shapes.members(  # the batch of notices to data subjects: `notices`
    {"batch": HEX32, "count": shapes.integer(1, 1 << 17), "root": HEX64, "suite": shapes.text(1, 100)}
)
_HEX_BYTES = shapes.pattern(r"0x([0-9a-f]{2})*", "bytes in hex with 0x", high=65_538)  # a block's header, a trie's node
_CHAIN_EVIDENCE = shapes.members(
    {
        "header": _HEX_BYTES,
        "account_proof": shapes.list_of(_HEX_BYTES, high=130),
        "storage": shapes.list_of(
            shapes.members(
                {
                    "slot": shapes.pattern(r"0x[0-9a-f]{64}", "a storage slot in hex"),
                    "value": shapes.pattern(r"0x(0|[1-9a-f][0-9a-f]{0,63})", "a number in hex"),
                    "proof": shapes.list_of(_HEX_BYTES, high=130),
                }
            ),
            high=64,
        ),
    }
)
_ANCHOR = shapes.members(
    {
        "chain_id": shapes.integer(1),
        "contract_address": shapes.ADDRESS,
        "size": shapes.integer(1),
        "root": HEX64,
        "block_number": shapes.integer(0),
        "block_hash": shapes.pattern(r"(0x)?[0-9a-f]{64}", "a block hash in hex"),
        "transaction": shapes.pattern(r"(0x)?[0-9a-f]{64}", "a transaction hash in hex"),
    },
    optional={"evidence": _CHAIN_EVIDENCE},
)
_ENTRY_MEMBERS: Mapping[str, shapes.Shape] = {
    "leaf": shapes.text(1, 4096),
    "payload": shapes.anything,
    "salt": shapes.pattern(r"([0-9a-f]{2}){16,32}", "16 to 32 bytes of hex"),
    "index": shapes.integer(0),
    "path": shapes.list_of(HEX64, high=64),
}
ENTRY_PROOF = shapes.members(_ENTRY_MEMBERS)
# An entry in another shard than the bundle's checkpoint carries that shard's own.
_PLACED_ENTRY = shapes.members(_ENTRY_MEMBERS, optional={"checkpoint": lambda value, path: _check_note(value, path)})

SHAPES: Mapping[str, Mapping[str, shapes.Shape]] = {
    KEY_CARD: {
        "name": shapes.text(1, 100),
        "document_key": shapes.document_key,
        "chain_address": shapes.ADDRESS,
        "sealing_key": SEALING_KEY,
        "created": shapes.time,
    },
    REQUEST: {
        "id": _COMPUTATION,
        "contract": _CONTRACT,
        "terms_digest": HEX64,
        "operation": SLUG,
        "parameters": shapes.anything,
        "purpose": SLUG,
        "created": shapes.time,
        "expires": shapes.time,
    },
    CONSENT: {
        "id": shapes.urn("consent"),
        "computation": _COMPUTATION,
        "request_digest": HEX64,
        "contract": _CONTRACT,
        "terms_digest": HEX64,
        "organization": _ORG,
        "basis": shapes.choice("standing", "per_run"),
        "decision": shapes.choice("granted", "refused"),
        "reason": shapes.text(0, 400),
        "issued": shapes.time,
        "expires": shapes.time,
    },
    JOB: {
        "id": _COMPUTATION,
        "request_digest": HEX64,
        "contract": _CONTRACT,
        "terms_digest": HEX64,
        "operation": SLUG,
        "engine": ENGINE,
        "parties": shapes.list_of(_PARTY, low=1, high=16),
        "result": shapes.members({"organization": _ORG, "sealing_key": SEALING_KEY}),
        "min_group": shapes.integer(operations.MINIMUM_GROUP, 1_000_000),
        "not_before": shapes.time,
        "expires": shapes.time,
        "deadline_seconds": shapes.integer(1, MAX_RUN_SECONDS),
    },
    AUTHORIZATION: {
        "computation": _COMPUTATION,
        "contract": _CONTRACT,
        "terms_digest": HEX64,
        "request_digest": HEX64,
        "job_digest": HEX64,
        "consents": shapes.list_of(HEX64, high=32, distinct=True),
        "policy_rule": shapes.text(1, 40),
        "policy_version": shapes.integer(1, 1_000_000),
        "reviewed_by": shapes.list_of(shapes.text(1, 60), high=8),
    },
    LINK_OFFER: {
        "computation": _COMPUTATION,
        "job_digest": HEX64,
        "organization": _ORG,
        "rank": shapes.integer(0, 15),
        "addresses": shapes.list_of(_HOST_PORT, low=3, high=3, distinct=True),
        "certificate": _PEM,
        "expires": shapes.time,
    },
    EXECUTION_REPORT: {
        "sequence": shapes.integer(1),
        "previous": shapes.optional(HEX64),
        "computation": _COMPUTATION,
        "contract": _CONTRACT,
        "terms_digest": HEX64,
        "request_digest": HEX64,
        "job_digest": HEX64,
        "organization": _ORG,
        "rank": shapes.integer(0, 15),
        "outcome": shapes.choice(*OUTCOMES),
        "code": shapes.optional(CODE),
        "stage": SLUG,
        "unit": shapes.choice(*operations.UNITS),
        "units": shapes.integer(0, MAX_UNITS),
        "engine": shapes.members(
            {
                "id": ENGINE,
                "protocol": shapes.text(1, 200),
                "adversary_model": shapes.text(1, 200),
                "transport": shapes.text(1, 200),
                "software": shapes.map_of(shapes.text(1, 100), names=shapes.text(1, 60), high=32),
            }
        ),
        "gate": shapes.members(
            {
                "tier": shapes.integer(1, 3),
                "min_group": shapes.integer(operations.MINIMUM_GROUP, 1_000_000),
                "rule": shapes.text(1, 100),
            },
            optional={  # of a noised answer: decimals; `spent` is what this job took, 0 for a repeated query
                "mechanism": shapes.choice(*privacy.MECHANISMS),
                **dict.fromkeys(("epsilon", "delta", "spent", "left"), _DECIMAL),
            },
        ),
        "datasets": shapes.list_of(shapes.members({"dataset": COLUMN, "commitment": HEX64}), high=16),
        "part": shapes.optional(
            shapes.members(
                {"digest": HEX64, "size_bytes": shapes.integer(1, MAX_PART_BYTES), "suite": shapes.text(1, 100)}
            )
        ),
        "learned": shapes.list_of(_LEARNED, high=16),
        "started": shapes.time,
        "finished": shapes.time,
    },
    REVOCATION: {
        "contract": _CONTRACT,
        "terms_digest": HEX64,
        "organization": _ORG,
        "sequence": shapes.integer(1),
        "issued": shapes.time,
        "reason": shapes.text(0, 400),
    },
    NODE_MESSAGE: {
        "organization": _ORG,
        "verb": shapes.choice(*VERBS, *OBJECTION_VERBS),
        "audience": shapes.document_key,
        "created": shapes.time,
        "nonce": HEX32,
        "body": shapes.map_of(shapes.anything, names=SLUG, high=16),
    },
    RECEIPT_BUNDLE: {
        "number": shapes.pattern(r"UMR-[0-9A-Z-]{4,40}", "a number such as UMR-HS-202611-0000010"),
        "computation": _COMPUTATION,
        "documents": shapes.members(
            {
                "contract": shapes.anything,
                "request": shapes.anything,
                "job": shapes.anything,
                "consents": shapes.list_of(shapes.anything, high=32),
                "reports": shapes.list_of(shapes.anything, low=1, high=16),
            }
        ),
        "entries": shapes.list_of(_PLACED_ENTRY, low=1, high=64),
        "checkpoint": lambda value, path: _check_note(value, path),
        "anchor": shapes.optional(_ANCHOR),
        "charge": shapes.members(
            {
                "unit_price_fen": shapes.integer(0),
                "units": shapes.integer(0, MAX_UNITS),
                "amount_fen": shapes.integer(0),
                "currency": shapes.choice("CNY"),
            }
        ),
    },
}

# Members that a document of a kind may have besides; older documents have none of them.
OPTIONAL: Mapping[str, Mapping[str, shapes.Shape]] = {
    CONSENT: {"seconds": shapes.integer(1, MAX_RUN_SECONDS)},
    LINK_OFFER: {"relay": _HOST_PORT},
    EXECUTION_REPORT: {"program": HEX64, "notices": _NOTICES},
}


def _check_note(value: Any, path: str) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= 262_144:
        raise refuse(path, "must be a signed note")
