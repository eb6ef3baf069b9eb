"""The categories every installation starts with (contract, section 13)."""

from django.db import migrations

DEFAULT_CATEGORIES = {
    "general": "General",
    "regression": "Regression",
    "dr-testing": "DR Testing",
    "feature-testing": "Feature Testing",
    "prod-canary": "Prod/Canary",
    "refund": "Refund",
    "backward-compatibility": "Backward Compatibility",
}


def add_default_categories(apps, schema_editor):
    category = apps.get_model("taxonomy", "JobCategory")
    for slug, name in DEFAULT_CATEGORIES.items():
        category.objects.get_or_create(slug=slug, defaults={"name": name})


class Migration(migrations.Migration):
    dependencies = [("taxonomy", "0001_categories_and_teams")]

    operations = [migrations.RunPython(add_default_categories, migrations.RunPython.noop)]
