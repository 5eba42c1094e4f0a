"""The log's side of a trace: entries by their business key, and how far each stands."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.db.models import Max, QuerySet

from compute.trace.steps import Actor, Means, Place, Signer, Standing
from exchange.members.exchange_keys import exchange_organization
from exchange.members.models import Organization, SigningKey
from exchange.members.states import KeyPurpose
from ledger import actions as ledger
from ledger.errors import DisclosureErased
from ledger.models import Anchor, ChainDeployment, Checkpoint, Entry, Log
from ledger.proofs import statements
from ledger.proofs.errors import VerificationError


class Books:
    """All entries about some subjects, read once."""

    def __init__(self, subjects: Collection[str]) -> None:
        rows = Entry.objects.filter(subject__in=subjects).with_evidence().select_related("leaf__log")
        self.entries: list[Entry] = list(rows.order_by("pk"))
        self._by_key = {entry.key: entry for entry in self.entries if entry.key}
        self._sealed = _reach(Checkpoint.objects.all())
        self._anchored: dict[int, int] = {}
        for epoch in ChainDeployment.objects.all():
            for log, size in _reach(Anchor.objects.filter(deployment=epoch)).items():
                self._anchored[log] = max(size, self._anchored.get(log, 0))
        self.exchange = exchange_organization()

    def keyed(self, key: str) -> Entry | None:
        """The entry of a business key."""
        return self._by_key.get(key)

    def of_version(self, kind: str, subject: str, *, version: int, digest: str = "") -> Entry | None:
        """The first entry of a kind about one version of a product; with `digest`, about that wording."""
        for entry in self.entries:
            if entry.kind != kind or entry.subject != subject:
                continue
            try:
                payload = ledger.payload_of(entry)
            except DisclosureErased:
                continue
            if payload.get("version") == version and (not digest or payload.get("digest") == digest):
                return entry
        return None

    def place(self, entry: Entry | None) -> Place | None:
        """Where an entry stands."""
        if entry is None:
            return None
        leaf = getattr(entry, "leaf", None)
        return Place(
            entry=entry.urn,
            ref=entry.ref,
            kind=entry.kind,
            subject=entry.subject,
            issuer=entry.issuer,
            at=entry.at,
            origin=leaf.log.origin if leaf else "",
            index=leaf.index if leaf else None,
            sealed=leaf is not None and leaf.index < self._sealed.get(leaf.log_id, 0),
            anchored=leaf is not None and leaf.index < self._anchored.get(leaf.log_id, 0),
        )

    def by_entry(self, entry: Entry | None, actor: Actor, *, says: str = "") -> Signer:
        """The signature that an entry is: the log's key over a checkpoint that covers it.

        Args:
            says: a digest that the entry's payload must hold, unless it has been erased.
        """
        place = self.place(entry)
        if entry is None or place is None:
            return Signer(actor=actor, means=Means.ENTRY, key="", entry="", standing=Standing.MISSING)
        standing = Standing.SIGNED if place.sealed else Standing.WAITING
        payload = entry.disclosure.payload
        if says and payload is not None and says.encode() not in bytes(payload):
            standing = Standing.INVALID
        return Signer(actor=actor, means=Means.ENTRY, key=place.origin, entry=place.entry, standing=standing)

    def officer(self, role: str) -> Actor:
        """The exchange in the role of one of its officers; never the person."""
        return actor_of(self.exchange, role)


def actor_of(organization: Organization, role: str) -> Actor:
    """An organisation in a role."""
    return Actor(
        organization=organization.urn, name_zh=organization.name_zh, name_en=organization.name_en, role=str(role)
    )


def by_document(
    document: Mapping[str, Any] | None, *, key: str, actor: Actor, entry: Place | None = None, **says: str
) -> Signer:
    """A party's own signature on a document, verified now.

    Args:
        key: the did:key that must have signed.
        says: members that the document must have with these values; a signature on anything else is invalid.
    """
    found = Standing.MISSING
    if document:
        try:
            statements.verify(document, signers=[key])
            found = Standing.SIGNED if all(document.get(name) == says[name] for name in says) else Standing.INVALID
        except VerificationError as error:
            found = Standing.MISSING if error.code == "SIGNATURE_MISSING" else Standing.INVALID
    return Signer(actor=actor, means=Means.DOCUMENT, key=key, entry=entry.entry if entry else "", standing=found)


def document_keys(organization: Organization) -> set[str]:
    """Every document key that an organisation has ever registered."""
    keys: Iterable[str] = (
        SigningKey.objects.filter(organization=organization)
        .for_purpose(KeyPurpose.DOCUMENT)
        .values_list("value", flat=True)
    )
    return set(keys)


def _reach(rows: "QuerySet[Checkpoint] | QuerySet[Anchor]") -> dict[int, int]:
    """The largest size in each log; asked log by log, so that each question is one look into an index."""
    logs = Log.objects.values_list("number", flat=True)
    sizes = {log: rows.filter(log=log).aggregate(reach=Max("size"))["reach"] for log in logs}
    return {log: size for log, size in sizes.items() if size is not None}
