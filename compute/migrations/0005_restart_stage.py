"""A stage of a run that an earlier release did not have: an engine is started again."""

from django.db import migrations, models

STAGES = [
    "admission",
    "dataset",
    "preflight",
    "waiting",
    "link",
    "load",
    "key",
    "match",
    "encrypt",
    "compute",
    "compare",
    "lookup",
    "score",
    "train",
    "share",
    "part",
    "run",
    "restart",
    "gate",
    "delivery",
]


class Migration(migrations.Migration):
    dependencies = [("compute", "0004_notices")]

    operations = [
        migrations.RemoveConstraint(model_name="taskevent", name="task_event_stage_known"),
        migrations.AddConstraint(
            model_name="taskevent",
            constraint=models.CheckConstraint(condition=models.Q(("stage__in", STAGES)), name="task_event_stage_known"),
        ),
    ]
