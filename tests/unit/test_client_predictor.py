"""Both HTTP clients against a real server that answers as a test has told it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import stamina.instrumentation

import stream_app.client
from stream_app.client import Answer, AsyncPredictorClient, PredictorClient, Problem, StaleAnswer
from stream_app.client.predictor import NotNow, Trial
from stream_app.errors import Refused, StreamAppError, Unreachable, UsageError
from tests.unit.told_server import TOKEN, Call, Server

AT_MS = 1_700_000_000_000
ANSWER = {
    "key": "k", "prediction": True, "cold": False, "model": {"name": "champion", "version": 2, "new": 1},
    "learned": 7, "shard": 0, "time_ms": 5, "model_age_ms": 1, "feature_age_ms": None, "entity_known": False,
    "stale": False, "stale_because": [], "fallback": False, "probabilities": {"true": 0.9}, "of later": 1,
}  # fmt: skip
PROBLEM = {"type": "urn:stream-app:x", "title": "t", "status": 0, "detail": "what is off", "fix": "do this"}
FEATURES = {"key": "k", "shard": 0, "features": {}, "feature_age_ms": 3, "entity_known": True, "stale": False}
GARBAGE = [b"<html>", b"[]", b"{}", b"\xff"]


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """The server, in a thread."""
    with Server().serving() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    """The same, having seen and being told nothing."""
    running.seen.clear()
    running.told.clear()
    return running


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def call(server: Server, request: pytest.FixtureRequest) -> Call:
    """Each client in turn."""
    return Call(server.url, awaited=request.param)


@pytest.fixture
def waits() -> Iterator[list[float]]:
    """The seconds before each further attempt."""
    found: list[float] = []
    stamina.instrumentation.set_on_retry_hooks([lambda details: found.append(details.wait_for)])
    yield found
    stamina.instrumentation.set_on_retry_hooks(None)


def test_an_answer_is_typed_and_may_tell_more_than_is_known(server: Server, call: Call) -> None:
    """Fields of a later server are passed over; what was left out of the call is left out of the request."""
    server.tell(200, ANSWER)
    answer = call("predict", "k", {"x": 1.5})
    assert isinstance(answer, Answer)
    assert (answer.prediction, answer.model.version, answer.probabilities) == (True, 2, {"true": 0.9})
    seen = server.seen[0]
    assert (seen.method, seen.path) == ("POST", "/v1/predict")
    assert seen.body == {"key": "k", "features": {"x": 1.5}, "record": False}
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["content-type"] == "application/json"


def test_bounds_and_headers_of_the_caller_are_sent(server: Server, call: Call) -> None:
    """Ages, times and a header of the caller's own arrive; the token stays beside it."""
    server.tell(200, ANSWER)
    bounds = {"max_model_age": "30s", "max_feature_age": "1h", "time": AT_MS}
    call("predict", "k", {}, how={"headers": {"X-Trace": "7"}}, **bounds)
    assert server.seen[0].body == {"key": "k", "features": {}, "record": False, **bounds}
    assert server.seen[0].headers["x-trace"] == "7"
    assert "authorization" in server.seen[0].headers


def test_a_recorded_event_has_one_id_in_all_attempts(server: Server, call: Call) -> None:
    """A repeat must not record twice: the id is made before the first attempt, or is the caller's."""
    server.tell(503, PROBLEM, retry_after="0")
    server.tell(200, ANSWER)
    call("predict", "k", {}, record=True)
    call("predict", "k", {}, record=True)
    call("predict", "k", {}, record=True, event_id="mine")
    first, repeated, second, mine = [seen.body["event_id"] for seen in server.seen]
    assert first == repeated != second
    assert (len(first), mine) == (32, "mine")


def test_a_batch_keeps_a_bad_rows_problem_in_its_place(server: Server, call: Call) -> None:
    """Answers and problems come in the order of the rows."""
    server.tell(200, {"rows": [ANSWER, {**PROBLEM, "status": 422, "reason": "bad-feature"}]})
    good, bad = call("predict_batch", [("k", {"x": 1}), ("l", {"x": 2})], max_model_age="1m", time=AT_MS)
    assert (type(good), type(bad)) == (Answer, Problem)
    assert bad.detail == "what is off"
    rows = [{"key": key, "features": {"x": x}, "time": AT_MS} for key, x in (("k", 1), ("l", 2))]
    assert server.seen[0].body == {"rows": rows, "max_model_age": "1m"}


