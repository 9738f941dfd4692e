"""The licence of a data set, from its card."""

from pathlib import Path

import httpx2
import yaml
from huggingface_hub import DatasetCard


def licence_of(dataset: str) -> str | None:
    """The Hub's name of a data set's licence, such as "cc-by-nc-4.0", from the front matter of the
    README.md in its folder or on the Hub. None if there is no such card or it names no licence."""
    card = Path(dataset) / "README.md" if Path(dataset).exists() else dataset
    try:
        licence = DatasetCard.load(card, ignore_metadata_errors=True).data.get("license")
    except (OSError, ValueError, httpx2.HTTPError, yaml.YAMLError):
        return None
    return licence if isinstance(licence, str) else None
