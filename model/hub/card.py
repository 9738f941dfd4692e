"""README.md of a model folder: the model card that the Hub shows, made from the folder's own files.

    write_card("runs/NAME")                  after train.py, convert.py or evaluate.py
    write_card("runs/NAME", "USER/NAME")     before it goes to the Hub

The card stands between two comments. What a person writes before or after them stays, and so do
the keys of the front matter that are there already, but for those that follow the folder
(MEASURED). The same folder gives the same card, byte for byte.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from model.folder import (
    SPLIT,
    TFLITE,
    ModelFolderError,
    read_config,
    read_json,
    read_metrics,
    replacing,
)
from model.hub import tables
from model.hub.card_text import card_text
from model.labels import BINARY, LABELS

README = "README.md"
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"
MEASURED = ("library_name", "metrics", "model-index")

HAM10000 = "marmal88/skin_cancer"  # its public copy on the Hub
HAM10000_IMAGES, HAM10000_IDS = 10015, ("ISIC_0024306", "ISIC_0034320")

# The metric's name on the Hub, what the Hub shows, path in the metrics.
EVALUATION = (
    ("accuracy", "Top-1 accuracy", ("top_1",)),
    ("accuracy", "Top-2 accuracy", ("top_2",)),
    ("accuracy", "Top-3 accuracy", ("top_3",)),
    ("balanced_accuracy", "Balanced accuracy", ("balanced_accuracy",)),
    ("f1", "Macro F1", ("macro_f1",)),
    ("roc_auc", "Macro ROC AUC", ("roc_auc",)),
    ("recall", "Melanoma sensitivity", ("melanoma", "sensitivity")),
    ("recall", "Malignant sensitivity", ("malignant", "sensitivity")),
)


@dataclass(frozen=True)
class Facts:
    """A model folder, and what follows from its config.json, metrics.json and split.json."""

    folder: Path
    config: dict
    metrics: dict
    repo_id: str | None = None

    @property
    def lesions(self) -> bool:
        """Whether the labels are the seven diagnoses, or two that stand for them."""
        classes = (self.config.get("data") or {}).get("classes") or {}
        return self.config["labels"] == LABELS or sorted(sum(classes.values(), [])) == LABELS

    @property
    def binary(self) -> bool:
        """Whether it tells benign from malignant."""
        return self.config["labels"] == BINARY

    @property
    def architecture(self) -> str:
        return tables.ARCHITECTURES.get(self.config["architecture"], self.config["architecture"])

    @property
    def dataset(self) -> str:
        """As config.json has it: a Hub id, or the name of a local folder."""
        return str((self.config.get("data") or {}).get("dataset") or "unknown")

    @cached_property
    def ham10000(self) -> bool:
        """Whether it was trained on HAM10000: on its Hub copy, or on as many images of its ids."""
        if not self.lesions or self.dataset == HAM10000:
            return self.lesions
        images = (self.config.get("data") or {}).get("images")
        if images != HAM10000_IMAGES or not (self.folder / SPLIT).is_file():
            return False
        ids = [image for part in read_json(self.folder / SPLIT).values() for image in part]
        return bool(ids) and HAM10000_IDS[0] <= min(ids) and max(ids) <= HAM10000_IDS[1]

    @property
    def local_copy(self) -> bool:
        """Whether that was HAM10000 from this machine's disk."""
        return self.ham10000 and self.dataset != HAM10000

    @property
    def hub_dataset(self) -> str | None:
        return HAM10000 if self.ham10000 else self.dataset if "/" in self.dataset else None

    @property
    def title(self) -> str:
        """What the training images are called."""
        return "HAM10000" if self.ham10000 else self.dataset

    @property
    def runtimes(self) -> dict:
        """The measured entries of metrics.json, `keras` before `tflite`."""
        return {key: self.metrics[key] for key in tables.RUNTIMES if self.metrics.get(key)}

    @property
    def entry(self) -> dict | None:
        """What is served, as measured; Keras where TF Lite was not."""
        return list(self.runtimes.values())[-1] if self.runtimes else None

    @property
    def own_part(self) -> bool:
        """Whether a part of split.json was measured, and so the data that it was trained on."""
        return (self.metrics.get("data") or {}).get("part") in ("train", "validation", "test")

    @property
    def measured_on(self) -> str:
        """Such as "HAM10000, test part, 828 images"."""
        data = (self.metrics.get("data") or {}) | ({"dataset": self.title} if self.own_part else {})
        return tables.part(self.metrics | {"data": data})

    @property
    def compares(self) -> bool:
        return bool(self.entry) and tables.comparable(self.metrics)


