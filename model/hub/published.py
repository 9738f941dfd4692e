"""Published figures that our tables stand beside, as plain data, as they were printed.

Fractions (precision, recall, F1, accuracy) run from 0 to 1, times are in milliseconds. A figure
that a source does not give is absent, never guessed. Printed slips are kept: in the Keras row of
bcc, precision 0.59 and recall 0.62 make an F1 of 0.60, not 0.62.
"""

CITATIONS = {
    "P1": {
        "short": "Harahap and Zulkifli 2023",
        "text": "Harahap and Zulkifli, IJECBE 1(2), 136–146, 2023",
        "doi": "10.62146/ijecbe.v1i2.13",
    },
    "P2": {
        "short": "Nafi'iyah 2020",
        "text": (
            "Nafi'iyah, EasyChair preprint, 12 July 2020; as an article: Nafi'iyah and Yuniarti, "
            "A convolutional neural network for skin cancer classification, IJ-ICT 11(1), 76–84, "
            "2022"
        ),
        "doi": "10.11591/ijict.v11i1.pp76-84",
    },
    "P3": {
        "short": "Abdukarimov and Kazikhanov 2024",
        "text": "Abdukarimov and Kazikhanov, page running TensorFlow.js in the browser, 2024",
        "doi": None,
    },
    "P4": {
        "short": "Arevalo",
        "text": "Arevalo, prototype of a mobile app on MobileNetV2",
        "doi": None,
    },
    "ISIC2018": {
        "short": "ISIC 2018 challenge",
        "text": (
            "Codella et al., Skin lesion analysis toward melanoma detection 2018: a challenge "
            "hosted by the International Skin Imaging Collaboration, 2019; task 3"
        ),
        "doi": "10.48550/arXiv.1902.03368",
    },
    "HAM10000": {
        "short": "Tschandl et al. 2018",
        "text": (
            "Tschandl, Rosendahl and Kittler, The HAM10000 dataset, a large collection of "
            "multi-source dermatoscopic images of common pigmented skin lesions, Scientific Data "
            "5, 180161, 2018"
        ),
        "doi": "10.1038/sdata.2018.161",
    },
}

# The test part of P1: lesions of HAM10000 with one image, 15 % drawn stratified by diagnosis.
# Its printed recalls are fractions of exactly these numbers.
TEST_SUPPORT = {"akiec": 23, "bcc": 26, "bkl": 66, "df": 6, "mel": 34, "nv": 663, "vasc": 10}
TEST_IMAGES = 828

# P1, tables 1 and 2: InceptionResNetV2 on the 828 images, (precision, recall, F1).
KERAS = {
    "per_class": {
        "akiec": (0.53, 0.43, 0.48),
        "bcc": (0.59, 0.62, 0.62),
        "bkl": (0.60, 0.55, 0.57),
        "df": (0.56, 0.83, 0.67),
        "mel": (0.46, 0.62, 0.52),
        "nv": (0.96, 0.95, 0.95),
        "vasc": (1.00, 0.80, 0.89),
    },
    "macro": (0.67, 0.69, 0.67),
    "weighted": (0.88, 0.88, 0.88),
    "accuracy": 0.88,
}
TFLITE = {
    "per_class": {
        "akiec": (0.53, 0.43, 0.48),
        "bcc": (0.59, 0.65, 0.62),
        "bkl": (0.61, 0.52, 0.56),
        "df": (0.56, 0.83, 0.67),
        "mel": (0.45, 0.65, 0.53),
        "nv": (0.96, 0.95, 0.95),
        "vasc": (1.00, 0.80, 0.89),
    },
    "macro": (0.67, 0.69, 0.67),
    "weighted": (0.88, 0.88, 0.88),
    "accuracy": 0.88,
}
RUNTIMES = {"keras": KERAS, "tflite": TFLITE}

# P1: what was trained, and how training ended.
TRAINING = {
    "backbone": "inception_resnet_v2",
    "weights": "imagenet",
    "optimizer": "Adam",
    "learning_rate": 0.01,
    "epsilon": 0.1,
    "batch": 64,
    "epochs_at_most": 200,
    "patience": 20,
    "stopped_at_epoch": 24,
    "training_accuracy": 0.9363,
    "validation_accuracy": 0.8563,
    "tflite_megabytes": 50,
}

# P1, table 3: the share of the 828 images whose diagnosis is among the k most probable.
TOP_K = {
    "InceptionResNetV2": {"top_1": 0.87560, "top_2": 0.95048, "top_3": 0.97464},
    "MobileNet": {"top_1": 0.831, "top_2": 0.9136, "top_3": 0.9534},
}
TOP_K_COUNTS = {"top_1": 725, "top_2": 787, "top_3": 807}

