"""What app.py does to the environment before Gradio sees it; that it starts so: test_app.py."""

import importlib.util
import os

import httpx
import pytest

from model.page.proxy import spare_own_address

NAMES = "http_proxy https_proxy all_proxy no_proxy".split()
OWN = "localhost,127.0.0.1,::1"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in NAMES:
        for each in (name, name.upper()):
            monkeypatch.setenv(each, "")  # so that it is restored
            monkeypatch.delenv(each)
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_the_users_own_exceptions_stay(environment, name):
    environment.setenv(name, "corp.example, localhost")
    spare_own_address()
    expected = "corp.example,localhost,127.0.0.1,::1"
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == expected
    spare_own_address()
    assert os.environ["no_proxy"] == expected


def test_an_address_of_the_users_own_is_spared_too(environment):
    environment.setenv("GRADIO_SERVER_NAME", "192.0.2.7")
    spare_own_address()
    assert os.environ["no_proxy"] == f"{OWN},192.0.2.7"


def test_proxies_of_the_system_stay_in_use(environment):
    """Windows and macOS: urllib asks the system only while the environment names nothing."""
    proxies = {"http": "http://proxy.example:1", "https": "proxy.example:2"}
    environment.setattr("urllib.request.getproxies", lambda: proxies)
    spare_own_address()
    assert os.environ["http_proxy"] == "http://proxy.example:1"
    assert os.environ["https_proxy"] == "proxy.example:2"


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:9", "socks://127.0.0.1:9/", "socks5h://h"])
def test_a_proxy_that_the_client_does_not_know_is_left_out(environment, capsys, address):
    if importlib.util.find_spec("socksio") is not None and address.startswith("socks5"):
        pytest.skip("socksio is installed")
    environment.setenv("ALL_PROXY", address)
    environment.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    spare_own_address()
    assert {name for name in NAMES if os.environ.get(name)} == {"http_proxy", "no_proxy"}
    assert "ALL_PROXY" not in os.environ
    assert capsys.readouterr().err == (
        "The proxy in ALL_PROXY is not used. It must begin with http:// or https://, or with "
        "socks5:// once the package socksio is installed.\n"
    )
    httpx.Client().close()
