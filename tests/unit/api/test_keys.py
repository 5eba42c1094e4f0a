"""Rotations and revocations over the API."""

import pytest
from rest_framework.test import APIClient

from compute.protocol import keyfiles
from exchange.members.actions import tokens
from exchange.members.permissions import Role
from tests.factories import members

pytestmark = pytest.mark.django_db


@pytest.fixture
def member():
    return members.membership(Role.BUYER)


def send(member, document):
    issued = tokens.issue(user=member.user, membership=member)
    client = APIClient(headers={"Authorization": f"Token {issued.value}"})
    return client.post(f"/api/v1/organizations/{member.organization.ref}/keys/", {"card": document}, format="json")


def test_a_card_registers_a_rotation_replaces_and_a_second_card_does_not(member):
    old, new = keyfiles.generate("old"), keyfiles.generate("new")
    assert send(member, old.card(created=members.CREATED)).status_code == 201

    refused = send(member, new.card(created=members.CREATED))
    rotated = send(member, members.rotation(member.organization, old, new))

    assert (refused.status_code, refused.json()["code"]) == (409, "KEY_ROTATION_MISSING")
    assert rotated.status_code == 201
    assert {key["value"] for key in rotated.json()} == {new.document_key, new.chain_address, new.sealing_key}


def test_a_revocation_needs_no_token_and_is_answered_the_same_twice(member):
    held = members.with_keys(member.organization)
    document = members.revocation(member.organization, ("document", held.document_key), by=held.document)

    first = APIClient().post("/api/v1/key-revocations/", {"document": document}, format="json")
    again = APIClient().post("/api/v1/key-revocations/", {"document": document}, format="json")

    assert first.status_code == 201
    assert first.json()[0]["revoked_at"] is not None
    assert again.json() == first.json()


def test_a_revocation_by_a_stranger_is_refused(member):
    held = members.with_keys(member.organization)
    thief = keyfiles.generate("thief")
    document = members.revocation(member.organization, ("document", held.document_key), by=thief.document)

    answer = APIClient().post("/api/v1/key-revocations/", {"document": document}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (400, "KEY_REVOCATION_INVALID")


def test_a_void_without_a_chain_is_refused_and_nothing_is_withdrawn(member):
    held = members.with_keys(member.organization)
    document = members.revocation(member.organization, ("document", held.document_key), by=held.document)
    void = {"signer": held.chain_address, "digest": "ab" * 32, "signature": "0x" + "00" * 65}

    answer = APIClient().post("/api/v1/key-revocations/", {"document": document, "voids": [void]}, format="json")

    assert answer.status_code == 400
    assert member.organization.keys.current().count() == 3
