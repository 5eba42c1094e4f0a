"""Messages from data nodes: who sent it, is it meant for us, is it fresh, has it been seen; and the poll."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from compute import agreements
from compute.errors import MessageOutOfTime, MessageReplayed, NodeMessageInvalid, NodeUnknown
from compute.models import Consent, DataNode, NodeTask, SeenMessage
from compute.protocol import documents, shapes
from compute.states import OPEN_TASKS
from exchange.kernel import identifiers
from exchange.kernel.errors import DomainError
from exchange.members.exchange_keys import exchange_keys, exchange_organization
from exchange.members.models import Organization, SigningKey
from exchange.members.states import KeyPurpose
from ledger import actions as ledger
from ledger.kinds import EntryKind
from ledger.proofs import statements
from ledger.proofs.errors import VerificationError

MAX_SKEW = timedelta(seconds=300)
CONSENT_REQUESTS = 20  # in one answer; the rest come with the next poll
TASKS = 50


def receive(*, verb: str, message: Any, now: datetime) -> tuple[Organization, dict[str, Any]]:
    """Check a node's message and remember its nonce; returns who sent it and what it says.

    Order: form, verb and audience, time, signature by a key valid now, and the nonce last, so that
    nobody without the key can fill the table.

    Raises:
        NodeMessageInvalid: not a node message, for another verb or another exchange.
        MessageOutOfTime: made more than 300 s before or after now.
        NodeUnknown: no admitted organisation with a valid key signed it.
        MessageReplayed: this organisation has used the nonce.
    """
    try:
        documents.check_node_message(message)
    except DomainError as error:
        raise NodeMessageInvalid(f"The message is not one this version reads: {error.message}") from error
    if message["verb"] != verb or not _is_us(message["audience"]):
        raise NodeMessageInvalid("The message is for another verb or another exchange; check the node's configuration.")
    if abs(now - shapes.parse_time(message["created"])) > MAX_SKEW:
        raise MessageOutOfTime("The message's time is more than 300 s from the exchange's; set the node's clock.")
    organization = _sender(message, now=now)
    try:
        with transaction.atomic():
            SeenMessage.objects.create(organization=organization, nonce=message["nonce"], seen_at=now)
    except IntegrityError:
        raise MessageReplayed("This message was received before; send a new one with a new nonce.") from None
    body: dict[str, Any] = message["body"]
    return organization, body


def poll(*, organization: Organization, version: str, now: datetime) -> dict[str, Any]:
    """What a node should look at: requests for consent, its open tasks, and what was revoked: contracts and keys."""
    _seen(organization, version=version, now=now)
    consents = (
        Consent.objects.awaited_of(organization)
        .select_related("computation__contract")
        .order_by("computation__created", "pk")[:CONSENT_REQUESTS]
    )
    tasks = (
        NodeTask.objects.filter(organization=organization)
        .in_states(OPEN_TASKS)
        .select_related("computation")
        .order_by("pk")[:TASKS]
    )
    return {
        "consent_requests": [
            {"contract": agreements.signed_terms(item.computation.contract), "request": item.computation.request}
            for item in consents
        ],
        "tasks": [{"task": task.urn, "computation": task.computation.urn, "state": task.state} for task in tasks],
        "revocations": agreements.revocations_for(organization),
        "key_revocations": agreements.key_revocations_for(organization),
        "server_time": shapes.write_time(now),
    }


@transaction.atomic
def _seen(organization: Organization, *, version: str, now: datetime) -> None:
    """Note a sign of life; the first one registers the node in the ledger."""
    node, is_new = DataNode.objects.get_or_create(
        organization=organization, defaults={"first_seen": now, "last_seen": now, "version": version}
    )
    if is_new:
        ledger.record(
            kind=EntryKind.NODE_REGISTERED,
            subject=organization.urn,
            issuer=exchange_organization().urn,
            payload={"organization": organization.urn, "version": version},
            key=f"node-registered:{organization.ref}",
        )
    else:
        DataNode.objects.filter(pk=node.pk).update(last_seen=now, version=version)


def _is_us(audience: str) -> bool:
    """Whether a key is or was the exchange's: a node learns of a rotation after it, and its owner follows later."""
    if audience == exchange_keys().document_key:
        return True
    own = SigningKey.objects.filter(organization__is_exchange=True, revoked_at__isnull=True)
    return own.for_purpose(KeyPurpose.DOCUMENT).filter(value=audience).exists()


def _sender(message: Mapping[str, Any], *, now: datetime) -> Organization:
    ref = identifiers.parse_urn(message["organization"], kind="org")
    organization = Organization.objects.filter(ref=ref).first()
    keys = SigningKey.objects.valid_at(now).for_purpose(KeyPurpose.DOCUMENT).filter(organization=organization)
    trusted = {key.value for key in keys}
    if organization is None or not organization.is_admitted or not trusted:
        raise NodeUnknown("No admitted organisation with a valid document key has this reference; register the card.")
    try:
        signers = {statements.signer(proof) for proof in statements.proofs(message)} & trusted
        statements.verify(message, signers=signers)
    except VerificationError as error:
        raise NodeUnknown(f"The message is not signed by a valid key of the organisation: {error.message}.") from error
    return organization
