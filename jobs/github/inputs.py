"""The limits GitHub sets on the inputs of a dispatch, checked before it refuses them."""

import json
from collections.abc import Mapping
from typing import Any

MAX_INPUTS = 25
MAX_CHARACTERS = 65_535


def input_problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return what GitHub would refuse about `inputs` whatever the workflow, each as a sentence; empty where nothing."""
    problems = []
    if len(inputs) > MAX_INPUTS:
        problems.append(f"GitHub takes at most {MAX_INPUTS} inputs; these are {len(inputs)}.")
    # GitHub counts characters of the compact form, not bytes.
    size = len(json.dumps(dict(inputs), separators=(",", ":"), ensure_ascii=False))
    if size > MAX_CHARACTERS:
        problems.append(f"GitHub takes inputs of at most {MAX_CHARACTERS} characters in all; these are {size}.")
    return problems
