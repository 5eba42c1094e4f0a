"""Signing in to the API: one answer to every wrong guess, and a token that opens nothing when read at rest."""

import pytest
import time_machine
from allauth.mfa.totp.internal import auth as totp

from exchange.members.actions import memberships, people, tokens
from exchange.members.errors import MembershipMissing, SecondFactorNeeded, SignInRefused, TokenInvalid
from exchange.members.models import ApiToken
from exchange.members.permissions import Role
from tests.factories import members

pytestmark = pytest.mark.django_db


@pytest.fixture
def person():
    return people.register(username="lin", email="lin@example.org", password=members.PASSWORD)


def sign_in(**changes):
    return tokens.sign_in(**{"username": "lin", "password": members.PASSWORD} | changes)


def test_a_token_names_its_person_and_is_stored_as_a_digest(person):
    mine = members.membership(Role.BUYER, user=person)

    issued = sign_in()

    assert tokens.read(issued.value).membership == mine
    assert issued.value not in str(ApiToken.objects.values())
    assert len(issued.value) == 43


@pytest.mark.parametrize("changes", [{"password": "wrong"}, {"username": "nobody"}])
def test_wrong_guesses_are_told_apart_by_nobody(person, changes):
    with pytest.raises(SignInRefused, match="User name, password or code do not match"):
        sign_in(**changes)


def test_a_person_may_sign_in_before_joining_an_organisation(person):
    assert tokens.read(sign_in().value).membership is None


def test_a_second_factor_is_asked_for_and_checked(person):
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(person, secret)
    code = totp.format_hotp_value(totp.hotp_value(secret, next(iter(totp.yield_hotp_counters_from_time()))))

    with pytest.raises(SecondFactorNeeded):
        sign_in()
    with pytest.raises(SignInRefused):
        sign_in(code="000000" if code != "000000" else "000001")
    assert sign_in(code=code).token.user == person


def test_another_person_s_membership_cannot_be_chosen(person):
    with pytest.raises(MembershipMissing):
        sign_in(membership=members.membership(Role.BUYER).ref)


def test_a_token_ends_after_twelve_hours(person):
    with time_machine.travel("2026-11-21T06:00:00Z", tick=False):
        issued = sign_in()
    with time_machine.travel("2026-11-21T17:59:59Z", tick=False):
        tokens.read(issued.value)
    with time_machine.travel("2026-11-21T18:00:00Z", tick=False), pytest.raises(TokenInvalid):
        tokens.read(issued.value)


def test_a_token_ends_with_its_membership(person):
    place = members.organization(kinds=("demander",))
    mine = members.membership(Role.BUYER, organization=place, user=person)
    issued = sign_in()

    memberships.end(membership=mine, by=members.membership(Role.BUYER, organization=place))

    with pytest.raises(TokenInvalid):
        tokens.read(issued.value)


def test_a_withdrawn_token_opens_nothing(person):
    issued = sign_in()
    tokens.revoke(token=issued.token)

    with pytest.raises(TokenInvalid):
        tokens.read(issued.value)
