"""How the ledger looks in JSON."""

from rest_framework import serializers

from ledger.models import Anchor, Checkpoint, Entry


class EntrySerializer(serializers.ModelSerializer[Entry]):
    """An entry and its place in the log; never its payload."""

    urn = serializers.CharField(read_only=True)
    index = serializers.IntegerField(source="leaf.index", default=None, read_only=True)

    class Meta:
        model = Entry
        fields = ["ref", "urn", "kind", "subject", "issuer", "at", "commit", "index"]
        read_only_fields = fields


class CheckpointSerializer(serializers.ModelSerializer[Checkpoint]):
    """A signed checkpoint."""

    class Meta:
        model = Checkpoint
        fields = ["size", "root", "note", "created"]
        read_only_fields = fields


class AnchorSerializer(serializers.ModelSerializer[Anchor]):
    """A root that stands on the chain."""

    chain_id = serializers.IntegerField(source="deployment.chain_id", read_only=True)
    contract_address = serializers.CharField(source="deployment.contract_address", read_only=True)
    epoch = serializers.IntegerField(source="deployment.epoch", read_only=True)

    class Meta:
        model = Anchor
        fields = [
            "size", "root", "chain_id", "contract_address", "epoch", "block_number", "block_hash", "transaction_hash",
            "confirmed_at",
        ]  # fmt: skip
        read_only_fields = fields


class ProofSerializer(serializers.Serializer[dict[str, object]]):
    """An entry's leaf and its place under one checkpoint."""

    leaf = serializers.CharField()
    index = serializers.IntegerField()
    path = serializers.ListField(child=serializers.CharField())
    checkpoint = serializers.CharField()


class LogSerializer(serializers.Serializer[dict[str, object]]):
    """The log's figures."""

    size = serializers.IntegerField()
    anchored_size = serializers.IntegerField()
    checkpoint = CheckpointSerializer(allow_null=True)
    anchor = AnchorSerializer(allow_null=True)


class EntryQuerySerializer(serializers.Serializer[dict[str, str]]):
    """Which entries to list."""

    subject = serializers.CharField(required=False, max_length=128, default="")
    kind = serializers.CharField(required=False, max_length=64, default="")


class ConsistencyQuerySerializer(serializers.Serializer[dict[str, int]]):
    """Between which sizes to prove consistency."""

    old = serializers.IntegerField(min_value=1)
    new = serializers.IntegerField(min_value=1)


class ConsistencySerializer(serializers.Serializer[dict[str, object]]):
    """A consistency proof."""

    old = serializers.IntegerField()
    new = serializers.IntegerField()
    proof = serializers.ListField(child=serializers.CharField())
