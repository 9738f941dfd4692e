"""The systems of P1 to P4 (model/hub/published.json): networks, heads, balancing and callbacks."""

import csv
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from made import drawing
from PIL import Image
from tiny_runs import arguments, history

import convert
import train
from model.data.batches import epoch_order
from model.evaluation.calibration import calibrated
from model.evaluation.runs import read_rows, row_of
from model.folder import ModelFolderError, UserError, read_config, write_json
from model.hub.card import PUBLISHED
from model.network import network as n
from model.network.network import with_evidence
from model.training import trainer
from model.training.callbacks import Checkpoint, Plateau, budgeted_rate
from model.training.recipe import parse
from results import systems

pytestmark = pytest.mark.filterwarnings("ignore")

PLAIN = ["cnn_16_32", "cnn_32_32_64", "cnn_192"]
SIZES = {
    "inception_resnet_v2": 299,
    "inception_v3": 299,
    "mobilenet": 224,
    "mobilenet_v2": 224,
    "efficientnet_b0": 224,
    "efficientnet_b1": 240,
    "cnn_16_32": 224,
    "cnn_32_32_64": 224,
    "cnn_192": 192,
}


@pytest.mark.parametrize("backbone", ["cnn_16_32", "cnn_32_32_64"])
def test_plain_networks_have_their_published_parameters(backbone):
    network = n.build_network(backbone, 224, 224, 2, head="published")
    (system,) = [each for each in PUBLISHED["systems"] if each["backbone"] == backbone]
    assert network.count_params() == system["parameters"]


def test_the_network_of_p3():
    network = n.build_network("cnn_192", 192, 192, 7, head="published", dropout=0.25)
    # 3x3 kernels and biases; three times halved, 192 pixels leave 24; 4 figures of each hidden
    # unit are those of its normalisation.
    convolutions = sum(9 * a * b + b for a, b in ((3, 32), (32, 64), (64, 128)))
    hidden = 24 * 24 * 128 * 128 + 128
    assert network.count_params() == convolutions + hidden + 4 * 128 + 128 * 7 + 7
    assert network.get_layer("dropout").rate == 0.25


def test_the_other_network_of_p3():
    network = n.build_network("mobilenet_v2", 192, 192, 7, head="published")
    backbone = n.backbone_of(network).count_params()
    assert network.count_params() == backbone + 1280 * 128 + 128 + 128 * 7 + 7


def test_defaults_are_the_published_sizes_and_heads():
    for backbone, size in SIZES.items():
        args = parse("A test.", ["--output", "x", "--backbone", backbone])
        assert (args.height, args.width) == (size, size)
        assert args.head == ("published" if backbone in PLAIN else "pooling")
        assert args.dropout == {"cnn_192": 0.25}.get(backbone, 0.0 if backbone in PLAIN else 0.3)
    args = parse(
        "A test.",
        ["--output", "x", "--backbone", "cnn_192", "--recipe", "paper", "--set", "dropout=0.4"],
    )
    assert (args.head, args.dropout) == ("published", 0.4)
    args = parse("A test.", ["--output", "x", "--backbone", "cnn_192", "--set", "head=pooling"])
    assert (args.head, args.dropout) == ("pooling", 0.3)


def test_a_backbone_without_a_head_of_its_own_says_so():
    with pytest.raises(n.NetworkError, match="has no head of its own"):
        n.build_network("mobilenet", 32, 32, 7, head="published")


