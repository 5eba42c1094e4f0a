"""Who calls the API: a member's token, issued after sign-in and short-lived."""

from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from exchange.members.actions import tokens
from exchange.members.errors import TokenInvalid
from exchange.members.models import ApiToken, User

SCHEME = "Token"


class MemberTokenAuthentication(BaseAuthentication):
    """`Authorization: Token …`; sets `request.membership` to the membership the token was issued for."""

    def authenticate(self, request: Request) -> tuple[User | AnonymousUser, ApiToken] | None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != SCHEME.lower():
            return None
        try:
            token = tokens.read(value.strip())
        except TokenInvalid as error:
            raise AuthenticationFailed(error.message) from None
        request._request.membership = token.membership  # type: ignore[attr-defined]  # noqa: SLF001  DRF's own way in
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return SCHEME
