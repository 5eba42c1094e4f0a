"""A small world for nodes: five organisations with keys, a signed contract, a request, and a logged job."""

import csv
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compute.node import config as configuration
from compute.node import consents, datasets
from compute.node.store import Store
from compute.protocol import documents, keyfiles, operations, terms
from compute.protocol.codes import Refused
from compute.protocol.shapes import write_time
from exchange.kernel.identifiers import make_urn, new_ulid
from ledger.proofs import canonical, checkpoints, leaves, merkle, notes, statements

NOW = datetime(2026, 11, 21, 5, 30, tzinfo=UTC)
ORIGIN = "hengshu.example/ledger/2026"
CREATED = write_time(NOW)
SCHEMA = """
[dataset]
encoding = "utf-8"
id = "person_id"
block_dimensions = ["district", "age_band"]
[columns.person_id]
type = "text"
[columns.district]
type = "category"
values = ["North", "South"]
[columns.age_band]
type = "category"
values = ["20-29", "30-39"]
[columns.base]
type = "decimal"
scale = 2
min = 0
max = 60000
"""


def change_a_byte(path: Path, place: int = 0) -> None:
    """Flip one bit of a stored file, as a failing disk or a curious hand does."""
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


class FakeGrants:
    """A chain on which every grant is open, until a test says otherwise."""

    def __init__(self) -> None:
        self.code = ""
        self.asked: list[str] = []

    def check(self, *, grantor: str, terms_digest: str, now: datetime, is_counted: bool = False) -> None:
        self.asked.append(grantor)
        if self.code:
            raise Refused(self.code)

    def forget(self) -> None:
        self.asked.append("forget")