@pytest.mark.parametrize(
    "backbone, classes",
    [
        ("cnn_32_32_64", 2),
        ("cnn_192", 7),
        pytest.param("mobilenet_v2", 7, marks=pytest.mark.nightly),
    ],
)
def test_evidence_of_a_published_head_is_that_of_its_logits(backbone, classes, tmp_path):
    keras.utils.set_random_seed(0)  # with some weights, the classes hardly differ
    network = n.build_network(backbone, 48, 64, classes, head="published")
    pixels = np.stack([np.asarray(drawing(dx, i, (64, 48))) for i, dx in enumerate(("mel", "df"))])
    features = keras.Model(network.input, network.get_layer("dropout").input)
    spread = float(features.predict(pixels, verbose=0).std())  # tiny in a deep untrained network
    random = np.random.default_rng(0)
    for name in ("hidden", "hidden_normalisation", "head"):
        if name in [layer.name for layer in network.layers]:
            layer = network.get_layer(name)  # biases and statistics start at rest; others show
            gain = 1 / spread if name == "hidden" and backbone not in PLAIN else 1
            layer.set_weights(
                [
                    random.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else w * gain
                    for w in layer.get_weights()
                ]
            )
    config = {
        "head": "published",
        "labels": [str(i) for i in range(classes)],
        "calibration": {"temperature": 2.0},
        "input": {"height": 48, "width": 64},
    }
    logits = n.predict_logits(network, pixels)
    assert np.ptp(logits, axis=1).min() > 0.1
    out = with_evidence(network, config).predict(pixels, verbose=0)
    assert out["evidence"].shape[1] > 1 and out["evidence"].shape[-1] == classes
    assert out["evidence"].std(axis=(1, 2))[:, -1].min() > 0.01
    np.testing.assert_allclose(out["evidence"].mean(axis=(1, 2)), logits, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(out["logits"], logits, rtol=1e-3, atol=1e-4)
    path = tmp_path / "model.tflite"
    path.write_bytes(convert.to_tflite(network, config, "none"))
    probabilities, *_ = convert.answers(path, pixels)
    np.testing.assert_allclose(probabilities, calibrated(logits, 2.0), atol=1e-4)
    # The hidden layer's kernel, the most of the network, stands in the file once.
    assert path.stat().st_size < 4 * network.count_params() * 1.3 + 30_000


def test_one_sigmoid_is_a_softmax_over_two():
    network = n.build_network("cnn_16_32", 24, 32, 2, head="published")
    logits = n.predict_logits(network, np.asarray(drawing("mel", 1, (32, 24)))[None])[0]
    assert network.get_layer("head").units == 1 and logits[0] == 0
    assert calibrated(logits[None])[0, 1] == pytest.approx(1 / (1 + np.exp(-logits[1])))


def test_every_class_is_brought_to_one_size():
    truth = np.repeat(np.arange(7), [5, 7, 16, 1, 16, 100, 2])
    order = epoch_order(truth, 7, "under-over", 1.0, np.random.default_rng(0))
    assert np.bincount(truth[order]).tolist() == [147 // 7] * 7
    drawn = order[truth[order] == 5]  # fewer than there are: none twice
    assert len(set(drawn)) == 21


def optimised(rows, scores, monitor="val_top_3"):
    """The learning rates of epochs with these scores, after a history `rows`."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    callback = Plateau(monitor, 0.1, rows)
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for score in scores:
        rates.append(float(model.optimizer.learning_rate.numpy()))
        callback.on_epoch_end(0, {monitor: score})
    return rates


def test_the_rate_halves_on_a_plateau_and_a_resumed_run_goes_on_as_it_would_have():
    scores = [0.5, 0.6, 0.6, 0.59, 0.7, 0.7, 0.7, 0.7, 0.7]
    whole = optimised([], scores)
    np.testing.assert_allclose(whole, [0.1] * 4 + [0.05] * 3 + [0.025] * 2, rtol=1e-6)
    for after in range(1, len(scores)):
        rows = [{"epoch": i + 1, "val_top_3": score} for i, score in enumerate(scores[:after])]
        np.testing.assert_allclose(optimised(rows, scores[after:]), whole[after:], rtol=1e-6)
    # Of a loss less is better, and 1e-5 is the floor.
    assert optimised([], [2.0, 1.0, 0.5], "val_loss") == pytest.approx([0.1] * 3)
    assert optimised([], [1.0] * 60)[-1] == pytest.approx(1e-5)


def spend(budget, lasts, warmup=0.0, state=None):
    """The learning rates of a run of so many minutes whose epochs last `lasts` seconds, and a
    second each to be saved; `state`: where it goes on from."""
    options = f"--output x --learning-rate 0.1 --set budget={budget} warmup_epochs={warmup}"
    settings = parse("A test.", options.split())
    checkpoint = Checkpoint("x", None, None, None, 8, budget=budget)
    checkpoint.state = state = checkpoint.state if state is None else state
    rates = []
    for seconds in lasts:
        epoch = len(state["rows"])
        rates.append(budgeted_rate(settings, epoch, state))
        state["spent"] += seconds + (epoch > 0)
        state["rows"].append({"seconds": seconds})
        if checkpoint.finished:
            break
    return rates


def test_a_budget_lowers_the_rate_with_the_time_and_ends_the_run_within_it():
    # The first epoch compiles the network, and says nothing about how long the others take.
    lasts = [30, 8, 8, 8, 8]
    rates = spend(1, lasts)
    cosine = [0.1 * (1 + np.cos(np.pi * at / 60)) / 2 for at in (0, 30, 43, 52)]
    np.testing.assert_allclose(rates, cosine, rtol=1e-6)
    assert spend(1, [61, 10]) == pytest.approx([0.1])
    assert spend(9, [1, 1, 1], warmup=2)[:2] == pytest.approx([0.025, 0.075], rel=1e-2)
    state = {"rows": [], "spent": 0.0}
    first = spend(1, lasts[:2], state=state)
    assert [*first, *spend(1, lasts[2:], state=state)] == rates
    for budget, finished in ((1, True), (1.2, False)):
        checkpoint = Checkpoint("x", None, None, None, 8, budget=budget)
        checkpoint.state = state
        assert checkpoint.finished is finished


def test_a_run_with_a_budget_is_recorded_and_can_be_repeated(made, tmp_path):
    folder = train.main(arguments(made, tmp_path / "run", "--set budget=0.01 passes=2"))
    training = read_config(folder)["training"]
    assert (training["budget"], training["passes"], training["epochs"]) == (0.01, 2, None)
    assert training["epochs_run"] == 1  # compiling takes longer
    places = f"--output {tmp_path / 'final'} --set cache={tmp_path / 'cache'}"
    final = train.main(f"--final {folder} {places}".split())
    assert history(final)["learning_rate"] == history(folder)["learning_rate"]


def test_a_final_run_has_its_epochs_and_no_budget(made, tmp_path):
    command = arguments(made, tmp_path / "run", "--epochs 3")
    folder = train.main(command)
    config = read_config(folder)
    config["training"] |= {"budget": 0.001, "epochs": None, "best_epoch": 3}
    write_json(folder / "config.json", config)
    places = f"--output {tmp_path / 'final'} --set cache={tmp_path / 'cache'}"
    final = train.main(f"--final {folder} {places}".split())
    assert history(final)["learning_rate"].tolist() == history(folder)["learning_rate"].tolist()


def test_a_budget_on_several_hosts_is_refused(made, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "spread", lambda devices: (0, 2))
    with pytest.raises(UserError, match="a budget needs one host"):
        train.main(arguments(made, tmp_path / "run", "--set budget=1"))


def test_a_run_whose_budget_is_spent_only_has_to_be_put_together(made, tmp_path, monkeypatch):
    command = arguments(made, tmp_path / "run", "--set budget=0.01")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train, "write_checksums", stop)
        train.main(command)
    folder = train.main([*command, "--resume"])
    assert read_config(folder)["training"]["epochs_run"] == 1


def test_the_settings_of_p4(made, tmp_path):
    base = [
        "--dataset",
        str(made),
        "--weights",
        "none",
        "--backbone",
        "cnn_16_32",
        "--size",
        "24x32",
        "--batch",
        "16",
        "--set",
        f"cache={tmp_path / 'cache'}",
    ]
    run = [
        *base,
        "--set",
        "schedule=plateau",
        "--set",
        "monitor=val_top_3",
        "--set",
        "balance=under-over",
        "--epochs",
        "5",
        "--learning-rate",
        "0.01",
        "--set",
        "average=0",
    ]
    folder = train.main([*run, "--output", str(tmp_path / "run")])
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    config = read_config(folder)
    scores = [float(row["val_top_3"]) for row in rows]
    assert config["training"]["best_epoch"] == 1 + int(np.argmax(scores))
    rates = [float(row["learning_rate"]) for row in rows]
    np.testing.assert_allclose(rates, 0.1 * np.array(optimised([], scores)), rtol=1e-4)
    # A final run has nothing to monitor and takes the rates of the selected one.
    final = train.main(
        [
            "--final",
            str(folder),
            "--output",
            str(tmp_path / "final"),
            "--set",
            f"cache={tmp_path / 'cache'}",
            "--dataset",
            str(made),
            "--weights",
            "none",
        ]
    )
    with open(final / "history.csv", newline="") as file:
        taken = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(taken, rates[: len(taken)], rtol=1e-4)
    with pytest.raises(n.NetworkError, match="says nothing about 2 labels"):
        train.main([*run, "--task", "binary", "--output", str(tmp_path / "two")])


@pytest.fixture(scope="module")
def table(trained, tmp_path_factory):
    """A table of runs with four systems, made of a real row with figures of its own."""
    base = row_of(trained) | {"test_images": 828, "weights": "none", "epochs": 3}
    rows = [base]  # not a system
    for i, (backbone, labels) in enumerate(
        (("MobileNet", 7), ("InceptionV3", 7), ("ResNet50V2", 7), ("CNN of Conv 16, 32", 2))
    ):
        rows.append(
            base
            | {
                "name": f"systems-{i}",
                "backbone": backbone,
                "labels": labels,
                "minutes": 2.5 + i,
                "test_top_1": 0.8123 + i / 100,
                "validation_top_1": 0.7 + i / 100,
                "tflite_ms": 3.5 + i,
                "parameters": 1_000_000 + i,
                "test_malignant_sensitivity": "",
                "test_roc_auc": 0.8765,
            }
        )
    path = tmp_path_factory.mktemp("table") / "runs.csv"
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(base))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_our_systems_stand_beside_the_published(table):
    text = systems.write_systems(table)
    assert (table.parent / "systems.md").read_text() == text
    other = next(line for line in text.splitlines() if line.startswith("| ResNet50V2 | 83.23"))
    assert other.endswith("| – | – | – | – |")  # a network that no source has
    top = next(line for line in text.splitlines() if line.startswith("| MobileNet | 81.23 (70.00)"))
    assert top.endswith("| 83.10 | 91.36 | 95.34 | P1 |")
    assert "0.66–0.85 | 0.51–0.69 | 0.55–0.77 |" in text  # MobileNet's precision, recall, F1
    assert "| 82.23 (71.00)" in text and "| 84.23 (73.00)" in text
    assert "| 93.00 | P2 |" in text and "| 2 | 1,000,003 | 6,427,745 |" in text
    assert "3 epochs, 2.5 to 5.5 minutes, start weights none" in text
    assert "Always answering nv would be right for 80.07%" in text  # 663 of 828
    assert "Always answering benign would be right for 89.98%" in text  # 745 of 828
    assert "Nafi'iyah" in text and "Abdukarimov" not in text
    picture = np.asarray(Image.open(table.parent / "accuracy_vs_ms.png").convert("RGB"))
    assert picture.shape[1] == 1200 and picture.std() > 10


def test_points_of_the_plot_are_the_rows(table):
    rows = read_rows(table, systems.PREFIX, systems.MAKER)
    assert [row["name"] for row in rows] == [f"systems-{i}" for i in range(4)]
    found = systems.point(rows[1])
    assert (found["name"], found["ms"]) == ("InceptionV3", 4.5)
    assert found["top_1"] == pytest.approx(0.8223) and found["low"] <= found["high"]
    assert systems.point(rows[1] | {"tflite_ms": ""})["ms"] is None
    assert systems.baselines(rows[:3])["top_1"] == pytest.approx(663 / 828)
    assert systems.baselines([rows[0] | {"test_images": "30"}]) == {}


def test_a_table_without_systems_says_what_to_do(tmp_path):
    (tmp_path / "runs.csv").write_text("name,labels\nmade,7\n")
    for name in ("runs.csv", "none.csv"):
        with pytest.raises(ModelFolderError, match="systems.sh first|cannot be read"):
            systems.write_systems(tmp_path / name)


def test_each_published_system_is_one_that_train_py_knows():
    for system in PUBLISHED["systems"]:
        assert system["backbone"] in n.BACKBONES and system["source"] in PUBLISHED["citations"]
    script = (Path(__file__).parents[1] / "results" / "systems.sh").read_text()
    listed = re.findall(r"\w+", script)
    assert {system["backbone"] for system in PUBLISHED["systems"]} <= set(listed)
