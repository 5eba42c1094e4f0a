"""When the chain was last seen."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ledger", "0004_shards")]

    operations = [
        migrations.AddField(
            model_name="chaindeployment",
            name="seen_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name="chainevent",
            index=models.Index(fields=["name", "id"], name="chain_event_name"),
        ),
    ]
