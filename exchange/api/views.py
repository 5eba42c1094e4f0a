"""The API's root, signing in, and organisations."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchange.api import serializers
from exchange.kernel.errors import NotFound
from exchange.members.access import access_organization, may_view_file
from exchange.members.actions import key_revocations, keys, organizations, tokens
from exchange.members.models import ApiToken, Membership, Organization, User
from exchange.members.permissions import Permission, check_permission
from exchange.web import error_table
from exchange.web.idempotency import idempotent
from exchange.web.requests import acting_membership, membership_of, user_of
from exchange.web.throttling import LoginAddressThrottle, LoginThrottle


class RootView(APIView):
    """Where a program starts."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(responses=serializers.RootSerializer)
    def get(self, request: Request) -> Response:
        """Name the exchange and the addresses of schema, documentation, error table and trust policy."""
        base = settings.PUBLIC_URL
        return Response(
            {
                "name": settings.EXCHANGE_NAME_EN,
                "version": "v1",
                "schema": f"{base}/api/schema",
                "docs": f"{base}/api/docs",
                "errors": f"{base}/api/errors/",
                "trust_policy": f"{base}/.well-known/hengshu-policy.json",
            }
        )


class ErrorsView(APIView):
    """The table of error codes."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(responses=serializers.ErrorRowSerializer(many=True))
    def get(self, request: Request) -> Response:
        """List every code with its status and a sentence in Chinese and English."""
        return Response(serializers.ErrorRowSerializer(error_table.rows(), many=True).data)


class LoginView(APIView):
    """Sign in for a token."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (LoginThrottle, LoginAddressThrottle)

    @extend_schema(request=serializers.LoginSerializer, responses=serializers.TokenSerializer)
    def post(self, request: Request) -> Response:
        """Check name, password and, where the account has one, the one-time code; the token lasts twelve hours."""
        data = serializers.LoginSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        issued = tokens.sign_in(request=request._request, **data.validated_data)  # noqa: SLF001  Django's own request
        membership = issued.token.membership
        answer = {
            "token": issued.value,
            "expires": issued.token.expires,
            "organization": membership.organization if membership else None,
            "membership": membership.ref if membership else None,
            "roles": _roles(issued.token.user, membership),
        }
        return Response(serializers.TokenSerializer(answer).data)


class LogoutView(APIView):
    """Withdraw the token in use."""

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        """Withdraw the token this request was made with; repeating it changes nothing."""
        if isinstance(request.auth, ApiToken):
            tokens.revoke(token=request.auth)
        return Response(status=204)


class MeView(APIView):
    """Who is asking."""

    @extend_schema(responses=serializers.MeSerializer)
    def get(self, request: Request) -> Response:
        """Show the signed-in person, the organisation acted for, and all memberships."""
        user, membership = _person(request), membership_of(request)
        answer = {
            "username": user.username,
            "display_name": user.display_name,
            "organization": membership.organization if membership else None,
            "roles": _roles(user, membership),
            "memberships": list(Membership.objects.of(user)),
        }
        return Response(serializers.MeSerializer(answer).data)


class OrganizationsView(APIView):
    """Applying for admission."""

    @extend_schema(request=serializers.ApplicationSerializer, responses={201: serializers.OrganizationFileSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Apply, with the signed key card or without."""
        data = serializers.ApplicationSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        organization = organizations.apply(by=_person(request), **data.validated_data)
        return Response(serializers.OrganizationFileSerializer(organization).data, status=201)


class OrganizationView(APIView):
    """One organisation."""

    def get_permissions(self) -> list[Any]:
        return [AllowAny()]

    @extend_schema(responses=serializers.OrganizationFileSerializer)
    def get(self, request: Request, ref: str) -> Response:
        """Show a member; its own people and the admission desk also see the admission file."""
        by = membership_of(request)
        return _shown(access_organization(ref, by=by), by)


class KeysView(APIView):
    """An organisation's public keys."""

    @extend_schema(request=serializers.CardSerializer, responses={201: serializers.KeySerializer(many=True)})
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        """Register a signed key card, or rotate keys in force by a document that old and new keys have signed."""
        by = acting_membership(request)
        organization = access_organization(ref, by=by)
        check_permission(by, Permission.KEY_MANAGE)
        if organization.pk != by.organization_id:
            raise NotFound("Keys are registered by the organisation's own people.")
        data = serializers.CardSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        registered = keys.accept(organization=organization, document=data.validated_data["card"])
        return Response(serializers.KeySerializer(registered, many=True).data, status=201)


class KeyRevocationsView(APIView):
    """The end of keys before their time. Whose laptop is stolen may have no way to sign in: the signature counts."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (LoginAddressThrottle,)

    @extend_schema(
        request=serializers.KeyRevocationSerializer, responses={201: serializers.KeySerializer(many=True)}, auth=[]
    )
    def post(self, request: Request) -> Response:
        """Withdraw keys by a document that one of them, another of the organisation, or the exchange has signed."""
        data = serializers.KeyRevocationSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        withdrawn = key_revocations.withdraw(**data.validated_data)
        return Response(serializers.KeySerializer(withdrawn, many=True).data, status=201)


Act = Callable[[Organization, Membership, str], Organization]

ACTS: dict[str, Act] = {
    "verify": lambda organization, by, _: organizations.verify(organization=organization, by=by),
    "more-info": lambda organization, by, reason: organizations.ask_for_more(
        organization=organization, by=by, reason=reason
    ),
    "admit": lambda organization, by, reason: organizations.admit(organization=organization, by=by, reason=reason),
    "reject": lambda organization, by, reason: organizations.reject(organization=organization, by=by, reason=reason),
    "suspend": lambda organization, by, reason: organizations.suspend(organization=organization, by=by, reason=reason),
    "withdraw": lambda organization, by, reason: organizations.withdraw(
        organization=organization, by=by, reason=reason
    ),
}


class OrganizationActView(APIView):
    """A step of the admission desk: verify, more-info, admit, reject, suspend, withdraw."""

    @extend_schema(request=serializers.ReasonSerializer, responses=serializers.OrganizationFileSerializer)
    @idempotent
    def post(self, request: Request, ref: str, verb: str) -> Response:
        """Take the step, with a reason the organisation reads."""
        by = acting_membership(request)
        organization = access_organization(ref, by=by)
        act = ACTS.get(verb)
        if act is None:
            raise NotFound(f"There is no such step; the steps are {', '.join(ACTS)}.")
        data = serializers.ReasonSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        return _shown(act(organization, by, data.validated_data["reason"]), by)


def _shown(organization: Organization, by: Membership | None) -> Response:
    may_view = may_view_file(organization, by=by)
    kind = serializers.OrganizationFileSerializer if may_view else serializers.OrganizationSerializer
    return Response(kind(organization).data)


def _person(request: Request) -> User:
    user = user_of(request)
    if user is None:
        raise NotAuthenticated
    return user


def _roles(user: User, membership: Membership | None) -> list[str]:
    """The roles held at the organisation acted for."""
    if membership is None:
        return []
    return [one.role for one in Membership.objects.of(user) if one.organization_id == membership.organization_id]
