"""What axe, the accessibility checker, finds on the page: nothing."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.scene import Scene

PHONE = {"width": 360, "height": 740}
RULES = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}


def violations(page: Page) -> list[str]:
    """Each rule that is broken, and where."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [f"{one['id']}: {[node['html'][:150] for node in one['nodes'][:4]]}" for one in found]


@pytest.mark.parametrize(
    ("app", "how"),
    [
        ("turning", {}),
        ("turning", {"color_scheme": "dark"}),
        ("turning", {"viewport": PHONE}),
        ("hostile", {"color_scheme": "dark", "viewport": PHONE}),
        ("empty", {}),
        ("empty", {"color_scheme": "dark"}),
    ],
    ids=["light", "dark", "phone", "hostile", "empty", "empty-dark"],
)
def test_axe_finds_nothing(tab: Open, scene: Scene, app: str, how: dict[str, Any]) -> None:
    """No violation of WCAG 2.2 AA or of good practice, with everything unfolded."""
    name = {one.model: one.name for one in scene.all}[app]
    page = tab(name, **how)
    expect(page.locator("#health-text")).to_contain_text(" ")
    page.wait_for_timeout(1_500)
    for summary in page.locator("summary").all():
        summary.click()
    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_a_dialog(tab: Open, scene: Scene, scheme: str) -> None:
    """An order's form, and its refusal, are told to everybody."""
    page = tab(scene.turning.name, color_scheme=scheme)
    page.get_by_role("button", name="Pause learning").click()
    page.get_by_role("dialog").locator("[type=submit]").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("Say why")
    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_while_disconnected(tab: Open, scene: Scene, scheme: str) -> None:
    """Greyed is still readable."""
    page = tab(scene.turning.name, color_scheme=scheme)
    expect(page.locator("#serving .big")).not_to_be_empty()
    page.route("**/v1/board/**", lambda route: route.abort())
    page.get_by_role("button", name=scene.turning.name).click()
    expect(page.locator("#health-text")).to_contain_text("Disconnected", timeout=20_000)
    assert violations(page) == []
