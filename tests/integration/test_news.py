"""The example of a web application: a page, a click, and a model that has learned from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from stream_app.embedded.ports import free_ports
from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine
from tests.integration.learners import Defined, Learners
from tests.integration.serving import Serves, learning, serving, until

NEWS = Defined("news", "examples.news:app", "", 1)
ITEM = re.compile(r'action="/click/(\w+)"')


@pytest.fixture
def learners(services: Endpoints, stream_app: CommandLine) -> Learners:
    """Processes on the session's servers."""
    return Learners(services, stream_app.directory)


@contextmanager
def browsing(learners: Learners, server: Serves) -> Iterator[httpx.Client]:
    """A reader with a cookie jar, on a website that asks this predictor."""
    (port,) = free_ports(0)
    process = learners.spawn("examples.news", "--port", str(port), "--predictor", server.address)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True, timeout=5.0) as reader:
            yield reader
    finally:
        process.terminate()
        process.wait(15)


def test_a_page_is_sorted_by_what_readers_clicked(learners: Learners) -> None:
    """It shows before there is a model; then one click is one true label, what was passed over is false."""
    done = learners.call("topics", "create", NEWS.target)
    assert done.code == 0, done.err
    with serving(learners, NEWS.target) as (server,), browsing(learners, server) as reader:
        page = until(lambda: reader.get("/").text, "a page without a model")
        assert "Unsorted" in page
        assert set(ITEM.findall(page)) == {"none"}
        with learning(learners, NEWS.target):
            server.ready()
            shown = ITEM.findall(reader.get("/").text)
            assert len(set(shown)) == 6
            assert reader.post(f"/click/{shown[2]}").url.path == "/"  # the next page, which ends the last one
            reader.post(f"/click/{shown[2]}")  # a second click on what is gone counts for nothing
            until(
                lambda: server.http.get("/v1/model").json()["shards"][0]["learned"] >= 6, "six labels learned"
            )
            assert "Sorted by" in reader.get("/").text
    labels = [(one["event_id"], one["label"]) for one in learners.committed(NEWS, "labels")]
    assert sorted(one for one in labels if one[0] in shown) == sorted(
        (event_id, event_id == shown[2]) for event_id in shown
    )
