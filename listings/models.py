"""The tables of what is offered: products, versions, specifications, columns, reviews, certificates.

A specification holds every field of the exchange's application form; the first form asks for the
required ones. No row of a provider is here: a product names its dataset and the dataset's commitment.
"""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language

from exchange.kernel import identifiers
from listings import words
from listings.querysets import ProductQuerySet
from listings.states import CertificateState, ProductState, ReviewDecision

_HEX64 = r"^[0-9a-f]{64}$"


def _is_chinese() -> bool:
    return (get_language() or "zh").startswith("zh")


def _words(kind: Any) -> list[tuple[str, str]]:
    return [(word.value, word.value) for word in kind]


class NumberSeries(models.Model):
    """The last serial given out under a prefix in a month; the row is locked, so serials have no gap."""

    prefix = models.CharField(max_length=4)
    year_month = models.CharField(max_length=6)
    last = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "number series"
        constraints = [models.UniqueConstraint(fields=["prefix", "year_month"], name="number_series_once")]

    def __str__(self) -> str:
        return f"{self.prefix} {self.year_month}: {self.last}"


class Product(models.Model):
    """A data product of one provider."""

    ref = models.CharField(max_length=26, unique=True, default=identifiers.new_ulid, editable=False)
    number = models.CharField(max_length=24, unique=True, null=True)  # noqa: DJ001  NULL until first submitted
    provider = models.ForeignKey("members.Organization", on_delete=models.PROTECT, related_name="products")
    name_zh = models.CharField(max_length=40)
    name_en = models.CharField(max_length=120)
    state = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in ProductState], default=ProductState.DRAFT.value
    )
    state_since = models.DateTimeField(default=timezone.now)
    state_reason = models.CharField(max_length=500, blank=True, default="")
    current = models.ForeignKey("ProductVersion", on_delete=models.PROTECT, null=True, related_name="+")
    created = models.DateTimeField(default=timezone.now)
    listed_at = models.DateTimeField(null=True)
    search = SearchVectorField(null=True)

    objects = ProductQuerySet.as_manager()

    class Meta:
        ordering = ["-created", "-pk"]
        indexes = [
            GinIndex(fields=["search"], name="product_search"),
            models.Index(fields=["state", "-listed_at", "-id"], name="product_newest"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=[s.value for s in ProductState]), name="product_state_known"),
            models.CheckConstraint(
                condition=Q(state=ProductState.DRAFT.value) | Q(number__isnull=False), name="product_numbered"
            ),
        ]

    def __str__(self) -> str:
        return self.number or self.ref

    def get_absolute_url(self) -> str:
        return reverse("listings:product", args=[self.ref])

    @property
    def urn(self) -> str:
        return identifiers.make_urn("product", self.ref)

    @property
    def name(self) -> str:
        """The name in the language of the request."""
        return self.name_zh if _is_chinese() else self.name_en

    @property
    def is_listed(self) -> bool:
        return self.state == ProductState.LISTED

    @property
    def version(self) -> "ProductVersion":
        """The newest version; every product has one from its first moment."""
        if self.current is None:
            raise ValueError("a product without a version")
        return self.current


