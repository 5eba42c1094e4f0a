"""Accounts of people made by the exchange itself, for example for its staff; members sign up on their own."""

from allauth.account.models import EmailAddress
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from exchange.kernel.errors import InvalidInput
from exchange.members.models import User


@transaction.atomic
def register(*, username: str, email: str, password: str, display_name: str = "") -> User:
    """Make an account whose mail address counts as verified.

    Raises:
        InvalidInput: the password is too weak.
    Idempotent: an account with this user name is returned as it is.
    """
    existing = User.objects.filter(username=username).first()
    if existing is not None:
        return existing
    user = User(username=username, email=email, display_name=display_name)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidInput("Choose a stronger password.", fields={"password": " ".join(error.messages)}) from None
    user.set_password(password)
    user.save()
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user
