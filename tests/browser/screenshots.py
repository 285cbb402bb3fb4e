"""`python -m tests.browser.screenshots DIRECTORY`: pictures of the dashboard of a real run, for documents."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from stream_app.embedded import services
from tests.browser.chromium import chromium
from tests.browser.conftest import swapped
from tests.browser.scene import ADMIN, Ops, playing, watching
from tests.integration.learners import Learners
from tests.integration.serving import until

DESK, PHONE = {"width": 1280, "height": 860}, {"width": 360, "height": 740}
SHOTS: dict[str, dict[str, Any]] = {
    "dashboard-light": {"viewport": DESK},
    "dashboard-dark": {"viewport": DESK, "color_scheme": "dark"},
    "dashboard-phone": {"viewport": PHONE},
}
PACE = 20.0  # events a second
AFTER_S = 45  # of calm after the swap, so that the chart shows both sides of it


def shoot(browser: Browser, ops: Ops, app: str, path: Path, **how: Any) -> None:
    """One picture of the whole page."""
    context = browser.new_context(**how)
    context.add_init_script(f"sessionStorage.setItem('token', {ADMIN!r})")
    page = context.new_page()
    page.goto(f"{ops.address}/#app={app}")
    expect(page.locator("#serving .big")).not_to_be_empty()
    page.wait_for_timeout(1_500)
    whole = "phone" not in path.name
    page.screenshot(path=path, full_page=whole)
    if path.stem.endswith("light"):
        page.get_by_text("The whole receipt").click()
        page.locator("#serving").screenshot(path=path.with_name("dashboard-why.png"))
        page.locator("#scores").screenshot(path=path.with_name("dashboard-swap.png"))
    context.close()


def main(directory: Path) -> None:
    """Real Kafka, learners, a swap, and the pictures."""
    with TemporaryDirectory(prefix="stream-app-shots-") as folder:
        root = Path(folder)
        found = services.up(root / "services")
        try:
            learners = Learners(found, root)
            learners.call.name = "shop"
            with (
                playing(learners, PACE, PACE) as scene,
                watching(learners, scene.turning, tokens_admin=ADMIN) as ops,
            ):
                for _ in range(4):  # minutes
                    with suppress(pytest.fail.Exception):
                        until(lambda: swapped(ops, scene), "a swap")
                        break
                time.sleep(AFTER_S)
                with chromium() as browser:
                    for name, how in SHOTS.items():
                        shoot(browser, ops, scene.turning.name, directory / f"{name}.png", **how)
        finally:
            services.down(root / "services")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
