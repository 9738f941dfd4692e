"""Chromium, and servers for it, as the tests in a browser share them."""

import contextlib
import shutil
import threading
import time

import uvicorn


@contextlib.contextmanager
def launched(*options: str):
    """Chromium, started with further options."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", *options]
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def serving(app, **settings):
    """The address at which an ASGI application is served; `settings` are those of uvicorn."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", **settings))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
