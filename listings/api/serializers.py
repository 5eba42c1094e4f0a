"""How products and certificates look in JSON, and what may be sent."""

from typing import Any

from rest_framework import serializers

from exchange.members.models import Organization
from exchange.web.serializers import StrictModelSerializer, StrictSerializer
from listings.actions.products import COLUMN_FIELDS, SPECIFICATION_FIELDS
from listings.models import Column, Product, ProductVersion, RegistrationCertificate, Specification

_PUBLIC_HIDDEN = {"contact", "business_status", "id_no", "pia_report", "compliance_opinion", "consent_template_digest"}
PUBLIC_SPECIFICATION_FIELDS = tuple(name for name in SPECIFICATION_FIELDS if name not in _PUBLIC_HIDDEN)


class ProviderSerializer(serializers.ModelSerializer[Organization]):
    """Who offers it."""

    class Meta:
        model = Organization
        fields = ["ref", "urn", "name_zh", "name_en"]
        read_only_fields = fields


class ColumnSerializer(StrictModelSerializer[Column]):
    """One column."""

    class Meta:
        model = Column
        fields = [*COLUMN_FIELDS, "grade_rule"]
        read_only_fields = ["grade_rule"]


class SpecificationSerializer(StrictModelSerializer[Specification]):
    """Every field of the specification; none is required in a draft."""

    class Meta:
        model = Specification
        fields = list(SPECIFICATION_FIELDS)
        extra_kwargs = {name: {"required": False} for name in SPECIFICATION_FIELDS}


class PublicSpecificationSerializer(serializers.ModelSerializer[Specification]):
    """What everybody may read of a specification."""

    class Meta:
        model = Specification
        fields = list(PUBLIC_SPECIFICATION_FIELDS)
        read_only_fields = fields


class CertificateSerializer(serializers.ModelSerializer[RegistrationCertificate]):
    """A certificate as stored."""

    class Meta:
        model = RegistrationCertificate
        fields = ["number", "state", "issued_at", "valid_until", "record_digest", "entry_ref", "document"]
        read_only_fields = fields


class VerdictSerializer(serializers.Serializer[Any]):
    """What computing the certificate anew has shown."""

    digest = serializers.CharField()
    digest_matches = serializers.BooleanField()
    signature_valid = serializers.BooleanField()


class CheckedCertificateSerializer(CertificateSerializer):
    """A certificate and the judgement about it."""

    verdict = VerdictSerializer(read_only=True)
    disclaimer = serializers.CharField(read_only=True)

    class Meta(CertificateSerializer.Meta):
        fields = [*CertificateSerializer.Meta.fields, "verdict", "disclaimer"]


class VersionSerializer(serializers.ModelSerializer[ProductVersion]):
    """A version in public."""

    columns = ColumnSerializer(many=True, read_only=True)
    specification = PublicSpecificationSerializer(read_only=True)
    certificate = serializers.CharField(source="certificate.number", default=None, read_only=True)

    class Meta:
        model = ProductVersion
        fields = [
            "version", "dataset", "dataset_commitment", "grade", "specification_digest", "specification", "columns",
            "certificate", "submitted_at",
        ]  # fmt: skip
        read_only_fields = fields


class FileVersionSerializer(VersionSerializer):
    """A version with its application file, for its provider and the desk."""

    specification = SpecificationSerializer(read_only=True)  # type: ignore[assignment]
    reviews = serializers.SerializerMethodField()

    class Meta(VersionSerializer.Meta):
        fields = [*VersionSerializer.Meta.fields, "reviews", "grading"]

    def get_reviews(self, version: ProductVersion) -> list[dict[str, Any]]:
        """Decisions, newest first; reviewers by role, not by name."""
        return [
            {"decision": one.decision, "role": one.role, "reason": one.reason, "fields": one.fields, "at": one.created}
            for one in version.reviews.all()
        ]


class ProductSerializer(serializers.ModelSerializer[Product]):
    """A product in a list."""

    provider = ProviderSerializer(read_only=True)
    grade = serializers.IntegerField(source="version.grade", read_only=True)
    version = serializers.IntegerField(source="version.version", read_only=True)

    class Meta:
        model = Product
        fields = ["ref", "urn", "number", "name_zh", "name_en", "state", "provider", "grade", "version", "listed_at"]
        read_only_fields = fields


class ProductDetailSerializer(ProductSerializer):
    """A product and its newest version."""

    current = VersionSerializer(read_only=True)

    class Meta(ProductSerializer.Meta):
        fields = [*ProductSerializer.Meta.fields, "state_reason", "current"]


class ProductFileSerializer(ProductDetailSerializer):
    """The same with the application file."""

    current = FileVersionSerializer(read_only=True)


class DraftSerializer(StrictSerializer[Any]):
    """A new product."""

    name_zh = serializers.CharField(max_length=40)
    name_en = serializers.CharField(max_length=120)
    dataset = serializers.RegexField(r"^[a-z][a-z0-9_]{0,62}$")
    dataset_commitment = serializers.RegexField(r"^[0-9a-f]{64}$", required=False, default="", allow_blank=True)
    specification = SpecificationSerializer(required=False)
    columns = ColumnSerializer(many=True, required=False, default=list)


class RevisionSerializer(StrictSerializer[Any]):
    """Changes to a draft; what is absent stays."""

    name_zh = serializers.CharField(max_length=40, required=False)
    name_en = serializers.CharField(max_length=120, required=False)
    dataset = serializers.RegexField(r"^[a-z][a-z0-9_]{0,62}$", required=False)
    dataset_commitment = serializers.RegexField(r"^[0-9a-f]{64}$", required=False)
    specification = SpecificationSerializer(required=False)
    columns = ColumnSerializer(many=True, required=False)


class DecisionSerializer(StrictSerializer[Any]):
    """A decision's reason, and for a return what to correct at each field."""

    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    fields_ = serializers.DictField(child=serializers.CharField(max_length=500), required=False, default=dict)

    def to_internal_value(self, data: Any) -> Any:
        renamed = {("fields_" if name == "fields" else name): value for name, value in dict(data).items()}
        return super().to_internal_value(renamed)


class CatalogueQuerySerializer(serializers.Serializer[Any]):
    """How the catalogue is narrowed."""

    q = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)
    industry = serializers.CharField(required=False, default="", allow_blank=True, max_length=40)
    kind = serializers.CharField(required=False, default="", allow_blank=True, max_length=20)
    grade = serializers.IntegerField(required=False, default=None, allow_null=True, min_value=1, max_value=5)
    provider = serializers.CharField(required=False, default="", allow_blank=True, max_length=26)
    delivery = serializers.CharField(required=False, default="", allow_blank=True, max_length=16)
    mine = serializers.BooleanField(required=False, default=False)
