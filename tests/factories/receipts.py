"""A whole purchase in memory: every party's keys, every document, a small log, and the receipt bundle."""

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from compute.protocol import keyfiles
from compute.protocol.keyfiles import KeyFile
from ledger.proofs import (
    canonical,
    chain,
    checkpoints,
    cosignatures,
    grants,
    layout,
    leaves,
    merkle,
    notes,
    policies,
    statements,
)
from ledger.proofs.policies import TrustPolicy
from ledger.proofs.typed_data import keccak256
from tests.unit.ledger import trie_world

TIME = "2026-11-21T05:30:00Z"
ORIGIN = "hengshu.example/ledger/2026"
CONTRACT = "urn:hengshu:contract:01JD00000000000000000000C1"
COMPUTATION = "urn:hengshu:computation:01JD00000000000000000000R1"
EXCHANGE = "urn:hengshu:org:01JD00000000000000000000E1"
FUND_A = "urn:hengshu:org:01JD00000000000000000000A1"
FUND_B = "urn:hengshu:org:01JD00000000000000000000B1"
BANK = "urn:hengshu:org:01JD00000000000000000000D1"
UNIT_PRICE_FEN = 50_000
NOW = 1_795_238_400  # 2026-11-21, in seconds
CHAIN_ID = 2026
LEDGER_CONTRACT = "0x" + "ab" * 20
CODE = b"the contract's code"
BLOCK = 7
VALIDATORS = ("validator-0", "validator-1", "validator-2", "validator-3")

Document = dict[str, Any]
Change = Callable[[Document], None]


