"""What every template knows."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_language

from exchange.members.models import Membership, User
from exchange.members.permissions import is_staff
from exchange.web.requests import membership_of


def site(request: HttpRequest) -> dict[str, Any]:
    """The exchange's names and address, for whom the reader acts, and the reader's other memberships.

    `site_name`, `site_name_zh`, `site_name_en`, `public_url`, `membership` (or None), `memberships` (list),
    `is_staff_member` (acts for the exchange), `is_chinese`.
    """
    membership = membership_of(request)
    user = getattr(request, "user", None)
    is_chinese = (get_language() or "zh").startswith("zh")
    return {
        "site_name": settings.EXCHANGE_NAME_ZH if is_chinese else settings.EXCHANGE_NAME_EN,
        "site_name_zh": settings.EXCHANGE_NAME_ZH,
        "site_name_en": settings.EXCHANGE_NAME_EN,
        "public_url": settings.PUBLIC_URL,
        "membership": membership,
        "memberships": list(Membership.objects.of(user)) if isinstance(user, User) else [],
        "is_staff_member": is_staff(membership),
        "is_chinese": is_chinese,
    }
