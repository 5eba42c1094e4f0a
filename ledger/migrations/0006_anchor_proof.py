"""An anchor keeps what proves it offline."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ledger", "0005_last_look")]

    operations = [
        migrations.AddField(model_name="anchor", name="proof", field=models.JSONField(null=True)),
    ]
