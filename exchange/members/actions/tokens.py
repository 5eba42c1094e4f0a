"""Access tokens for the API: 256 random bits, shown once, kept as a digest, gone after twelve hours."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.conf import settings
from django.contrib.auth import authenticate
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from exchange.members.errors import (
    AddressUnconfirmed,
    MembershipMissing,
    SecondFactorNeeded,
    SignInRefused,
    TokenInvalid,
)
from exchange.members.models import ApiToken, Membership, User

LIFETIME = timedelta(hours=12)


@dataclass(frozen=True, slots=True, repr=False)
class IssuedToken:
    """A fresh token: `value` is shown to its owner once and stored nowhere."""

    value: str
    token: ApiToken


@transaction.atomic
def sign_in(
    *,
    username: str,
    password: str,
    code: str | None = None,
    membership: str | None = None,
    request: HttpRequest | None = None,
) -> IssuedToken:
    """Check who somebody is and issue a token.

    Args:
        code: the one-time or recovery code, where the account has a second factor.
        membership: the reference of the membership to act in; the oldest when absent.
        request: lets the sign-in backend count failures by address.
    Raises:
        SignInRefused: unknown name, wrong password or wrong code; which of them is not said.
        AddressUnconfirmed: the password is right and the mail address was never confirmed.
        SecondFactorNeeded: the password is right and a code is needed.
        MembershipMissing: the named membership is not this person's.
    """
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User) or not user.is_active:
        raise SignInRefused("User name, password or code do not match; check them and try again.")
    _check_address(user)
    _check_second_factor(user, code)
    return issue(user=user, membership=_choose(user, membership))


@transaction.atomic
def issue(*, user: User, membership: Membership | None) -> IssuedToken:
    """Issue a token for a person whose identity has been checked."""
    value = secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        digest=_digest(value), user=user, membership=membership, expires=timezone.now() + LIFETIME
    )
    return IssuedToken(value, token)


def read(value: str) -> ApiToken:
    """The token behind a value.

    Raises:
        TokenInvalid: unknown, expired or withdrawn, or its membership has ended.
    """
    found = (
        ApiToken.objects.valid_at(timezone.now())
        .select_related("user", "membership__organization", "membership__user")
        .filter(digest=_digest(value), user__is_active=True)
        .first()
    )
    if found is None or (found.membership is not None and found.membership.ended_at is not None):
        raise TokenInvalid("The access token is unknown, expired or withdrawn; sign in again: hengshu login")
    return found


@transaction.atomic
def revoke(*, token: ApiToken) -> None:
    """Withdraw a token before its time. Idempotent."""
    ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=timezone.now())


def _check_address(user: User) -> None:
    """The pages let nobody in before the mail address is confirmed; neither does the API."""
    addresses = list(EmailAddress.objects.filter(user=user).values_list("verified", flat=True))
    if addresses and not any(addresses) and settings.ACCOUNT_EMAIL_VERIFICATION == "mandatory":
        raise AddressUnconfirmed("Confirm your mail address first: open the link in the mail that you were sent.")


def _check_second_factor(user: User, code: str | None) -> None:
    factors = {one.type: one for one in Authenticator.objects.filter(user=user)}
    if not factors.keys() & {Authenticator.Type.TOTP}:
        return
    if not code:
        raise SecondFactorNeeded("This account signs in with a one-time code as well; send it as `code`.")
    totp, recovery = factors[Authenticator.Type.TOTP], factors.get(Authenticator.Type.RECOVERY_CODES)
    if TOTP(totp).validate_code(code):
        return
    if recovery is None or not RecoveryCodes(recovery).validate_code(code):
        raise SignInRefused("User name, password or code do not match; check them and try again.")


def _choose(user: User, ref: str | None) -> Membership | None:
    memberships = list(Membership.objects.of(user))
    if ref is None:
        return memberships[0] if memberships else None
    chosen = next((one for one in memberships if one.ref == ref), None)
    if chosen is None:
        raise MembershipMissing("You do not act in this membership; GET /api/v1/me/ lists yours.")
    return chosen


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
