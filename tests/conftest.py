import os

import pytest
from hub_server import CLIENT_ENV, HubServer

os.environ.update(CLIENT_ENV)  # here, as huggingface_hub reads it when a test imports it


@pytest.fixture
def hub(tmp_path_factory):
    """A Hub on localhost with two users: ann (token hf_ann) and bob (hf_bob). See hub_server.py."""
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        server.tokens |= {"hf_ann": "ann", "hf_bob": "bob"}
        yield server