@pytest.mark.parametrize("key", ["k", "a/b", "..", ".", "../../livez", "ä ?#%2F", "/"])
def test_any_key_can_stand_in_a_path(server: Server, call: Call, key: str) -> None:
    """A key is quoted as a whole: it reaches its route as it is, and names no other one."""
    server.tell(200, FEATURES)
    assert call("features", key).feature_age_ms == 3
    assert (server.seen[0].method, server.seen[0].path) == ("GET", f"/v1/features/{key}")
    assert server.seen[0].raw.count("/") == 3  # a proxy may make one of two slashes


def test_a_model_is_told_of_and_a_label_confirmed(server: Server, call: Call) -> None:
    """What each shard answers with is passed on; a label leaves as given, and only `written` is success."""
    server.tell(200, {"app": "a", "shards": [{"shard": 0, "version": None}]})
    server.tell(200, {"event_id": "e", "written": True})
    server.tell(200, {"event_id": "e", "written": False})
    assert call("model")["shards"] == [{"shard": 0, "version": None}]
    call("feedback", "k", "e", False, weight=0.5, time=AT_MS)
    assert server.seen[1].body == {"key": "k", "event_id": "e", "label": False, "weight": 0.5, "time": AT_MS}
    with pytest.raises(StreamAppError, match="written is not true"):
        call("feedback", "k", "e", True)


def test_ready_asks_once(server: Server, call: Call) -> None:
    """Who waits asks again: 503 and nobody there are False at once, a wrong address is an error."""
    server.tell(200, {"status": "ready"})
    server.tell(503, PROBLEM, retry_after="1")
    server.tell(404, PROBLEM)
    assert call("ready") is True
    assert call("ready") is False
    assert len(server.seen) == 2
    assert call("ready", how={"base_url": "http://127.0.0.1:1"}) is False
    with pytest.raises(UsageError):
        call("ready")


def test_a_stale_answer_brings_its_document(server: Server, call: Call) -> None:
    """409 is an error of its own, with the ages that were found."""
    server.tell(409, {**PROBLEM, "violated": ["model-age"], "model_age_ms": 9})
    with pytest.raises(StaleAnswer, match="what is off") as caught:
        call("predict", "k", {}, max_model_age="1ms")
    assert (caught.value.document["violated"], caught.value.remedy) == (["model-age"], "do this")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, UsageError), (401, Refused), (403, Refused), (404, UsageError), (413, UsageError),
        (422, UsageError), (500, StreamAppError), (307, StreamAppError),
    ],
)  # fmt: skip
def test_other_refusals_are_final(server: Server, call: Call, status: int, kind: type[Exception]) -> None:
    """Each refusal is the error that calls for the same reaction, with the problem's own words."""
    server.tell(status, PROBLEM)
    with pytest.raises(kind, match="what is off") as caught:
        call("predict", "k", {})
    assert type(caught.value) is kind
    assert str(caught.value) == "what is off. do this"
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_three_attempts(server: Server, call: Call, waits: list[float], status: int) -> None:
    """It is told to come back, and does so when the server said; then the call gives up."""
    server.tell(status, PROBLEM, retry_after="0")
    with pytest.raises(Unreachable, match="what is off"):
        call("feedback", "k", "e", True)
    assert (len(server.seen), waits) == (3, [0.0, 0.0])
    server.told.clear()
    server.tell(status, PROBLEM, retry_after="0")
    server.tell(200, ANSWER)
    assert call("predict", "k", {}).learned == 7


def test_a_named_wait_beyond_the_calls_time_is_not_begun(server: Server, call: Call) -> None:
    """Who has a second left does not wait for two: the caller hears of it at once."""
    server.tell(503, PROBLEM, retry_after="2")
    began_s = time.monotonic()
    with pytest.raises(Unreachable):
        call("predict", "k", {}, how={"within_s": 1.0})
    assert (len(server.seen), time.monotonic() - began_s < 1.0) == (1, True)


