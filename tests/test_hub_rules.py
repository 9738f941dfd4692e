"""The front matter of our pages against what the Hub accepts, and what a push meets otherwise."""

from pathlib import Path

import hub_rules
import jsonschema
import pytest
from huggingface_hub import HfApi
from test_hub import CONFIG, made

from model.folder import BUNDLED, COMPACT, write_checksums, write_json
from model.hub.pull import HubError
from model.hub.push import push

ROOT = Path(__file__).resolve().parents[1]
PAGES = [(ROOT, "space"), (BUNDLED, "model"), (COMPACT, "model")]


@pytest.mark.parametrize("folder, kind", PAGES, ids=lambda value: getattr(value, "name", value))
def test_our_pages_have_only_what_the_hub_documents(folder, kind):
    text = (folder / "README.md").read_text("utf-8")
    assert len(hub_rules.read(text)) > 5
    assert hub_rules.faults(text, kind) == []
    assert hub_rules.answer(text, kind) == ([], [])


def test_the_schema_itself_is_valid():
    jsonschema.Draft202012Validator.check_schema(hub_rules.SCHEMA)


RESULT = "{task: {type: a}, dataset: {type: a, name: b}, metrics: [{type: accuracy, value: 1}]}"
VALUELESS = RESULT.replace(", value: 1", "")


@pytest.mark.parametrize(
    "kind, front, named",
    [
        ("model", "license: cc-by-nc", "license"),
        ("model", "license: [mit, free]", "license[1]"),
        ("model", "pipeline_tag: skin-lesions", "pipeline_tag"),
        ("model", "base_model: runs/mine/best", "base_model"),
        ("model", "base_model_relation: distilled", "base_model_relation"),
        ("model", "new_version: 2", "new_version"),
        ("model", "datasets: [/data/ham10000]", "datasets[0]"),
        ("model", "language: english", "language"),
        ("model", "tags: lesion", "tags"),
        ("model", "co2_eq_emissions: {source: guess}", "emissions"),
        ("model", "licence: mit", "licence"),
        ("model", f"model-index: [{{results: [{RESULT}]}}]", "name"),
        ("model", f"model-index: [{{name: a, results: [{VALUELESS}]}}]", "value"),
        ("model", "model-index: [", "Invalid YAML"),
        ("model", "- license: mit", "object"),
        ("space", "colorFrom: teal", "colorFrom"),
        ("space", "sdk: streamlit", "sdk"),
        ("space", "sdk_version: 6.3", "sdk_version"),
        ("space", f"short_description: {61 * 'a'}", "short_description"),
        ("space", "custom_headers: {x-frame-options: deny}", "x-frame-options"),
        ("space", "custom_headers: {cross-origin-opener-policy: Same-Origin}", "opener"),
        ("space", "preload_from_hub: [ann/lesions config.json main]", "preload_from_hub[0]"),
        ("space", "preload_from_hub: ['ann/lesions config.json, a.b']", "preload_from_hub[0]"),
        ("space", "emoji: x", "emoji"),
        ("space", "port: 7860", "port"),
    ],
)
def test_a_slip_is_a_fault(kind, front, named):
    text = f"---\n{front}\n---\n# Page\n"
    errors, warnings = hub_rules.answer(text, kind)
    ignored = ("licence", "port")  # the Hub accepts keys that it does not know
    assert bool(errors + warnings) == (named not in ignored)
    found = errors if "YAML" in named else hub_rules.faults(text, kind)
    assert len(found) == 1 and named in found[0], found


@pytest.mark.parametrize(
    "front",
    [
        f"model-index: [{{name: a, results: [{RESULT}]}}]",
        "base_model: [ann/lesions, bob/lesions]\nbase_model_relation: merge",
        "new_version: ann/lesions-2",
        "co2_eq_emissions: {emissions: 12.5, training_type: fine-tuning}",
        "license: other\nlicense_name: mine\nlicense_link: LICENSE",
    ],
)
def test_what_the_hub_documents_is_no_fault(front):
    assert hub_rules.faults(f"---\n{front}\n---\n", "model") == []


def test_a_push_with_an_unknown_licence_is_refused_in_a_sentence(hub, tmp_path):
    """`huggingface_hub` asks the Hub about the card before it sends any file."""
    folder, ann = made(tmp_path / "run"), HfApi(endpoint=hub.url, token="hf_ann")
    write_json(folder / "config.json", CONFIG | {"data": CONFIG["data"] | {"licence": "free"}})
    write_checksums(folder)
    with pytest.raises(HubError, match="The Hub refuses this for ann/skin, with 400: license: "):
        push(folder, "ann/skin", api=ann)
    assert [commit.title for commit in hub.commits("ann/skin")] == ["initial commit"]
    assert not any("preupload" in request.path for request in hub.requests)
