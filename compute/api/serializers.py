"""How computations look in the API, and how requests to it are read."""

from dataclasses import asdict
from typing import Any

from rest_framework import serializers

from compute import endings, timeline
from compute.models import Computation, Result
from exchange.web.serializers import StrictSerializer


class RequestSerializer(StrictSerializer[dict[str, Any]]):
    """A buyer's signed request."""

    request = serializers.JSONField(help_text="A signed hengshu/computation-request/v1.")


class ReviewSerializer(StrictSerializer[dict[str, Any]]):
    """A reviewer's reason."""

    reason = serializers.CharField(max_length=500, trim_whitespace=True)


class ComputationSerializer(serializers.ModelSerializer[Computation]):
    """A computation in a list."""

    urn = serializers.CharField(read_only=True)
    contract = serializers.CharField(source="contract.urn", read_only=True)
    contract_number = serializers.CharField(source="contract.number", read_only=True)
    buyer = serializers.CharField(source="buyer.urn", read_only=True)
    end_party = serializers.CharField(source="end_party.urn", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Computation
        fields = (
            "ref",
            "urn",
            "contract",
            "contract_number",
            "buyer",
            "operation",
            "purpose",
            "state",
            "state_since",
            "deadline",
            "created",
            "policy_rule",
            "policy_version",
            "min_group",
            "end_code",
            "end_stage",
            "end_party",
        )
        read_only_fields = fields


class ComputationDetailSerializer(ComputationSerializer):
    """One computation with its request, plan, policy, progress and evidence."""

    parties = serializers.SerializerMethodField()
    timeline = serializers.SerializerMethodField()
    learned = serializers.SerializerMethodField()
    receipt_number = serializers.SerializerMethodField()
    estimated_seconds = serializers.SerializerMethodField(
        help_text="How long the run will take by the nodes' own estimates; null where none of them says it."
    )
    end = serializers.SerializerMethodField(help_text="Why there is no result: code, stage, party, fault, zh, en.")

    class Meta(ComputationSerializer.Meta):
        fields = (
            *ComputationSerializer.Meta.fields,
            "request",
            "request_digest",
            "policy",
            "plan",
            "review_reason",
            "parties",
            "timeline",
            "learned",
            "receipt_number",
            "estimated_seconds",
            "end",
        )  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]

    def get_parties(self, computation: Computation) -> list[dict[str, Any]]:
        return [asdict(party) for party in timeline.parties(computation)]

    def get_timeline(self, computation: Computation) -> list[dict[str, Any]]:
        return [asdict(step) | {"at": step.at.isoformat()} for step in timeline.steps(computation)]

    def get_learned(self, computation: Computation) -> list[dict[str, str]]:
        return timeline.learned(computation)

    def get_end(self, computation: Computation) -> dict[str, str] | None:
        ending = endings.of(computation)
        return None if ending is None else asdict(ending)

    def get_estimated_seconds(self, computation: Computation) -> int | None:
        return timeline.estimated_seconds(computation)

    def get_receipt_number(self, computation: Computation) -> str:
        found = Result.objects.filter(computation=computation).values_list("number", flat=True).first()
        return found or ""