class ProductVersion(models.Model):
    """One wording of a product; frozen by its digest when it is submitted."""

    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="versions")
    version = models.PositiveIntegerField()
    dataset = models.CharField(max_length=63, help_text="The dataset's name on the provider's own node.")
    dataset_commitment = models.CharField(max_length=64, blank=True, default="")
    grade = models.PositiveSmallIntegerField(default=1, help_text="1 to 4 general, 5 important; computed.")
    grading = models.JSONField(default=dict, help_text="Which rules made the grade, column by column.")
    specification_digest = models.CharField(max_length=64, blank=True, default="")
    created_by = models.ForeignKey("members.User", on_delete=models.PROTECT, related_name="+")
    created = models.DateTimeField(default=timezone.now)
    submitted_by = models.ForeignKey("members.User", on_delete=models.PROTECT, null=True, related_name="+")
    submitted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["product", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["product", "version"], name="product_version_once"),
            models.CheckConstraint(condition=Q(grade__gte=1, grade__lte=5), name="product_version_grade"),
            models.CheckConstraint(
                condition=Q(dataset_commitment="") | Q(dataset_commitment__regex=_HEX64), name="product_commitment"
            ),
            models.CheckConstraint(
                condition=Q(submitted_at__isnull=True, submitted_by__isnull=True)
                | Q(submitted_at__isnull=False, submitted_by__isnull=False),
                name="product_version_submission_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.product} v{self.version}"


class Specification(models.Model):
    """数据产品说明书: what a version says about itself, field by field."""

    version = models.OneToOneField(ProductVersion, on_delete=models.PROTECT, related_name="specification")
    # who applies
    applicant_name = models.CharField(max_length=200, blank=True, default="")
    applicant_type = models.CharField(max_length=16, choices=_words(words.ApplicantType), default="legal")
    id_no = models.CharField(max_length=18, blank=True, default="")
    contact = models.JSONField(default=dict, blank=True)
    business_status = models.JSONField(default=dict, blank=True)
    # what it is
    abstract_zh = models.CharField(max_length=400, blank=True, default="")
    abstract_en = models.CharField(max_length=1200, blank=True, default="")
    industry = models.CharField(max_length=40, blank=True, default="", help_text="GB/T 4754 section and division.")
    source_types = ArrayField(models.CharField(max_length=16, choices=_words(words.SourceType)), default=list)
    source_statement = models.TextField(max_length=4000, blank=True, default="")
    region_scope = models.CharField(max_length=16, choices=_words(words.RegionScope), blank=True, default="")
    region = models.CharField(max_length=100, blank=True, default="")
    time_from = models.DateField(null=True, blank=True)
    time_to = models.DateField(null=True, blank=True)
    update_freq = models.CharField(max_length=16, choices=_words(words.UpdateFrequency), blank=True, default="")
    volume_rows = models.BigIntegerField(default=0)
    volume_bytes = models.BigIntegerField(default=0)
    data_form = models.CharField(max_length=16, choices=_words(words.DataForm), default="table")
    structure = models.CharField(max_length=16, choices=_words(words.Structure), default="structured")
    product_kind = models.CharField(max_length=20, choices=_words(words.ProductKind), default="computed_result")
    # rights and limits
    restrictions = models.JSONField(default=dict, blank=True)
    rights = models.JSONField(default=list, blank=True)
    external_cert_no = models.CharField(max_length=15, blank=True, default="")
    is_public_data = models.BooleanField(default=False)
    public_data_code = models.CharField(max_length=64, blank=True, default="")
    # class and grade
    classification = models.CharField(max_length=100, blank=True, default="")
    grade_national = models.CharField(
        max_length=16, choices=_words(words.NationalGrade), default=words.NationalGrade.GENERAL.value
    )
    grade_general = models.PositiveSmallIntegerField(default=1)
    sector = models.CharField(max_length=16, choices=_words(words.Sector), blank=True, default="")
    grade_sector = models.PositiveSmallIntegerField(null=True, blank=True)
    # personal information
    pi_flags = ArrayField(models.CharField(max_length=16, choices=_words(words.Personal)), default=list)
    persons_approx = models.BigIntegerField(default=0)
    legal_basis = models.CharField(max_length=20, choices=_words(words.LegalBasis), blank=True, default="")
    consent_template_digest = models.CharField(max_length=64, blank=True, default="")
    pia_report = models.JSONField(default=dict, blank=True)
    deident_method = models.CharField(max_length=400, blank=True, default="")
    # use
    scenarios = models.JSONField(default=list, blank=True)
    prohibited_uses = ArrayField(models.CharField(max_length=40), default=list)
    delivery_modes = ArrayField(models.CharField(max_length=16, choices=_words(words.DeliveryMode)), default=list)
    algorithms = models.JSONField(default=list, blank=True)
    output_policy = models.JSONField(default=dict, blank=True)
    # quality, law, price
    quality_report = models.JSONField(default=dict, blank=True)
    compliance_opinion = models.JSONField(default=dict, blank=True)
    pricing = models.JSONField(default=list, blank=True)
    sample = models.JSONField(default=list, blank=True, help_text="Synthetic rows only.")
    api_spec = models.JSONField(default=dict, blank=True)
    sla = models.JSONField(default=dict, blank=True)
    support = models.CharField(max_length=400, blank=True, default="")
    cross_border = models.BooleanField(default=False)
    cross_border_path = models.CharField(max_length=200, blank=True, default="")
    fingerprint = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(grade_general__gte=1, grade_general__lte=4), name="specification_general_grade"
            ),
            models.CheckConstraint(
                condition=Q(volume_rows__gte=0, volume_bytes__gte=0, persons_approx__gte=0),
                name="specification_counts",
            ),
        ]

    def __str__(self) -> str:
        return f"specification of {self.version_id}"

    @property
    def abstract(self) -> str:
        """The abstract in the language of the request."""
        return self.abstract_zh if _is_chinese() else (self.abstract_en or self.abstract_zh)

    @property
    def personal(self) -> str:
        """The strictest personal-information flag: none, pi, sensitive or minor."""
        order = list(words.Personal)
        found = [words.Personal(flag) for flag in self.pi_flags]
        return str(max(found, key=order.index, default=words.Personal.NONE))


