"""Lets the page start behind a proxy, where Gradio asks its own address whether it is up."""

import importlib.util
import os
import sys
import urllib.request

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def spare_own_address() -> None:
    """Take the page's own address out of what the environment sends through a proxy.

    To be called before Gradio is imported, since Gradio makes an HTTP client at once. A proxy of a
    kind that the client does not know would end in an error, so its variable is removed, and a line
    says so.
    """
    proxies = urllib.request.getproxies()
    server = os.environ.get("GRADIO_SERVER_NAME", "").strip("[]")
    hosts = [host.strip() for host in (*proxies.get("no", "").split(","), *LOOPBACK, server)]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(dict.fromkeys(filter(None, hosts)))
    for scheme in ("http", "https", "all"):
        name, address = f"{scheme}_proxy", proxies.get(scheme)
        if address and _known(address):
            # Windows and macOS hold proxies elsewhere, which count only while no variable is set.
            os.environ[name] = address
        elif address:
            os.environ.pop(name, None)
            os.environ.pop(name.upper(), None)
            print(
                f"The proxy in {name.upper()} is not used. It must begin with http:// or https://, "
                "or with socks5:// once the package socksio is installed.",
                file=sys.stderr,
            )


def _known(address: str) -> bool:
    scheme, found, _ = address.partition("://")
    socks = importlib.util.find_spec("socksio") is not None
    return not found or scheme in ("http", "https") or socks and scheme in ("socks5", "socks5h")
