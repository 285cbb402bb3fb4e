"""One scene and one browser for all tests of the page; each test has a tab of its own.

They end with this package: Playwright keeps an event loop running, in which no other test could run its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from stream_app.embedded.services import Endpoints
from tests.browser.chromium import chromium
from tests.browser.scene import ADMIN, READ, Ops, Scene, playing, watching
from tests.integration.learners import Learners
from tests.integration.serving import until

Open = Callable[..., Page]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="package")
def scene(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Learners that run."""
    with playing(Learners(services, tmp_path_factory.mktemp("scene"))) as found:
        yield found


@pytest.fixture(scope="package")
def ops(scene: Scene) -> Iterator[Ops]:
    """The process that shows all three applications, with tokens, once the first swap has been told."""
    with watching(scene.learners, *scene.all, tokens_admin=ADMIN, tokens_read=READ) as found:
        until(lambda: swapped(found, scene), "the turning concept brings a swap")
        yield found


def swapped(ops: Ops, scene: Scene) -> bool:
    """Whether another model serves than at first."""
    told = ops.board(scene.turning.name).get("models", [])
    return any(model["status"] == "serving" and model["version"] > 1 for model in told)


@pytest.fixture
def tab(browser: Browser, ops: Ops) -> Iterator[Open]:
    """Opens the page in a context of its own; what the console complains of fails the test."""
    contexts, faults, foreign = [], list[str](), list[str]()

    def visit(app: str = "", token: str | None = ADMIN, address: str = "", **how: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **how})
        contexts.append(context)
        context.set_default_timeout(15_000)
        if token is not None:
            context.add_init_script(f"sessionStorage.setItem('token', {token!r})")
        page = context.new_page()
        home = address or ops.address
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.extend([said.text] * (said.type == "error")))
        page.on("request", lambda asked: foreign.extend([asked.url] * (not asked.url.startswith(home))))
        page.goto(f"{home}/#app={app}")
        return page

    yield visit
    for context in contexts:
        context.close()
    expected = ("401", "403", "503", "ERR_", "net::")  # refusals and ends that the test itself brings about
    assert [fault for fault in faults if not any(part in fault for part in expected)] == []
    assert foreign == []
