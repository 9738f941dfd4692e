"""What the Hub says about the front matter of a README.md, by hub_rules.json.

The Hub publishes no schema, but documents keys and values (hub_rules.json names the pages). Before
a commit with a README.md, `huggingface_hub` asks the Hub about it at /api/validate-yaml, where
hub_api.py answers with `answer`. The Hub accepts keys that it does not know; our own pages have
none (`faults`), since such a key is a slip.
"""

import json
import re
from pathlib import Path

import jsonschema
import yaml

SCHEMA = json.loads(Path(__file__).with_name("hub_rules.json").read_text("utf-8"))
KINDS = ("model", "space")


def read(text: str) -> dict | None:
    """The front matter of a page, or None if there is none. Raises yaml.YAMLError."""
    block = re.match(r"\s*---[\r\n]+(.*?)[\r\n]+---(\r\n|\n|$)", text, re.DOTALL)
    return yaml.safe_load(block[1]) if block else None


def faults(text: str, kind: str) -> list[str]:
    """What is wrong with the front matter of a page of a "model" or "space", keys that the Hub does
    not know included."""
    return [_said(error) for error in _errors(read(text), kind)]


def answer(text: str, kind: str) -> tuple[list[str], list[str]]:
    """The errors, for which the Hub refuses the page, and the warnings."""
    try:
        front = read(text)
    except yaml.YAMLError as error:
        return [f"Invalid YAML in README.md: {error}"], []
    if front is None:
        return [], ["empty or missing yaml metadata in repo card"]
    found = [e for e in _errors(front, kind) if e.path or e.validator != "additionalProperties"]
    warned = [error for error in found if list(error.path) == ["pipeline_tag"]]
    return [_said(error) for error in found if error not in warned], [*map(_said, warned)]


def _errors(front, kind):
    if kind not in KINDS:
        return []
    schema = {"$ref": f"#/$defs/{kind}", "$defs": SCHEMA["$defs"]}
    errors = jsonschema.Draft202012Validator(schema).iter_errors(front)
    return sorted(errors, key=lambda error: error.json_path)


def _said(error) -> str:
    error = jsonschema.exceptions.best_match([error])  # of several alternatives, the nearest
    return f"{error.json_path.removeprefix('$.')}: {error.message}"
