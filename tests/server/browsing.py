"""A small app served on a free port, and a browser that sees nothing else."""

import shutil
import threading
import time
from contextlib import contextmanager


@contextmanager
def served(app):
    """The app's address."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@contextmanager
def pages_of(address):
    """A function that opens the address at a width and a height; any request to another host fails at the end."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "no Chromium: scripts/browser-packages.sh installs it"
    elsewhere = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])

        def open_at(width, height):
            page = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB").new_page()
            page.on("request", lambda r: r.url.startswith((address, "data:")) or elsewhere.append(r.url))
            page.goto(address)
            return page

        yield open_at
        browser.close()
    assert elsewhere == []
