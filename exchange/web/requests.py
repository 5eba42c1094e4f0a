"""What our middleware adds to a request, with types."""

from typing import cast

from django.http import HttpRequest
from rest_framework.request import Request

from exchange.members.errors import MembershipMissing
from exchange.members.models import Membership, User


class MemberRequest(HttpRequest):
    """A request after `MembershipMiddleware`; views may annotate with it."""

    membership: Membership | None


def membership_of(request: HttpRequest | Request) -> Membership | None:
    """For whom the person acts; None for visitors and for people without an organisation."""
    return cast("Membership | None", getattr(request, "membership", None))


def acting_membership(request: HttpRequest | Request) -> Membership:
    """For whom the person acts.

    Raises:
        MembershipMissing: for nobody.
    """
    membership = membership_of(request)
    if membership is None:
        raise MembershipMissing("You act for no organisation here; sign in, or ask a colleague to add you.")
    return membership


def user_of(request: HttpRequest | Request) -> User | None:
    """The signed-in person, or None."""
    user = request.user
    return user if isinstance(user, User) else None