@dataclass
class World:
    """Keys and references of everyone; `clock` is what nodes see."""

    directory: Path
    now: datetime = NOW
    keys: dict[str, keyfiles.KeyFile] = field(default_factory=dict)
    orgs: dict[str, str] = field(default_factory=dict)
    exchange: keyfiles.KeyFile = field(default_factory=lambda: keyfiles.generate("exchange"))
    log: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def __post_init__(self) -> None:
        for code in ("fund-a", "fund-b", "social", "bank", "helper"):
            self.keys[code] = keyfiles.generate(code)
            self.orgs[code] = make_urn("org", new_ulid())

    def clock(self) -> datetime:
        return self.now

    @property
    def log_key(self) -> str:
        return notes.vkey(ORIGIN, self.log.public_key())

    # --- nodes --------------------------------------------------------------------------------------------

    def config(self, code: str, *, url: str = "http://127.0.0.1:9", base_port: int = 21000) -> configuration.Config:
        home = self.directory / code
        keyfiles.save(self.keys[code], home / "key.json")
        return configuration.write(
            home,
            {
                "name": code,
                "organization": self.orgs[code],
                "key_file": "key.json",
                "min_group": 10,
                "poll_milliseconds": 50,
                "exchange": {
                    "url": url,
                    "document_key": self.exchange.document_key,
                    "log_origin": ORIGIN,
                    "log_key": self.log_key,
                },
                "engine": {"host": "127.0.0.1", "base_port": base_port},
            },
        )

    def store(self, made: configuration.Config) -> Store:
        return Store(made.database, clock=self.clock)

    def add_dataset(self, made: configuration.Config, store: Store, *, rows: int = 40) -> dict[str, Any]:
        path, schema = made.home / "people.csv", made.home / "people.toml"
        schema.write_text(SCHEMA)
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["person_id", "district", "age_band", "base"])
            for number in range(rows):
                writer.writerow(
                    [
                        f"99010119900101{number:04d}",
                        ("North", "South")[number % 2],
                        ("20-29", "30-39")[number // 2 % 2],
                        f"{1000 + number}.50",
                    ]
                )
        return datasets.add(path, name="housing_fund", schema_path=schema, root=made.datasets, store=store)

    # --- documents ----------------------------------------------------------------------------------------

    def terms(
        self, commitments: dict[str, str], *, operation: str = operations.JOINT_STATISTICS, **overrides: Any
    ) -> dict[str, Any]:
        """Unsigned terms: the bank buys from the organisations named in `commitments`."""
        providers = list(commitments)
        helper = ["helper"] if operation == operations.ALIGNED_STATISTICS else []
        roles = [*((p, "provider") for p in providers), ("bank", "buyer"), *((h, "compute_party") for h in helper)]
        share = 9700 // len(providers)
        members: dict[str, Any] = {
            "id": make_urn("contract", new_ulid()),
            "number": "DTC-HS-202611-0000013",
            "template_kind": "data_provision",
            "exchange": {
                "name_zh": "衡数数据交易所",
                "name_en": "Hengshu Data Exchange",
                "document_key": self.exchange.document_key,
                "log_origin": ORIGIN,
                "log_key": self.log_key,
            },
            "parties": [self._party(code, role) for code, role in roles],
            "objects": [self._object(code, commitment) for code, commitment in commitments.items()],
            "purpose": {
                "code": "credit_risk_statistics",
                "scenario_zh": "信用风险统计",
                "scenario_en": "Credit risk statistics",
                "legal_basis": "contract",
                "consent_required": False,
                "prohibited_uses": ["re_identification", "resale"],
            },
            "computation": {
                "operations": [operation],
                "techniques": ["mpc"],
                "engines": {operation: operations.get(operation).engine},
                "task_kind": "joint_stats",
                "max_concurrency": 1,
                "approval": "standing",
            },
            "output": {
                "schema": "grouped_statistics/v1",
                "receiver": self.orgs["bank"],
                "min_cell": 10,
                "max_bytes": 1048576,
                "review": "none",
                "retention_days": 365,
                "onward_use": "none",
            },
            "delivery": {"mode": "sealed_result", "acceptance": "opens_and_verifies", "inspection_days": 3},
            "metering": {
                "unit": "per_call",
                "counting_rule": "released",
                "rounding": "none",
                "free_failures": True,
                "idempotency": "request_id",
            },
            "quota": {"total": 20, "per_day": 20, "rate_per_minute": 1000},
            "term": {
                "effective_from": write_time(NOW - timedelta(days=1)),
                "effective_to": write_time(NOW + timedelta(days=365)),
            },
            "price": {
                "currency": "CNY",
                "unit_price_fen": 50000,
                "tax_rate_basis_points": 600,
                "tax_included": True,
            },
            "money": {
                "escrow_minimum_fen": 100000,
                "split": [
                    {"account": "exchange", "basis_points": 10000 - share * len(providers)},
                    *({"account": self.orgs[code], "basis_points": share} for code in providers),
                ],
                "remainder_to": self.orgs[providers[0]],
            },
            "security": {
                "adversary_model": "semi-honest",
                "min_grade_controls": [],
                "key_custody": "party",
                "log_retention_days": 10950,
                "incident_notice_hours": 24,
            },
            "evidence": {"chain": "required", "authorization": "logged"},
            "data_end": {"method": "crypto_erase", "deadline_days": 30, "certificate": True},
            "audit": {"by": ["supervisor"], "sealed_evidence": "dual_control"},
            "liability": {"cap_multiple": 2},
            "revocation": {"by": ["provider"], "in_flight": "withhold", "effect": "not_retroactive"},
            "dispute": {
                "negotiation_days": 7,
                "mediation": True,
                "arbitration_commission_zh": "",
                "arbitration_commission_en": "",
                "matter": "",
                "seat": "",
                "law": "",
            },
        }
        for name, value in overrides.items():
            members[name] = {**members[name], **value} if isinstance(value, dict) else value
        return terms.build(**members)

    def contract(self, commitments: dict[str, str], **overrides: Any) -> dict[str, Any]:
        """Terms with every party's signature."""
        return self.sign_all(self.terms(commitments, **overrides))

    def sign_all(self, document: dict[str, Any]) -> dict[str, Any]:
        codes = {urn: code for code, urn in self.orgs.items()}
        for party in document["parties"]:
            document = self.sign(document, codes[party["organization"]])
        return document

    def sign(self, document: dict[str, Any], code: str) -> dict[str, Any]:
        keys = self.exchange if code == "exchange" else self.keys[code]
        return statements.sign(document, key=keys.document, created=CREATED)

    def request(self, contract: dict[str, Any], *, signer: str = "bank", **changes: Any) -> dict[str, Any]:
        parameters = operations.joint_statistics(group_by=["district"], values=["base"])
        if contract["computation"]["operations"] == [operations.ALIGNED_STATISTICS]:
            first, second = (item["provider"] for item in contract["objects"])
            parameters = operations.aligned_statistics(
                group_by=["district"], values=["base"], group_provider=first, value_provider=second
            )
        document = documents.request(
            computation=make_urn("computation", new_ulid()),
            terms=contract,
            operation=changes.pop("operation", contract["computation"]["operations"][0]),
            parameters=changes.pop("parameters", parameters),
            created=NOW,
            expires=NOW + timedelta(hours=1),
        )
        return self.sign({**document, **changes}, signer)

    def job(self, contract: dict[str, Any], request: dict[str, Any], **changes: Any) -> dict[str, Any]:
        document = documents.job(
            request=request,
            terms=contract,
            not_before=NOW,
            expires=NOW + timedelta(minutes=10),
            deadline_seconds=changes.pop("deadline_seconds", 20),
        )
        return self.sign({**document, **changes}, "exchange")

    def consent(self, request: dict[str, Any], code: str, **changes: Any) -> dict[str, Any]:
        document = documents.consent(
            consent_id=make_urn("consent", new_ulid()),
            request=request,
            organization=self.orgs[code],
            basis="standing",
            decision="granted",
            issued=NOW,
            expires=NOW + timedelta(hours=1),
        )
        return self.sign({**document, **changes}, code)

    def bundle(
        self,
        contract: dict[str, Any],
        request: dict[str, Any],
        *,
        job: dict[str, Any] | None = None,
        consents: list[dict[str, Any]] | None = None,
        log: Ed25519PrivateKey | None = None,
        **authorization: Any,
    ) -> dict[str, Any]:
        """What a claim answers: everything signed, the authorization logged."""
        job = job or self.job(contract, request)
        payload = documents.authorization(
            job=job, consents=consents or [], policy_rule="P7", policy_version=1, reviewed_by=[]
        )
        proof, note = self.log_entry({**payload, **authorization}, subject=job["id"], log=log)
        return {
            "contract": contract,
            "request": request,
            "job": job,
            "consents": consents or [],
            "authorization": proof,
            "checkpoint": note,
        }

    def log_entry(
        self,
        payload: dict[str, Any],
        *,
        subject: str,
        kind: str = "computation.authorized",
        log: Ed25519PrivateKey | None = None,
    ) -> tuple[dict[str, Any], str]:
        """Put one entry between others into a log of seven and sign its checkpoint."""
        salt = b"s" * 32
        leaf = leaves.Leaf(
            kind=kind,
            entry=make_urn("entry", new_ulid()),
            subject=subject,
            issuer=make_urn("org", new_ulid()),
            prev=None,
            at=CREATED,
            commit=leaves.commitment(canonical.canonicalize(payload), salt=salt),
        )
        hashes = [merkle.leaf_hash(bytes([number])) for number in range(7)]
        hashes[4] = merkle.leaf_hash(leaf.data)
        checkpoint = checkpoints.Checkpoint(origin=ORIGIN, size=7, root=merkle.root(hashes))
        proof = {
            "leaf": leaf.data.decode(),
            "payload": payload,
            "salt": salt.hex(),
            "index": 4,
            "path": [item.hex() for item in merkle.inclusion_path(4, hashes)],
        }
        return proof, checkpoints.sign(checkpoint, key=log or self.log)

    def _party(self, code: str, role: str) -> dict[str, Any]:
        keys = self.keys[code]
        return {
            "organization": self.orgs[code],
            "role": role,
            "name_zh": "机构",
            "name_en": code,
            "uscc": "12990100MB00000000",
            "document_key": keys.document_key,
            "chain_address": keys.chain_address,
            "sealing_key": keys.sealing_key,
        }

    def _object(self, code: str, commitment: str) -> dict[str, Any]:
        return {
            "product": make_urn("product", new_ulid()),
            "number": "DP-HS-202611-0000011",
            "version": 1,
            "provider": self.orgs[code],
            "specification_digest": "5" * 64,
            "certificate": "DPC-HS-202611-0000015",
            "grade": 2,
            "dataset": "housing_fund",
            "dataset_commitment": commitment,
            "columns": ["district", "age_band", "base"],
        }


@dataclass
class Provider:
    """fund-a's node with a dataset, an accepted contract with fund-b and a standing consent."""

    world: World
    config: configuration.Config
    store: Store
    contract: dict[str, Any]
    grants: FakeGrants = field(default_factory=FakeGrants)

    @property
    def keys(self) -> keyfiles.KeyFile:
        return self.world.keys["fund-a"]

    def consented(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Our own consent, by the standing rule, and fund-b's."""
        consents.consider(
            {"contract": self.contract, "request": request},
            config=self.config,
            keys=self.keys,
            store=self.store,
            now=self.world.clock(),
        )
        own = self.store.consent(request["id"])
        others = [
            self.world.consent(request, code)
            for code in ("fund-b", "social", "helper")
            if terms.party(self.contract, self.world.orgs[code])
        ]
        return [item for item in [own, *others] if item]


def provider(directory: Path, *, url: str = "http://127.0.0.1:9", **overrides: Any) -> Provider:
    """Make fund-a's node, ready to run joint statistics with fund-b for the bank."""
    world = World(directory)
    made = world.config("fund-a", url=url)
    store = world.store(made)
    commitment = world.add_dataset(made, store)["commitment"]
    contract = world.contract({"fund-a": commitment, "fund-b": "b" * 64}, **overrides)
    consents.accept_contract(contract, config=made, keys=world.keys["fund-a"], store=store)
    if contract["computation"]["approval"] == "standing":
        consents.set_standing(store=store, contract=contract["id"], expires=None, per_day=None, chosen=None)
    return Provider(world, made, store, contract)
