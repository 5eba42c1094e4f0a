"""The one door to organisations."""

from exchange.members.errors import OrganizationNotFound
from exchange.members.models import Membership, Organization
from exchange.members.permissions import Permission, has_permission


def access_organization(ref: str, *, by: Membership | None) -> Organization:
    """The organisation of a reference or URN, if the asker may know of it.

    Members in good standing are known to everybody; applications to their own people, admission and oversight.

    Raises:
        OrganizationNotFound: there is none, or it is none of the asker's business.
    """
    found = Organization.objects.filter(ref=ref.rpartition(":")[2]).first()
    if found is None or not (found.is_admitted or _is_own(found, by) or _may_view_any(by)):
        raise OrganizationNotFound("There is no such organisation; check the reference.")
    return found


def may_view_file(organization: Organization, *, by: Membership | None) -> bool:
    """Whether the asker may see the admission file: business status, contact, reasons."""
    return _is_own(organization, by) or _may_view_any(by)


def _is_own(organization: Organization, by: Membership | None) -> bool:
    return by is not None and by.organization_id == organization.pk


def _may_view_any(by: Membership | None) -> bool:
    return has_permission(by, Permission.ORGANIZATION_VIEW_ANY)