def write_card(folder: Path, repo_id: str | None = None) -> None:
    """Write README.md of a model folder. SHA256SUMS, where there is one, is the caller's to renew.

    repo_id: the Hub repo where the folder is going, for its name and the lines of Python. Raises
    ModelFolderError where the folder is none, or a card edited by hand can't be read.
    """
    folder = Path(folder)
    facts = Facts(folder, read_config(folder), read_metrics(folder), repo_id)
    front, before, after = _front_matter(facts), "", "\n"
    if (folder / README).exists():
        kept, before, after = _edited(folder / README)
        front = {k: v for k, v in front.items() if k in MEASURED or k not in kept} | kept
    generated = "\n".join([BEGIN, *card_text(facts), END])
    # By way of ModelCardData, which puts the keys in the same order each time.
    card = f"---\n{ModelCardData(**front).to_yaml()}\n---\n{before}{generated}{after}"
    with replacing(folder / README) as beside:
        beside.write_bytes(card.encode())


def _edited(path):
    """Front matter, text before and text after the generated part of a card that is there."""
    try:
        card = ModelCard.load(path, ignore_metadata_errors=True)
    except (ValueError, yaml.YAMLError) as error:
        said = re.sub(r"\s+", " ", str(error))
        raise ModelFolderError(f"The front matter of {path} cannot be read: {said}") from None
    kept = {key: value for key, value in card.data.to_dict().items() if key not in MEASURED}
    begins, ends = card.text.count(BEGIN), card.text.count(END)
    if begins == ends == 0:
        return kept, card.text.rstrip() + "\n\n" if card.text.strip() else "", "\n"
    before, _, rest = card.text.partition(BEGIN)
    if begins != 1 or ends != 1 or END not in rest:
        raise ModelFolderError(
            f"{path} should hold one line {BEGIN} and after it one line {END}; what stands between "
            "them is replaced. Put them back, or remove both."
        )
    return kept, before, rest.partition(END)[2]


def _front_matter(facts):
    start = str((facts.config.get("weights") or {}).get("start", ""))
    converted = (facts.folder / TFLITE).is_file()
    tags = ["keras", *(["tflite"] if converted else []), facts.config["architecture"]]
    tags += ["dermatology", "dermatoscopy", "skin-lesion"] if facts.lesions else []
    tags += ["ham10000"] if facts.ham10000 else []
    results = _results(facts)
    return ModelCardData(
        license="cc-by-nc-4.0",
        library_name="litert" if converted else "keras",
        pipeline_tag="image-classification",
        base_model=start if "/" in start else None,
        datasets=[facts.hub_dataset] if facts.hub_dataset else None,
        tags=tags,
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=(facts.repo_id or facts.architecture).split("/")[-1] if results else None,
        eval_results=results or None,
    ).to_dict()


def _results(facts):
    if not facts.entry:
        return []
    other = (facts.metrics.get("data") or {}).get("dataset") or "unknown"
    return [
        EvalResult(
            task_type="image-classification",
            dataset_type=(facts.hub_dataset or facts.dataset) if facts.own_part else other,
            # In words, as the Hub copy's own split "test" holds other images.
            dataset_name=facts.measured_on,
            metric_type=kind,
            metric_name=name,
            metric_value=round(tables.at(facts.entry, path)["value"], 4),
        )
        for kind, name, path in EVALUATION
        if (tables.at(facts.entry, path) or {}).get("value") is not None
    ]