@pytest.mark.parametrize("after", ["soon", "-1", "nan", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_wait_in_other_words_is_our_own(server: Server, call: Call, waits: list[float], after: str) -> None:
    """What is no number of seconds is passed over, and the wait is our own."""
    server.tell(503, b"busy", retry_after=after)
    server.tell(200, ANSWER)
    call("predict", "k", {})
    assert 0.05 <= sum(waits) <= 0.1


def test_the_server_says_how_long() -> None:
    """Its seconds go before our own; other errors are never tried again."""
    trial = Trial(1.0, 10.0)
    assert trial.again(NotNow("", "", 3.0)) == 3.0
    assert trial.again(NotNow("", "")) is True
    assert trial.again(Refused("")) is False
    assert Trial(1.0, 0.0).again(NotNow("", "")) is False
    assert Trial(1.0, 0.0).left_s() > 0  # a wait below zero is none to a socket


def test_nobody_there_is_unreachable(call: Call, waits: list[float]) -> None:
    """A refused connection is tried three times, then says what to start."""
    with pytest.raises(Unreachable, match=r"nothing answers at http://127\.0\.0\.1:1") as caught:
        call("predict", "k", {}, how={"base_url": "http://127.0.0.1:1"})
    assert len(waits) == 2
    assert "stream-app serve" in caught.value.remedy


@pytest.mark.parametrize(("timeout_s", "within_s", "least"), [(0.05, 4.0, 3), (5.0, 0.1, 1)])
def test_silence_ends(server: Server, call: Call, timeout_s: float, within_s: float, least: int) -> None:
    """Each wait has its bound, and so have all of them together."""
    server.tell(200, ANSWER, after_s=1.0)
    began_s = time.monotonic()
    with pytest.raises(Unreachable, match="Timeout"):
        call("predict", "k", {}, how={"timeout_s": timeout_s, "within_s": within_s})
    assert time.monotonic() - began_s < 0.8
    assert len(server.seen) == least


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("predict", ("k", {})), ("predict_batch", ([("k", {})],)), ("features", ("k",)),
        ("feedback", ("k", "e", True)), ("ready", ()),
    ],
)  # fmt: skip
def test_something_else_answers(
    server: Server, call: Call, garbage: bytes, name: str, arguments: tuple[Any, ...]
) -> None:
    """200 with what is no answer is an error that points to the address, whatever was asked."""
    server.tell(200, garbage)
    with pytest.raises(StreamAppError, match=f"{server.url} answers /.* with something else") as caught:
        call(name, *arguments)
    assert type(caught.value) is StreamAppError
    assert "base_url" in caught.value.remedy
    assert len(server.seen) == 1


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_refusal_without_a_document_keeps_its_status(server: Server, call: Call, garbage: bytes) -> None:
    """A proxy's page is told by its number."""
    server.tell(502, garbage)
    with pytest.raises(StreamAppError, match="answers 502"):
        call("predict", "k", {})


@pytest.mark.parametrize(
    ("name", "arguments", "more"),
    [
        ("predict", ("", {}), {}), ("predict", ("k", {"x": float("nan")}), {}),
        ("predict", ("k", {"x": object()}), {}), ("predict", ("k", {}), {"event_id": ""}),
        ("predict", ("k", {}), {"time": datetime(2026, 1, 1)}),  # noqa: DTZ001  that is the fault
        ("predict_batch", ([("k", {}), ("", {})],), {}), ("predict_batch", ([("k", {})],), {"time": 1.5}),
        ("predict_batch", ([("k", {"x": float("inf")})],), {}), ("features", ("k" * 257,), {}),
        ("feedback", ("", "e", True), {}), ("feedback", ("k", "", True), {}),
        ("feedback", ("k", "e", float("nan")), {}), ("feedback", ("k", "e", True), {"time": "now"}),
    ],
)  # fmt: skip
def test_what_would_be_refused_does_not_leave(
    server: Server, call: Call, name: str, arguments: tuple[Any, ...], more: dict[str, Any]
) -> None:
    """Keys, ids, times and numbers are checked as a producer's are."""
    with pytest.raises(UsageError):
        call(name, *arguments, **more)
    assert server.seen == []


@pytest.mark.parametrize("make", [PredictorClient, AsyncPredictorClient])
def test_secrets_are_not_shown(make: Callable[..., Any]) -> None:
    """Neither the token nor a password in the address stands in a repr, nor in the client's attributes."""
    client = make("http://user:password@127.0.0.1:1/below", token=TOKEN)
    shown = f"{client!r} {client} {vars(client)}"
    assert "http://127.0.0.1:1/below" in shown
    assert not any(secret in shown for secret in (TOKEN, "password"))


@pytest.mark.parametrize("token", ["", " ", f"{TOKEN}\n", f"{TOKEN}é"])
def test_a_token_that_no_header_holds_is_refused_unshown(token: str) -> None:
    """As it is read from a file, say; httpx would refuse it later, in words that hold it."""
    with pytest.raises(UsageError, match="the token is not one line") as caught:
        PredictorClient(token=token)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "http://a:b", "/v1", ""])
def test_an_address_without_a_server_is_refused(url: str) -> None:
    """When the client is made, not at its first call."""
    with pytest.raises(UsageError, match="base_url"):
        PredictorClient(url)


def test_a_name_that_is_none_stays_none() -> None:
    """The late import answers for its own names only."""
    with pytest.raises(AttributeError, match=r"'stream_app\.client' has no attribute 'httpx'"):
        stream_app.client.httpx  # type: ignore[attr-defined]  # noqa: B018
