import re

import pytest

from model.data.licence import licence_of
from model.folder import CONFIG, read_config, write_json
from model.hub.card import write_card


@pytest.mark.parametrize(
    "card, licence",
    [
        ("---\nlicense: cc-by-4.0\n---\nPictures.\n", "cc-by-4.0"),
        ("---\npretty_name: x\n---\n", None),
        ("---\nlicense: [a, b]\n---\n", None),
        ("---\nlicense: {\n---\n", None),
        ("Pictures.\n", None),
        (None, None),
    ],
)
def test_the_licence_is_that_in_the_card_of_the_data_set(tmp_path, card, licence):
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert licence_of(str(tmp_path)) == licence


@pytest.mark.parametrize(
    "licence, said", [("cc-by-4.0", False), ("cc-by-nc-4.0", True), (None, False)]
)
def test_the_card_of_a_model_names_the_licence_of_its_own_data(trained, tmp_path, licence, said):
    config = read_config(trained)
    config["data"] |= {"licence": licence, "dataset": "mine"}
    write_json(tmp_path / CONFIG, config)
    write_card(tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert ("commercial use" in text) == said
    assert re.findall(r"^license: (.*)$", text, re.MULTILINE) == ([licence] if licence else [])
