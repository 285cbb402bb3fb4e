"""The dashboard in real Chromium, on a real ops process, real Kafka and learners that learn meanwhile."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_plus

import httpx
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.scene import HOSTILE, READ, Ops, Scene
from tests.integration.serving import until


def number(page: Page, section: str, name: str) -> int:
    """A count that stands beside its name."""
    text = page.locator(f"#{section} div", has=page.get_by_text(name, exact=True)).last.inner_text()
    found = re.search(r"\d[\d,]*", text)
    assert found, text
    return int(found[0].replace(",", ""))


def test_it_tells_who_serves_since_when_why_and_how_good(tab: Open, ops: Ops, scene: Scene) -> None:
    """After a swap the page names the new model, the alarm, the evidence, and scores beside the baseline."""
    page = tab(scene.turning.name)
    board = ops.board(scene.turning.name)
    serving = next(model for model in board["models"] if model["status"] == "serving")
    name = f"{serving['slot']} v{serving['version']}"
    expect(page.locator("#serving .big")).to_have_text(name)
    expect(page.locator("#serving time").first).to_have_attribute("datetime", re.compile(r"\d{4}-\d\d-\d\dT"))
    expect(page.locator("#serving .why")).to_contain_text("The hunt began with an alarm: the detector")
    page.get_by_text("The whole receipt").click()
    expect(page.locator("#serving .why")).to_contain_text("Its e-value was")
    for line in ("Serving", "Best challenger", "Baseline"):
        expect(page.locator("#serving .versus tr", has_text=line).locator(".number")).to_have_text(
            re.compile(r"[01]\.\d{3}")
        )
    expect(page.locator("#scores figcaption")).to_contain_text(f"swap: {name} serves, at")
    expect(page.locator("#alerts")).to_contain_text("serves instead of champion v1")
    expect(page.locator("#lineage li", has_text=name).first).to_contain_text("serving")
    expect(page.locator("#scores canvas")).to_be_visible()


def test_labels_drift_costs_and_dead_letters_are_the_learners_own(tab: Open, ops: Ops, scene: Scene) -> None:
    """Label accounting and refusals stand as the learner counted them, each refusal with its fix."""
    page = tab(scene.turning.name)
    expect(page.locator("#labels")).to_contain_text("Matched and learned")
    before = ops.board(scene.turning.name)["detail"]
    shown = {
        name: number(page, "labels", text)
        for name, text in (("learned", "Matched and learned"), ("came", "Came"))
    }
    after = ops.board(scene.turning.name)["detail"]
    for name, found in shown.items():
        assert before["labels"][name] - 200 <= found <= after["labels"][name]
    expect(page.locator("#letters")).to_contain_text("label-unknown-class")
    expect(page.locator("#letters")).to_contain_text("Declare the right ones in Labels(classes=[...])")
    expect(page.locator("#costs")).to_contain_text("step")
    expect(page.locator("#drift")).to_contain_text("Features that moved most")
    expect(page.locator("#drift")).to_contain_text("Features that matter most")


def test_the_weights_of_a_blend_are_drawn_and_said(tab: Open, ops: Ops, scene: Scene) -> None:
    """In words too: what each model weighs, and how the blend stands beside the best of them."""
    until(lambda: ops.board(scene.blended.name)["regret"], "it has learned")
    page = tab(scene.blended.name)
    expect(page.locator("#serving .big")).to_contain_text("blend v")
    expect(page.locator("#weights canvas")).to_be_visible()
    said = page.locator("#weights figcaption")
    expect(said).to_contain_text(re.compile(r"(champion|tree) v\d has \d+"))
    expect(said).to_contain_text("of the weight. The answer is the mean of all, by these weights.")
    expect(said).to_contain_text(re.compile(r"Its rolling accuracy is [01]\.\d{3}; its best single model, "))
    expect(page.locator("#models th", has_text="Weight")).to_be_visible()
    page = tab(scene.turning.name)
    expect(page.locator("#serving .big")).to_be_visible()
    expect(page.locator("#weights")).to_be_hidden()


def test_it_lives(tab: Open, scene: Scene) -> None:
    """Counts grow by themselves, and the page says that it is live."""
    page = tab(scene.turning.name)
    expect(page.locator("#link-text")).to_have_text("live")
    first = number(page, "figures", "Predicted")
    until(lambda: number(page, "figures", "Predicted") > first + 20, "the count grows")


def test_an_application_without_events_says_how_to_begin(tab: Open, scene: Scene) -> None:
    """The empty state names the commands and a client, and shows no empty charts."""
    page = tab(scene.empty.name)
    expect(page.get_by_role("heading", name="No events yet: how to send the first")).to_be_visible()
    expect(page.locator("#empty")).to_contain_text(f'EventProducer("{scene.empty.name}"')
    expect(page.locator("#board")).to_be_hidden()


def test_strings_of_others_stay_text(tab: Open, ops: Ops, scene: Scene) -> None:
    """Feature names, classes, messages and runbooks that are markup are shown as they are, and do nothing."""
    until(lambda: ops.board(scene.hostile.name)["letters"], "the hostile letters are read")
    page = tab(scene.hostile.name)
    expect(page.locator("#alerts")).to_contain_text(HOSTILE)
    expect(page.locator("#letters")).to_contain_text("bad-feature")
    for summary in page.locator("summary").all():
        summary.click()
    expect(page.locator("#letters")).to_contain_text(HOSTILE)
    page.wait_for_timeout(1_500)
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main script, a[href^=javascript]").count() == 0


def test_a_narrow_phone_needs_no_horizontal_scroll(tab: Open, scene: Scene) -> None:
    """At 360 pixels nothing reaches over the edge, whatever its names."""
    for app in scene.all:
        page = tab(app.name, viewport={"width": 360, "height": 740})
        expect(page.locator("#health-text")).to_be_visible()
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_dark_is_the_systems_choice_and_mine(tab: Open, scene: Scene) -> None:
    """A dark system gives a dark page; the button overrules it, and a reload remembers."""
    page = tab(scene.turning.name, color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="Dark").click()
    light = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == light


def test_only_a_change_of_health_is_announced(tab: Open, scene: Scene) -> None:
    """The live region holds the health alone: what changes every second is not read aloud every second."""
    page = tab(scene.turning.name)
    expect(page.get_by_role("status")).not_to_be_empty()
    said = page.get_by_role("status").inner_text()
    page.wait_for_timeout(2_500)
    assert page.get_by_role("status").inner_text() == said
    assert page.locator("[aria-live], [role=status]").count() == 1


def test_reading_needs_a_token_where_one_is_set(tab: Open, scene: Scene) -> None:
    """Without a token the page asks for one, refuses a wrong one visibly, and keeps it in this tab alone."""
    page = tab(scene.turning.name, token=None)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Reading needs a token. Give one of STREAM_APP_OPS__TOKENS_READ")
    dialog.get_by_label("Token").fill("a token that nobody has set")
    dialog.get_by_role("button", name="Use it").click()
    expect(dialog).to_contain_text("no known bearer token was sent")
    dialog.get_by_label("Token").fill(READ)
    dialog.get_by_role("button", name="Use it").click()
    expect(page.locator("#serving .big")).not_to_be_empty()
    assert page.evaluate("JSON.stringify(localStorage)") == "{}"
    assert page.evaluate("sessionStorage.token") == READ


def test_an_address_may_bring_the_token_which_does_not_stay_in_it(tab: Open, scene: Scene) -> None:
    """The demo prints such an address; the address bar does not show the token for long."""
    page = tab(f"{scene.turning.name}&token={quote(READ)}", token=None)
    expect(page.locator("#serving .big")).not_to_be_empty()
    assert READ not in unquote_plus(page.url)
    assert f"app={scene.turning.name}" in page.url


def test_the_server_tells_browsers_to_trust_it_alone(ops: Ops) -> None:
    """Every answer has the policy; a script or a frame of others has no way in."""
    for path in ("/", "/assets/app.js", "/v1/boards", "/nothing"):
        headers = httpx.get(ops.address + path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; frame-ancestors 'none'")
        assert headers["x-content-type-options"] == "nosniff"
