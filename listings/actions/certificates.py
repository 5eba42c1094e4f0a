"""Registration certificates: issued once for a version, signed by the exchange, public for ever."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from compute.protocol import shapes
from exchange.members.exchange_keys import exchange_keys, exchange_organization
from exchange.members.models import Membership
from exchange.members.permissions import Permission, check_permission
from ledger import actions as ledger
from ledger.kinds import EntryKind
from ledger.proofs import statements
from ledger.proofs.errors import VerificationError
from listings import policies
from listings.actions import moves, numbers
from listings.models import Product, RegistrationCertificate
from listings.states import ProductState

TYPE = "hengshu/registration-certificate/v1"
VALIDITY = timedelta(days=3 * 365)
DISCLAIMER_ZH = "本凭证为交易所产品登记，不是国家数据产权登记。"
DISCLAIMER_EN = "This is an exchange product registration, not national property-rights registration."


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the public page finds when it computes a certificate anew.

    Args:
        digest: SHA-256 of the certificate as stored now.
        digest_matches: it is what was recorded at issue.
        signature_valid: the exchange's signature covers it.
    """

    digest: str
    digest_matches: bool
    signature_valid: bool

    @property
    def is_genuine(self) -> bool:
        return self.digest_matches and self.signature_valid


@transaction.atomic
def issue(*, product: Product, by: Membership) -> RegistrationCertificate:
    """Register an approved version: number, signed certificate, ledger entry.

    Raises:
        PermissionRefused: not a registrar.
        OwnSubmission, FourEyes: the registrar submitted or approved the version.
        InvalidTransition: the version is not approved.
    Idempotent: a certified version's certificate is returned.
    """
    check_permission(by, Permission.PRODUCT_CERTIFY)
    locked = moves.lock(product)
    version = locked.version
    existing = RegistrationCertificate.objects.filter(version=version).first()
    if existing is not None:
        return existing
    policies.check_not_own(version, by=by)
    policies.check_not_reviewer(version, by=by)
    moves.move(locked, ProductState.CERTIFIED)
    now = timezone.now().replace(microsecond=0)
    number = numbers.next_number("DPC", now=now)
    document = statements.sign(
        _document(locked, number=number, now=now), key=exchange_keys().document, created=shapes.write_time(now)
    )
    digest = statements.digest(document)
    entry = ledger.record(
        kind=EntryKind.CERTIFICATE_ISSUED,
        subject=locked.urn,
        issuer=exchange_organization().urn,
        payload={"number": number, "product": locked.urn, "version": version.version, "record_digest": digest},
        key=f"certificate:{number}",
    )
    return RegistrationCertificate.objects.create(
        version=version,
        number=number,
        document=document,
        record_digest=digest,
        entry_ref=entry.ref,
        issued_by=by.user,
        issued_at=now,
        valid_until=now + VALIDITY,
    )


def judge(certificate: RegistrationCertificate) -> Verdict:
    """Compute a stored certificate's digest anew and check the signature it was issued with."""
    document = certificate.document
    digest = statements.digest(document)
    try:
        statements.verify(document, signers=[document["exchange"]["document_key"]])
        is_signed = document["number"] == certificate.number
    except (VerificationError, KeyError, TypeError):
        is_signed = False
    return Verdict(digest, digest == certificate.record_digest, is_signed)


def public_url(certificate: RegistrationCertificate) -> str:
    """Where anybody checks the certificate; the QR code holds it."""
    return f"{settings.PUBLIC_URL}{certificate.get_absolute_url()}"


def _document(product: Product, *, number: str, now: datetime) -> dict[str, Any]:
    version, provider, exchange = product.version, product.provider, exchange_organization()
    specification = version.specification
    return {
        "type": TYPE,
        "number": number,
        "title": "数据产品登记凭证",
        "exchange": {
            "name_zh": exchange.name_zh,
            "name_en": exchange.name_en,
            "document_key": exchange_keys().document_key,
        },
        "holders": [
            {
                "organization": provider.urn,
                "name_zh": provider.name_zh,
                "name_en": provider.name_en,
                "uscc": provider.uscc,
            }
        ],
        "product": {
            "id": product.urn,
            "number": product.number or "",
            "version": version.version,
            "name_zh": product.name_zh,
            "name_en": product.name_en,
            "abstract_zh": specification.abstract_zh,
            "source_types": list(specification.source_types),
            "industry": specification.industry,
            "region_scope": specification.region_scope,
            "region": specification.region,
            "time_from": specification.time_from.isoformat() if specification.time_from else None,
            "time_to": specification.time_to.isoformat() if specification.time_to else None,
            "update_freq": specification.update_freq,
            "volume_rows": specification.volume_rows,
            "data_form": specification.data_form,
            "grade": version.grade,
        },
        "rights": specification.rights,
        "remarks": [],
        "specification_digest": version.specification_digest,
        "dataset_commitment": version.dataset_commitment,
        "issued": shapes.write_time(now),
        "valid_until": shapes.write_time(now + VALIDITY),
        "verify_url": f"{settings.PUBLIC_URL}/certificates/{number}/",
        "disclaimer_zh": DISCLAIMER_ZH,
        "disclaimer_en": DISCLAIMER_EN,
    }