@dataclass
class Purchase:
    """One purchase. Change a document before `bundle()` to make a bundle that is genuine but wrong.

    Args:
        changes: by document (`contract`, `request`, `job`, `consents`, `reports`, `payloads`, `bundle`), what is
            done to it before it is signed.
    """

    changes: dict[str, Change] = field(default_factory=dict)
    keys: dict[str, KeyFile] = field(default_factory=dict)
    other_leaves: int = 9  # facts about other things, so that paths are not trivial
    witnesses: int = 0
    quorum: int = 0
    chain: str = ""  # "sealed" by four validators, "development", "plain" (neither), or none
    proven: bool = True  # whether the anchor carries the proof of the chain's state
    state: dict[str, int] = field(default_factory=dict)  # what the contract holds otherwise, by slot

    def __post_init__(self) -> None:
        names = (EXCHANGE, FUND_A, FUND_B, BANK, "log", *map(witness_name, range(self.witnesses)))
        for name in (*names, *(VALIDATORS if self.chain == "sealed" else ())):
            self.keys.setdefault(name, keyfiles.generate(name))

    @property
    def policy(self) -> TrustPolicy:
        return policies.single(
            exchange_document_key=self.keys[EXCHANGE].document_key,
            log_origin=ORIGIN,
            log_key=self.log_key,
            chain=self.trusted_chain,
            witnesses=policies.Witnesses(tuple(map(self.witness_key, range(self.witnesses))), self.quorum),
        )

    @property
    def log_key(self) -> str:
        return notes.vkey(ORIGIN, self.keys["log"].document.public_key())

    @property
    def trusted_chain(self) -> policies.Chain | None:
        """The chain as the policy names it."""
        if not self.chain:
            return None
        return policies.Chain(
            chain_id=CHAIN_ID,
            contract_address=LEDGER_CONTRACT,
            genesis_hash="0x" + "11" * 32,
            code_hash="0x" + keccak256(CODE).hex(),
            development=self.chain == "development",
            validators=tuple(self.keys[name].chain_address for name in VALIDATORS) if self.chain == "sealed" else (),
        )

    def witness_key(self, number: int) -> str:
        """A witness's vkey."""
        return cosignatures.vkey(witness_name(number), self.keys[witness_name(number)].document.public_key())

    def bundle(self) -> bytes:
        """The canonical bytes of the signed receipt bundle."""
        return canonical.canonicalize(self.sign(self.document(), EXCHANGE))

    def document(self) -> Document:
        """The receipt bundle before the exchange signs it."""
        contract = self._signed("contract", self._contract(), FUND_A, FUND_B, BANK)
        references = {"contract": CONTRACT, "terms_digest": statements.digest(contract)}
        request = self._signed("request", self._request(references), BANK)
        references["request_digest"] = statements.digest(request)
        job = self._signed("job", self._job(references), EXCHANGE)
        consents = [self._signed("consents", self._consent(who, references), who) for who in (FUND_A, FUND_B)]
        references["job_digest"] = statements.digest(job)
        reports = [
            self._signed("reports", self._report(who, rank, references), who)
            for rank, who in enumerate((FUND_A, FUND_B))
        ]
        entries, note = self._log(self._payloads(references, consents, reports))
        document = {
            "type": "hengshu/receipt-bundle/v1",
            "number": "UMR-HS-202611-000001K",
            "computation": COMPUTATION,
            "documents": {
                "contract": contract, "request": request, "job": job, "consents": consents, "reports": reports,
            },
            "entries": entries,
            "checkpoint": note,
            "anchor": self._anchor(note, references["terms_digest"]) if self.chain else None,
            "charge": {
                "unit_price_fen": UNIT_PRICE_FEN, "units": 1, "amount_fen": UNIT_PRICE_FEN, "currency": "CNY",
            },
        }  # fmt: skip
        self._change("bundle", document)
        return document

    def sign(self, document: Mapping[str, Any], *who: str) -> Document:
        signed = dict(document)
        for name in who:
            signed = statements.sign(signed, key=self.keys[name].document, created=TIME)
        return signed

    def _signed(self, name: str, document: Document, *who: str) -> Document:
        self._change(name, document)
        return self.sign(document, *who)

    def _change(self, name: str, document: Any) -> None:
        if name in self.changes:
            self.changes[name](document)

    def _party(self, organization: str, role: str) -> Document:
        keys = self.keys[organization]
        return {
            "organization": organization,
            "role": role,
            "document_key": keys.document_key,
            "chain_address": keys.chain_address,
            "sealing_key": keys.sealing_key,
        }

    def _contract(self) -> Document:
        return {
            "type": "hengshu/contract/v1",
            "id": CONTRACT,
            "exchange": {
                "document_key": self.keys[EXCHANGE].document_key,
                "log_origin": ORIGIN,
                "log_key": self.log_key,
            },
            "parties": [self._party(FUND_A, "provider"), self._party(FUND_B, "provider"), self._party(BANK, "buyer")],
            "objects": [
                {"provider": who, "dataset": "housing_fund", "dataset_commitment": commitment_of(who)}
                for who in (FUND_A, FUND_B)
            ],
            "computation": {
                "operations": ["joint_statistics"],
                "engines": {"joint_statistics": "additive_sharing/1"},
            },
            "output": {"receiver": BANK},
            "metering": {"unit": "per_call"},
            "price": {"currency": "CNY", "unit_price_fen": UNIT_PRICE_FEN},
            "evidence": {"chain": "required" if self.chain else "none", "authorization": "logged"},
        }

    def _request(self, references: Mapping[str, str]) -> Document:
        return {
            "type": "hengshu/computation-request/v1",
            "id": COMPUTATION,
            **references,
            "operation": "joint_statistics",
            "parameters": {"group_by": ["district"], "values": ["base"], "filters": [], "min_group": 10},
        }

    def _job(self, references: Mapping[str, str]) -> Document:
        return {
            "type": "hengshu/job/v1",
            "id": COMPUTATION,
            **references,
            "operation": "joint_statistics",
            "engine": "additive_sharing/1",
            "parties": [
                {
                    "organization": who,
                    "rank": rank,
                    "role": "data",
                    "dataset": "housing_fund",
                    "dataset_commitment": commitment_of(who),
                }
                for rank, who in enumerate((FUND_A, FUND_B))
            ],
            "result": {"organization": BANK, "sealing_key": self.keys[BANK].sealing_key},
        }

    def _consent(self, who: str, references: Mapping[str, str]) -> Document:
        return {
            "type": "hengshu/consent/v1",
            "computation": COMPUTATION,
            **references,
            "organization": who,
            "decision": "granted",
        }

    def _report(self, who: str, rank: int, references: Mapping[str, str]) -> Document:
        return {
            "type": "hengshu/execution-report/v1",
            "computation": COMPUTATION,
            **references,
            "organization": who,
            "rank": rank,
            "outcome": "completed",
            "unit": "per_call",
            "units": 1,
            "datasets": [{"dataset": "housing_fund", "commitment": commitment_of(who)}],
        }

    def _payloads(self, references: Mapping[str, str], consents: list[Document], reports: list[Document]) -> Document:
        payloads: Document = {
            "computation.authorized": {
                "type": "hengshu/authorization/v1",
                "computation": COMPUTATION,
                **references,
                "consents": sorted(statements.digest(consent) for consent in consents),
            },
            "result.accepted": {
                "job_digest": references["job_digest"],
                "reports": sorted(statements.digest(report) for report in reports),
            },
            "result.released": {"job_digest": references["job_digest"], "receiver": BANK},
            "settlement.charged": {
                "units": 1,
                "amount_fen": UNIT_PRICE_FEN,
                "reports": sorted(statements.digest(report) for report in reports),
            },
        }
        self._change("payloads", payloads)
        return payloads

    def _log(self, payloads: Mapping[str, Document]) -> tuple[list[Document], str]:
        made = [
            (self._leaf(kind, payload, number), payload, salt_of(number))
            for number, (kind, payload) in enumerate(payloads.items())
        ]
        before = [merkle.leaf_hash(f"something else {number}".encode()) for number in range(self.other_leaves)]
        hashes = before + [merkle.leaf_hash(data) for data, _, _ in made]
        entries = [
            {
                "leaf": data.decode(),
                "payload": copy.deepcopy(payload),
                "salt": salt.hex(),
                "index": index,
                "path": [step.hex() for step in merkle.inclusion_path(index, hashes)],
            }
            for index, (data, payload, salt) in enumerate(made, start=len(before))
        ]
        checkpoint = checkpoints.Checkpoint(origin=ORIGIN, size=len(hashes), root=merkle.root(hashes))
        return entries, self.cosigned(checkpoint)

    def cosigned(self, checkpoint: checkpoints.Checkpoint) -> str:
        """A checkpoint as the log and every witness sign it."""
        text = checkpoints.format_text(checkpoint)
        lines = [
            cosignatures.sign(text, name=witness_name(number), key=self.keys[witness_name(number)].document, at=NOW)
            for number in range(self.witnesses)
        ]
        return notes.add_signatures(checkpoints.sign(checkpoint, key=self.keys["log"].document), lines)

    def _anchor(self, note: str, terms_digest: str) -> Document:
        checkpoint = checkpoints.parse(note)
        evidence = self.chain_evidence(self.slots(checkpoint, terms_digest))
        anchor = {
            "chain_id": CHAIN_ID,
            "contract_address": LEDGER_CONTRACT,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "block_number": BLOCK,
            "block_hash": chain.header(bytes.fromhex(evidence["header"][2:])).hash,
            "transaction": "0x" + "ef" * 32,
        }
        return {**anchor, "evidence": evidence} if self.proven else anchor

    def slots(self, checkpoint: checkpoints.Checkpoint, terms_digest: str) -> dict[str, int]:
        """What the contract holds: the root, and both funds' grants."""
        found = {layout.root_in(1, checkpoint.size): int.from_bytes(checkpoint.root, "big")}
        for who in (FUND_A, FUND_B):
            address = self.keys[who].chain_address
            grant_id = grants.grant_id(grantor=address, terms_digest=terms_digest)
            members = layout.for_grant(grant_id=grant_id, signer=address, terms_digest=terms_digest)
            found |= dict(zip(members, (int(address, 16), int(terms_digest, 16), 0, 0), strict=True))
        return found | self.state

    def chain_evidence(self, slots: Mapping[str, int]) -> Document:
        """Header and proofs of a state in which the contract holds these values, among other things."""
        others = {layout.root_in(1, size): size for size in range(1000, 1040)}
        accounts = {LEDGER_CONTRACT: {**others, **slots}} | {f"0x{n:040x}": {"0x" + "00" * 32: n} for n in range(1, 40)}
        trie, storages = trie_world.state(accounts, code=CODE)
        if self.chain == "sealed":
            header = trie_world.sealed_header(trie.root, [self.keys[name].chain for name in VALIDATORS], number=BLOCK)
        else:
            header = trie_world.header(trie.root, number=BLOCK)
        return trie_world.evidence(header, trie, storages[LEDGER_CONTRACT], LEDGER_CONTRACT, slots)

    def _leaf(self, kind: str, payload: Document, number: int) -> bytes:
        return leaves.Leaf(
            kind=kind,
            entry=f"urn:hengshu:entry:01JD00000000000000000000{number:02d}",
            subject=COMPUTATION,
            issuer=EXCHANGE,
            prev=None,
            at=TIME,
            commit=leaves.commitment(canonical.canonicalize(payload), salt=salt_of(number)),
        ).data


def witness_name(number: int) -> str:
    """The name of a witness's key."""
    return f"witness-{number}.example/w"


def commitment_of(organization: str) -> str:
    """A data set commitment that differs from party to party."""
    return hashlib.sha256(organization.encode()).hexdigest()


def salt_of(number: int) -> bytes:
    """A salt that differs from entry to entry; tests need no secret."""
    return hashlib.sha256(f"salt {number}".encode()).digest()
