"""The front matter of a model card: the keys that the Hub reads.

They are those of https://github.com/huggingface/hub-docs/blob/main/modelcard.md. The figures stand
in `model-index`. The Hub's newer evaluation files (.eval_results/*.yaml) accept only tasks of a
data set that its owner has registered as a benchmark, and a task is a split of that data set
(https://huggingface.co/docs/hub/eval-results). Our test part is a split of our own, so it cannot be
one.

`co2_eq_emissions` is left out, since no energy was measured. `new_version` is for a person to add;
a later card keeps it.
"""

from huggingface_hub import EvalResult, ModelCardData

from model.evaluation.runs import at
from model.folder import TFLITE

# Keys that follow from the folder alone.
MEASURED = ("library_name", "metrics", "model-index")
# Metric type and name on the Hub, path in the metrics.
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


def front_matter(facts: dict, converted_from: str | None = None) -> dict:
    """The keys of the front matter, without those that have no value.

    facts: the variables of card.md.jinja (model/hub/card.py). converted_from: the model on the Hub
    whose weights `model.tflite` holds in quantised form.
    """
    config = facts["config"]
    start = str((config.get("weights") or {}).get("start", ""))
    base, relation = (start, "finetune") if "/" in start else (None, None)
    if converted_from:
        base, relation = converted_from, "quantized"
    taught = [facts["hub_dataset"]]
    for key in ("extra", "unlabelled"):
        taught += [each["dataset"] for each in facts["data"].get(key) or []]
    tags = ["keras", config["architecture"]]
    tags += ["dermatology", "dermatoscopy", "skin-lesion"] if facts["lesions"] else []
    tags += ["ham10000"] if facts["ham10000"] else []
    results = _results(facts)
    name = (facts["repo_id"] or facts["architecture"]).split("/")[-1]
    return ModelCardData(
        license=facts["licence"],
        library_name="litert" if TFLITE in facts["files"] else "keras",
        pipeline_tag="image-classification",
        base_model=base,
        base_model_relation=relation,
        datasets=list(dict.fromkeys(each for each in taught if each and "/" in each)) or None,
        tags=tags,
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=name if results else None,
        eval_results=results or None,
    ).to_dict()


def _results(facts):
    other = (facts["metrics"].get("data") or {}).get("dataset") or "unknown"
    own = facts["hub_dataset"] or facts["dataset"]
    return [
        EvalResult(
            task_type="image-classification",
            dataset_type=own if facts["own_part"] else other,
            # In words, as the split "test" of the Hub copy holds other images.
            dataset_name=facts["measured_on"],
            metric_type=kind,
            metric_name=name,
            metric_value=round(figure["value"], 4),
        )
        for kind, name, path in EVALUATION
        if (figure := at(facts.get("entry"), path)) and figure["value"] is not None
    ]