class Column(models.Model):
    """One field of a product, as far as others may compute on it."""

    version = models.ForeignKey(ProductVersion, on_delete=models.PROTECT, related_name="columns")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=63)
    title_zh = models.CharField(max_length=100)
    title_en = models.CharField(max_length=100, blank=True, default="")
    type = models.CharField(max_length=16, choices=_words(words.ColumnType))
    unit = models.CharField(max_length=32, blank=True, default="")
    scale = models.PositiveSmallIntegerField(default=0, help_text="Decimal places of a decimal column.")
    pi = models.CharField(max_length=16, choices=_words(words.Personal), default=words.Personal.NONE.value)
    grade = models.PositiveSmallIntegerField(default=1)
    grade_rule = models.CharField(max_length=40, blank=True, default="", help_text="The rule that raised the grade.")
    is_nullable = models.BooleanField(default=False)
    is_block_dimension = models.BooleanField(default=False)
    dictionary = models.JSONField(default=list, blank=True, help_text="The values of a category column.")
    # decimals as strings: bounds are compared as decimals, never as floats
    lower_bound = models.CharField(max_length=40, blank=True, default="")
    upper_bound = models.CharField(max_length=40, blank=True, default="")

    class Meta:
        ordering = ["version", "position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "name"], name="column_name_once"),
            models.CheckConstraint(condition=Q(grade__gte=1, grade__lte=4), name="column_grade"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def title(self) -> str:
        """The title in the language of the request."""
        return self.title_zh if _is_chinese() else (self.title_en or self.title_zh)


class Review(models.Model):
    """A reviewer's decision about a version, with a reason for each field that must change."""

    version = models.ForeignKey(ProductVersion, on_delete=models.PROTECT, related_name="reviews")
    reviewer = models.ForeignKey("members.User", on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=32)
    decision = models.CharField(max_length=16, choices=[(d.value, d.value) for d in ReviewDecision])
    reason = models.CharField(max_length=500)
    fields = models.JSONField(default=dict, blank=True)
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created", "-pk"]

    def __str__(self) -> str:
        return f"{self.decision} {self.version}"


class RegistrationCertificate(models.Model):
    """登记凭证: the exchange's signed statement that it registered a version of a product."""

    version = models.OneToOneField(ProductVersion, on_delete=models.PROTECT, related_name="certificate")
    number = models.CharField(max_length=24, unique=True)
    document = models.JSONField(help_text="The certificate itself, signed by the exchange.")
    record_digest = models.CharField(max_length=64)
    entry_ref = models.CharField(max_length=26)
    state = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in CertificateState], default=CertificateState.ACTIVE.value
    )
    issued_by = models.ForeignKey("members.User", on_delete=models.PROTECT, related_name="+")
    issued_at = models.DateTimeField()
    valid_until = models.DateTimeField()

    class Meta:
        ordering = ["-issued_at", "-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(record_digest__regex=_HEX64), name="certificate_digest"),
            models.CheckConstraint(condition=Q(valid_until__gt=models.F("issued_at")), name="certificate_validity"),
        ]

    def __str__(self) -> str:
        return self.number

    def get_absolute_url(self) -> str:
        return reverse("listings:certificate", args=[self.number])

    @property
    def is_valid(self) -> bool:
        """Whether the certificate counts at this moment."""
        return self.state == CertificateState.ACTIVE and self.valid_until > timezone.now()
