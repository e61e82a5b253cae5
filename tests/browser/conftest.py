"""A real JupyterLab in a real browser, without any request to the outside."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright

from tests.browser.driver import FLAGS, ROOT, TOKEN, Lab, Visit, find_chromium

SLOW = "[anywidget] Failed to initialize model."
"""anywidget reports this where a widget's code takes more than 2 s to load, as on a busy machine;
the widget is drawn all the same when it is there, and hears the kernel (`hear.js`)."""


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start a JupyterLab that shares no setting with the person who runs the tests."""
    home = tmp_path_factory.mktemp("jupyter")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    environment = {
        **os.environ,
        **{name: str(home / folder) for name, folder in folders.items()},
        "PYTHONPATH": str(ROOT),
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
        *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={ROOT}"),
    ]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=home
        )
        running = Lab(f"http://127.0.0.1:{port}", home / "settings")
        running.theme("JupyterLab Light")
        try:
            _wait_for(f"{running.url}/api?token={TOKEN}", server, home / "server.log")
            yield running
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, f"JupyterLab did not start:\n{log.read_text()[-2000:]}"
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab does not answer:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def launch(playwright: Playwright) -> Iterator[Callable[..., Browser]]:
    """Return a function that starts a browser with further flags."""
    started: list[Browser] = []

    def start(*flags: str) -> Browser:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), headless=True, args=[*FLAGS, *flags]
        )
        started.append(browser)
        return browser

    yield start
    for browser in started:
        browser.close()


@pytest.fixture(scope="session")
def browser(launch: Callable[..., Browser]) -> Browser:
    """Return the browser that most tests share."""
    return launch()


@pytest.fixture(scope="module")
def visit(lab: Lab) -> Iterator[Callable[..., Visit]]:
    """Return a function that opens a page; at the end no page may have gone outside."""
    visits: list[Visit] = []

    def start(browser: Browser, width: int = 1280, height: int = 1000) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": height}, accept_downloads=True
        )
        made = Visit(context.new_page(), lab)

        def on_request(request: object) -> None:
            url = str(getattr(request, "url", ""))
            if not url.startswith((lab.url, "data:", "blob:", "about:")):
                made.outside.append(url)

        made.page.on("request", on_request)
        made.page.on("websocket", lambda socket: socket.on("framereceived", made.on_frame))

        def on_error(error: object) -> None:
            if not any(text in str(error) for text in (SLOW, *made.known)):
                made.errors.append(str(error))

        made.page.on("pageerror", on_error)
        made.watch_dialogs()
        visits.append(made)
        return made

    yield start
    outside = [url for made in visits for url in made.outside]
    errors = [error for made in visits if not made.broken_on_purpose for error in made.errors]
    asked = [text for made in visits for text in made.asked]
    for made in visits:
        made.page.context.close()
    lab.stop_kernels()
    assert not outside, f"Asked for something outside localhost: {outside}"
    assert not errors, f"Errors in the page: {errors}"
    assert not asked, f"Dialogs that no test expects: {asked}"
