"""Texts of the API with the labels that a form shows instead of the names that are sent."""

import re
from collections.abc import Mapping

from django.forms import BaseForm


def labels_of(form: BaseForm) -> dict[str, str]:
    return {name: str(field.label or name.replace("_", " ").capitalize()) for name, field in form.fields.items()}


def in_labels(text: str, labels: Mapping[str, str]) -> str:
    """Return `text` with names as they are labelled: `end_date is required` becomes `End date is required`.

    A name that is a plain word is taken for one only where it begins the text or stands in quotes.
    """
    for name, label in labels.items():
        begin = "" if "_" in name else '(?:^|(?<="))'
        text = re.sub(rf'"{name}"|{begin}\b{name}\b(?!")', label.replace("\\", r"\\"), text)
    return text
