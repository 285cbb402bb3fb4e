"""Orders from the page, its keyboard, and what it does when its server goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.scene import ADMIN, READ, Ops, Scene, watching
from tests.integration.serving import until


@pytest.fixture(scope="module")
def open_ops(scene: Scene) -> Iterator[Ops]:
    """A second process without tokens, in a group of its own, so that it may die."""
    with watching(scene.learners, scene.turning, group=f"{scene.turning.name}.open") as found:
        yield found


def give(page: Page, reason: str, token: str | None = None) -> None:
    """Fill the dialog and send it."""
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill(reason)
    if token is not None:
        dialog.get_by_label("Token of scope admin").fill(token)
    dialog.locator("[type=submit]").click()


def test_learning_is_paused_and_resumed_from_the_page(tab: Open, ops: Ops, scene: Scene) -> None:
    """An order with reason and token reaches the learner, whose answer is shown; health tells the pause."""
    page = tab(scene.turning.name)
    page.get_by_role("button", name="Pause learning").click()
    give(page, "the labels look wrong")
    expect(page.get_by_role("dialog")).to_contain_text("Shard 0: done")
    page.get_by_role("button", name="Close").click()
    until(lambda: "Learning is paused" in page.locator("#health").inner_text(), "the page says so")
    assert ops.board(scene.turning.name)["detail"]["paused"] == 1
    page.get_by_role("button", name="Resume learning").click()
    give(page, "they are right again")
    expect(page.get_by_role("dialog")).to_contain_text("Shard 0: done")
    until(lambda: ops.board(scene.turning.name)["detail"]["paused"] == 0, "it learns again")


def test_another_model_is_promoted_and_rolled_back(tab: Open, scene: Scene) -> None:
    """Promote lets a challenger serve, with the person and the reason in its receipt; roll back undoes it."""
    page = tab(scene.hostile.name)  # there no evidence takes a promotion back
    before = "champion v1"
    expect(page.locator("#serving .big")).to_have_text(before)
    page.get_by_role("button", name="Promote bayes").click()
    page.get_by_role("dialog").get_by_label("Your name").fill("ann")
    give(page, "an experiment")
    expect(page.get_by_role("dialog")).to_contain_text("done")
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#serving .big")).to_contain_text("bayes")
    expect(page.locator("#serving .why")).to_contain_text(
        "ann (dashboard, token 1) ordered it: an experiment"
    )
    page.get_by_role("button", name="Roll back").click()
    give(page, "it was one")
    expect(page.get_by_role("dialog")).to_contain_text("done")
    expect(page.locator("#serving .big")).to_have_text(before)


def test_a_wrong_token_is_refused_visibly_and_forgotten(tab: Open, scene: Scene) -> None:
    """A token that may only read orders nothing: the page says why, and asks for another one."""
    page = tab(scene.turning.name, token=READ)
    page.get_by_role("button", name="Pause learning").click()
    give(page, "no")
    alert = page.get_by_role("dialog").get_by_role("alert")
    expect(alert).to_contain_text("Refused: the token is for read")
    assert page.evaluate("sessionStorage.token") is None
    give(page, "no", "a token that nobody has set")
    expect(alert).to_contain_text("Refused: no known bearer token was sent")
    give(page, "", ADMIN)
    expect(alert).to_contain_text("Say why")


def test_without_tokens_orders_are_off_and_the_remedy_is_named(
    tab: Open, open_ops: Ops, scene: Scene
) -> None:
    """On loopback without tokens everybody may read, and nobody may order anything."""
    page = tab(scene.turning.name, token=None, address=open_ops.address)
    page.get_by_role("button", name="Pause learning").click()
    expect(page.get_by_role("dialog")).to_contain_text("STREAM_APP_OPS__TOKENS_ADMIN")


def test_it_reconnects_after_its_server_was_gone(tab: Open, open_ops: Ops, scene: Scene) -> None:
    """When the process ends the page greys and says how old it is; when it is back the page lives again."""
    page = tab(scene.turning.name, token=None, address=open_ops.address)
    expect(page.locator("#link-text")).to_have_text("live")
    open_ops.end()
    expect(page.locator("#health-text")).to_contain_text("Disconnected: last data")
    assert "grayscale" in page.evaluate("getComputedStyle(document.getElementById('board')).filter")
    expect(page.get_by_role("status")).to_contain_text("Disconnected")
    open_ops.start()
    expect(page.locator("#link-text")).to_have_text("live", timeout=30_000)
    shown = page.locator("#figures .tile").nth(4).inner_text()
    until(lambda: page.locator("#figures .tile").nth(4).inner_text() != shown, "counts grow again")


def test_everything_is_reached_with_the_keyboard(tab: Open, scene: Scene) -> None:
    """Skip link, order, reason and escape need no pointer, and focus comes back where it was."""
    page = tab(scene.turning.name)
    expect(page.locator("#serving .big")).not_to_be_empty()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to health")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#health")).to_be_focused()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.action") == "pause":
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.wait_for_timeout(2_500)  # two updates: they must not take the focus
    assert page.evaluate("document.activeElement.dataset.action") == "pause"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
    page.keyboard.type("by hand")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("document.activeElement.dataset.action") == "pause"