# P1, table 4: other works on HAM10000; a pair is the range over the classes (lowest, highest).
OTHER_WORKS = [
    {"model": "MobileNet", "precision": (0.66, 0.85), "recall": (0.51, 0.69), "f1": (0.55, 0.77)},
    {"model": "MobileNetV2", "precision": (0.32, 0.71), "recall": (0.54, 0.81), "f1": (0.51, 0.80)},
    {"model": "InceptionV3", "precision": (0.37, 0.73), "recall": (0.52, 0.75), "f1": (0.50, 0.76)},
    {"model": "EfficientNetB0", "precision": 0.76, "recall": 0.68, "f1": 0.71, "accuracy": 0.91},
    {"model": "EfficientNetB1", "precision": 0.78, "recall": 0.73, "f1": 0.73, "accuracy": 0.89},
    {"model": "MobileNet, another work", "precision": 0.89, "recall": 0.83, "f1": 0.83},
]

# P1, table 5: milliseconds over 30 calls.
LATENCY_CALLS = 30
LATENCY_MS = {
    "classification, Streamlit": {"mean": 97, "std": 2, "min": 93, "max": 102},
    "classification, Hugging Face": {"mean": 116, "std": 5, "min": 113, "max": 138},
    "network latency, Streamlit": {"mean": 1.17, "std": 0.10, "min": 0.98, "max": 1.40},
    "network latency, Hugging Face": {"mean": 1.49, "std": 0.50, "min": 1.12, "max": 3.99},
}
# P1: the whole call, picture sent to result received.
WHOLE_CALL_MS = {"Streamlit": 132, "Hugging Face": 147}

# P2: 3,297 pictures, benign or malignant, 224x224; two CNNs with sigmoid output.
P2 = {
    "task": "benign or malignant",
    "input": (224, 224),
    "train": {"benign": 1440, "malignant": 1197},
    "test": {"benign": 360, "malignant": 300},
    "epochs": 10,
    "models": [
        {"layers": "Conv 16, 32, Dense 64", "parameters": 6_427_745, "accuracy": 0.93},
        {"layers": "Conv 32, 32, 64, Dense 64", "parameters": 2_797_665, "accuracy": 0.74},
    ],
}

# P3: HAM10000 at 192x192; its split is its own, so nothing of it compares with the 828 images.
P3 = {
    "input": (192, 192),
    "batch": 32,
    "epochs": 30,
    "patience": 8,
    "models": [
        {"model": "CNN of Conv 32, 64, 128, with augmentation", "accuracy": 0.65},
        {"model": "MobileNetV2, Dense 128", "validation_accuracy": 0.70, "test_accuracy": 0.72},
    ],
}

# The systems that train.py knows, each with what its source gives: the shares of TOP_K, the figures
# of OTHER_WORKS (of whole works: another split, its own budget), accuracy and parameters.
_WORKS = {
    work["model"]: {key: value for key, value in work.items() if key != "model"}
    for work in OTHER_WORKS
}
SYSTEMS = [
    {
        "backbone": "inception_resnet_v2",
        "labels": 7,
        "source": "P1",
        **TOP_K["InceptionResNetV2"],
        **dict(zip(("precision", "recall", "f1"), TFLITE["macro"])),
    },
    {
        "backbone": "mobilenet",
        "labels": 7,
        "source": "P1",
        **TOP_K["MobileNet"],
        **_WORKS["MobileNet"],
    },
    {
        "backbone": "mobilenet_v2",
        "labels": 7,
        "source": "P3",
        "accuracy": P3["models"][1]["test_accuracy"],
        **_WORKS["MobileNetV2"],
    },
    {"backbone": "inception_v3", "labels": 7, "source": "P1", **_WORKS["InceptionV3"]},
    {"backbone": "efficientnet_b0", "labels": 7, "source": "P1", **_WORKS["EfficientNetB0"]},
    {"backbone": "efficientnet_b1", "labels": 7, "source": "P1", **_WORKS["EfficientNetB1"]},
    {"backbone": "cnn_192", "labels": 7, "source": "P3", "accuracy": P3["models"][0]["accuracy"]},
    {
        "backbone": "cnn_16_32",
        "labels": 2,
        "source": "P2",
        "accuracy": P2["models"][0]["accuracy"],
        "parameters": P2["models"][0]["parameters"],
    },
    {
        "backbone": "cnn_32_32_64",
        "labels": 2,
        "source": "P2",
        "accuracy": P2["models"][1]["accuracy"],
        "parameters": P2["models"][1]["parameters"],
    },
]

# P4: MobileNetV2 on HAM10000 at 224x224; the cells of its confusion matrix that the source gives.
P4 = {
    "backbone": "mobilenet_v2",
    "input": (224, 224),
    "right": {"nv": 324, "mel": 105},
    "confused_with_melanoma": {"nv": 328, "bkl": 102, "bcc": 44, "akiec": 32},
}

# ISIC 2018 task 3, official test set: balanced multi-class accuracy over the same seven classes.
ISIC_2018 = {"winner": 0.885, "best on public data only": 0.856, "without any extra data": 0.845}

# InceptionResNetV2 at 299x299 (timm); CPU float32, batch 1, milliseconds.
INCEPTION_RESNET_V2 = {
    "parameters": 55_840_000,
    "gmac": 13.18,
    "cpu_ms": {"14-core i9": 46, "i7 laptop": 97},
}


def cite(key: str) -> str:
    """The citation `key` of CITATIONS as one line, with its DOI where it has one."""
    citation = CITATIONS[key]
    return citation["text"] + (f", doi:{citation['doi']}" if citation["doi"] else "")
