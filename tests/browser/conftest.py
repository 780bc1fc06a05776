"""A real browser for the tests: one for the session, and pages that tell what went wrong in them.

Without a browser these tests are skipped; with ``NCF_REQUIRE_BROWSER=1`` they fail.
"""

import os
from urllib.parse import urlsplit

import pytest

from ncf_utils.screenshots import find_chromium, served

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def missing(reason):
    """Skip the test for want of something; fail it where a browser is required."""
    if os.environ.get("NCF_REQUIRE_BROWSER") == "1":
        pytest.fail(f"NCF_REQUIRE_BROWSER is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium():
    """The path of a Chromium: what ``CHROMIUM`` names, or the first one installed."""
    try:
        return find_chromium()
    except FileNotFoundError as error:
        missing(str(error))


@pytest.fixture(scope="session")
def browser(chromium):
    """A running browser, which finds no host but this machine."""
    from playwright.sync_api import sync_playwright

    # ~NOTFOUND answers every name and address; a container has no place for the sandbox.
    only_here = "MAP * ~NOTFOUND, " + ", ".join(f"EXCLUDE {host}" for host in LOOPBACK)
    options = [f"--host-resolver-rules={only_here}", "--no-sandbox", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        yield browser
        browser.close()


@pytest.fixture
def problems():
    """What went wrong in the test's pages, one line each; a test may remove what it expects."""
    return []


@pytest.fixture
def open_page(browser, problems):
    """Opens a page of its own context: ``open_page(viewport=..., color_scheme="dark")``.

    After the test `problems` must be empty: no error in the console, no exception, no answer of 400
    and above, and no request to another machine.
    """
    contexts = []

    def opened(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        watch(context, problems)
        return context.new_page()

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(open_page):
    """A page 1280 px wide that tells what went wrong in it, see `open_page`."""
    return open_page(viewport={"width": 1280, "height": 900})


def watch(context, problems):
    """Add a line to `problems` for each thing that goes wrong in the pages of a context."""

    def asked(address):
        url = urlsplit(address)
        if url.scheme not in ("data", "blob", "about", "file") and url.hostname not in LOOPBACK:
            problems.append(f"asks another machine: {address}")

    def answered(response):
        if response.status >= 400:
            problems.append(f"{response.status}: {response.url}")

    def told(message):
        # What was not found has a line of its own, with its address.
        if message.type == "error" and "Failed to load resource" not in message.text:
            problems.append(f"console, {message.page.url}: {message.text}")

    context.on("request", lambda request: asked(request.url))
    context.on("page", lambda page: page.on("websocket", lambda socket: asked(socket.url)))
    context.on("response", answered)
    context.on("console", told)
    context.on("weberror", lambda error: problems.append(f"exception: {error.error}"))


@pytest.fixture(scope="session")
def site(root):
    """The address of the built course site, served from this machine."""
    folder = root / "build" / "book"
    if not (folder / "index.html").is_file():
        missing("build/book holds no site: `make book` builds it")
    with served(folder) as address:
        yield address
