"""The routes, over a learner and a view in memory: what is answered, and every way not to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import orjson
import pytest
from river import dummy

from stream_app import features as f
from stream_app.adapters.signing import public_key
from stream_app.adapters.snapshot_store import sealed_opener
from stream_app.application import Application, Blend, Serving
from stream_app.errors import Unreachable, UsageError
from stream_app.models.explanations.explanation import logistic
from stream_app.predictor.champions import Champions
from stream_app.predictor.entities import EntityCache
from stream_app.predictor.feedback import Feedback
from stream_app.predictor.http import create_app
from stream_app.predictor.predictor import Predictor
from stream_app.web.guard import LARGEST_BODY, Guard
from tests.scenario.fake_outside import FINGERPRINT, PRIVATE, World
from tests.scenario.fake_view import Counted, FakeView
from tests.scenario.shard_driver import START_MS, application
from topics.envelope import COMMAND, EVENT
from topics.life import life_of

LIFE = life_of(FINGERPRINT["topics"])
PRINTS = {name: value for name, value in FINGERPRINT.items() if name != "topics"}
FEATURES = [f.count(window="10m"), f.mean("x", window="1h"), f.last("x")]


class Written(Feedback):
    """Keeps what would go to Kafka; `down` is a broker that does not answer."""

    def __init__(self) -> None:
        super().__init__("a", {})
        self.records: list[tuple[str, bytes, dict[str, Any], int | None]] = []
        self.down = False

    async def write(
        self, name: str, key: bytes, value: dict[str, Any], time_ms: int | None, shard: int | None = None
    ) -> None:
        if self.down:
            raise Unreachable("Kafka does not answer", "Send it again")
        self.records.append((name, key, value, time_ms))


class Served:
    """A shard that learned, what it published, and a client of the predictor over both."""

    def __init__(self, app: Application, guard: Guard, *, events: int = 40) -> None:
        self.world, self.view, self.counted, self.feedback = World(app), FakeView(), Counted(), Written()
        shard = self.world.shard()
        assert shard.live is not None
        self.shard, self.live = shard, shard.live
        for n in range(events):
            value = {"event_id": f"e{n}", "features": {"x": float(n % 7)}, "label": n % 2 == 0}
            self.world.feed(shard, EVENT, value, key=b"known")
        self.live.turn()
        self.told: list[str] = []
        opened = sealed_opener([public_key(PRIVATE)], app.modules)
        self.champions = Champions(
            app, PRINTS, self.view, opened, self.counted, lambda _shard, stamp, _why: self.told.append(stamp)
        )
        entities = EntityCache(self.view, 1, 100, self.counted, "now")
        entities.hears()
        self.entities = entities
        predictor = Predictor(app, self.champions, entities, self.feedback, self.world.clock, self.counted)
        self.routes = create_app(predictor, guard, lambda: (b"metrics", "text/plain"), list)
        self.loop = asyncio.Runner()
        self.host = "localhost"

    def publish(self, place: int = -1) -> None:
        """Let the predictor see a publication, and the entities as they are."""
        stamp, at_ms, sealed = self.world.shown[place]
        stamp = f"{stamp}:{life_of(self.world.topic_ids)}"
        self.view.published[0], self.view.models[0] = (stamp, at_ms), sealed
        state = self.live.processor.core.state
        self.view.blobs = {
            (0, key): orjson.dumps([*entity, "now"]) for key, entity in state.entities.young.items()
        }
        self.refresh()

    def refresh(self) -> None:
        """Take over what is published now."""

        async def taken() -> None:
            await self.champions.refresh()
            await self.champions.wait_until_adopted()

        self.loop.run(taken())

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The response to any request."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.routes, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{self.host}") as client:
                return await client.request(method, path, **request)

        return self.loop.run(send())

    def get(self, path: str, **request: Any) -> httpx.Response:
        """The response to a GET."""
        return self.ask("GET", path, **request)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """The response to a JSON body."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        return self.ask(
            "POST", path, content=content, headers={"Content-Type": "application/json", **headers}
        )

    def predict(self, **fields: Any) -> httpx.Response:
        """The response to one row."""
        return self.post("/v1/predict", {"key": "known", "features": {"x": 3.0}, **fields})


@pytest.fixture
def served() -> Served:
    """With entity features, its newest champion published."""
    served = Served(application(features=FEATURES), Guard({}, None))
    served.publish()
    return served


def problem(response: httpx.Response, status: int, kind: str) -> Mapping[str, Any]:
    """A problem document, whole."""
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["status"], body["type"]) == (status, status, f"urn:stream-app:{kind}")
    assert body["title"]
    assert body["detail"]
    assert body["fix"]
    return body


def test_a_strangers_name_for_loopback_is_answered_nothing() -> None:
    """Without tokens a page that points its own name here neither reads nor writes."""
    served = Served(application(), Guard({}, None), events=0)
    served.host = "evil.example"
    body = {"key": "k", "event_id": "e", "label": True}
    assert served.post("/v1/feedback", body).status_code == 400
    assert served.feedback.records == []
    guarded = Served(application(), Guard(TOKENS, None), events=0)
    guarded.host = "predictor.example"
    assert guarded.get("/livez").status_code == 200


def test_an_answer_is_the_learner_s_own_to_the_bit(served: Served) -> None:
    """The same row through the learner gives the same prediction and probabilities."""
    time_ms = served.world.clock.now_ms() + 5_000
    answer = served.predict(time=time_ms).json()
    value = {"event_id": "next", "features": {"x": 3.0}}
    record = served.world.record(EVENT, time_ms, value, key=b"known")
    served.live.offer(EVENT, [record])
    served.live.turn()
    committed = orjson.loads(served.world.predictions[-1])
    shared = ("prediction", "probabilities", "cold", "learned", "model", "shard", "key", "time_ms")
    assert {name: answer[name] for name in shared} == {name: committed[name] for name in shared}
    assert (answer["stale"], answer["fallback"], answer["entity_known"]) == (False, False, True)


def test_an_answer_says_why_where_that_is_asked(served: Served) -> None:
    """The terms add up to the answer's log-odds; the answer itself stays the same."""
    plain = served.predict(time=START_MS).json()
    answer = served.predict(time=START_MS, explain=2).json()
    why = answer.pop("explanation")
    assert answer == plain
    assert (why["method"], why["exact"], why["unit"], why["about"]) == ("linear", True, "log-odds", True)
    assert len(why["contributions"]) == 2
    total = why["base"] + why["rest"] + sum(one["contribution"] for one in why["contributions"])
    assert total == pytest.approx(why["sum"], abs=1e-9)
    assert logistic(why["sum"]) == pytest.approx(plain["probabilities"]["true"], abs=1e-9)
    whole = served.post("/v1/explain", {"key": "known", "features": {"x": 3.0}}).json()
    assert {one["feature"] for one in whole["explanation"]["contributions"]} <= {
        "x",
        "count_10m",
        "mean_x_1h",
        "last_x",
    }
    assert any("this entity's mean_x_1h" in one["reason"] for one in whole["explanation"]["contributions"])
    for wrong in (0, 51, "5"):
        assert served.predict(explain=wrong).status_code == 422


def test_ages_are_told(served: Served) -> None:
    """The model's since it was the newest, the entity's since its last event."""
    before = served.predict().json()
    served.world.clock.now_s += 7.0
    after = served.predict().json()
    assert after["model_age_ms"] - before["model_age_ms"] == 7_000
    assert after["feature_age_ms"] - before["feature_age_ms"] == 7_000


def test_a_request_overrides_what_is_known_of_the_entity(served: Served) -> None:
    """Under the name of an entity feature; what it leaves out comes from the store."""
    plain = served.predict().json()
    named = served.predict(features={"x": 3.0, "count_10m": 40}).json()
    other = served.predict(features={"x": 3.0, "count_10m": 4_000}).json()
    assert plain["probabilities"] == named["probabilities"] != other["probabilities"]


def test_an_unknown_entity_has_the_declared_defaults_and_is_counted(served: Served) -> None:
    """It is answered, and says so."""
    answer = served.predict(key="stranger").json()
    assert (answer["entity_known"], answer["feature_age_ms"]) == (False, None)
    assert served.counted.unknown == 1
    known = served.get("/v1/features/stranger").json()
    assert (known["features"], known["entity_known"]) == ({"count_10m": 0}, False)


def test_an_entity_past_its_time_to_live_is_unknown() -> None:
    """As it is to the learner, whenever Redis may drop it."""
    served = Served(application(features=FEATURES, ttl="1m"), Guard({}, None))
    served.publish()
    assert served.predict().json()["entity_known"]
    served.world.clock.now_s += 61.0
    assert not served.predict().json()["entity_known"]


def test_features_are_those_a_prediction_now_would_see(served: Served) -> None:
    """By name, with the entity's age; a key may hold a slash."""
    found = served.get("/v1/features/known").json()
    assert found["features"]["last_x"] == float(39 % 7)
    assert found["entity_known"]
    assert served.get("/v1/features/a/b").json()["key"] == "a/b"


def test_a_batch_answers_in_order_and_tells_of_a_bad_row_in_its_place(served: Served) -> None:
    """One bad row costs the others nothing."""
    rows = [{"key": "known", "features": {"x": x}} for x in (1.0, "one", 2.0)]
    answers = served.post("/v1/predict/batch", {"rows": rows}).json()["rows"]
    assert [row.get("status") for row in answers] == [None, 422, None]
    assert answers[1]["reason"] == "bad-feature"
    assert answers[0]["probabilities"] == served.predict(features={"x": 1.0}).json()["probabilities"]


def test_a_batch_tells_of_a_row_that_would_be_too_old_in_its_place(served: Served) -> None:
    """The rows of other entities are answered."""
    rows = [{"key": key, "features": {"x": 1.0}} for key in ("known", "stranger")]
    body = {"rows": rows, "max_feature_age": "9d"}
    answers = served.post("/v1/predict/batch", body).json()["rows"]
    assert [row.get("status") for row in answers] == [None, 409]
    assert answers[1]["violated"] == ["feature-age"]


BAD: dict[str, tuple[bytes, int, str]] = {
    "no JSON": (b"{", 422, "malformed"),
    "NaN": (b'{"key":"k","features":{"x":NaN}}', 422, "malformed"),
    "a lone surrogate": (b'{"key":"k","features":{"x":"\\ud800"}}', 422, "malformed"),
    "an integer of 30 digits": (b'{"key":"k","features":{"x":' + b"9" * 30 + b"}}", 422, "bad-row"),
    "no key": (b'{"features":{"x":1}}', 422, "malformed"),
    "an empty key": (b'{"key":"","features":{"x":1}}', 422, "malformed"),
    "a key beyond 256 bytes": (b'{"key":"' + "é".encode() * 200 + b'","features":{"x":1}}', 422, "malformed"),
    "a key with NUL": (b'{"key":"a\\u0000","features":{"x":1}}', 422, "malformed"),
    "a misspelt field": (b'{"key":"k","feature":{"x":1}}', 422, "malformed"),
    "a time in microseconds": (b'{"key":"k","features":{"x":1},"time":1700000000000000}', 422, "malformed"),
    "no duration": (b'{"key":"k","features":{"x":1},"max_model_age":"soon"}', 422, "malformed"),
    "an object for a feature": (b'{"key":"k","features":{"x":{}}}', 422, "bad-row"),
    "text for a number": (b'{"key":"k","features":{"x":"1.0"}}', 422, "bad-row"),
    "a list for an entity's feature": (b'{"key":"k","features":{"x":1,"last_x":[1]}}', 422, "bad-row"),
    "a number beyond 1e15": (b'{"key":"k","features":{"x":1e16}}', 422, "bad-row"),
    "a reserved name": (b'{"key":"k","features":{"__class__":1}}', 422, "bad-row"),
    "a body beyond 64 KiB": (b'{"key":"' + b"k" * LARGEST_BODY + b'"}', 413, "too-large"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_predicted_is_a_problem_that_says_why(served: Served, case: str) -> None:
    """Never a failure of the server."""
    body, status, kind = BAD[case]
    problem(served.post("/v1/predict", body), status, kind)


def test_a_body_that_does_not_tell_its_length_is_bounded_too(served: Served) -> None:
    """It is refused while it comes."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(LARGEST_BODY // 1_000 + 2):
            yield b" " * 1_000

    headers = {"Content-Type": "application/json"}
    problem(served.ask("POST", "/v1/predict", content=chunks(), headers=headers), 413, "too-large")


def test_the_page_of_routes_needs_no_other_host(served: Served) -> None:
    """Its scripts and styles come from this server, which has them."""
    page = served.get("/docs").text
    assert "http" not in page.replace("http-equiv", "")
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(sources) >= 3
    assert {served.get(source).status_code for source in sources} == {200}


def test_unknown_routes_and_methods_are_problems(served: Served) -> None:
    """As everything else that is not answered."""
    problem(served.get("/v2/predict"), 404, "not-found")
    problem(served.get("/v1/predict"), 405, "not-allowed")


def test_a_server_is_ready_once_every_shard_has_a_verified_model() -> None:
    """Before that it lives, and says what is missing."""
    served = Served(application(), Guard({}, None))
    assert served.get("/livez").status_code == 200
    for response in (served.get("/readyz"), served.predict()):
        assert problem(response, 503, "no-model")
        assert response.headers["retry-after"] == "1"
    assert served.get("/v1/model").json()["shards"] == [{"shard": 0, "version": None}]
    served.publish()
    assert served.get("/readyz").status_code == 200
    assert served.predict().status_code == 200


def test_the_champion_of_a_new_life_is_taken_over_though_its_numbers_are_smaller(served: Served) -> None:
    """Topics that were created again begin at batch 0; what is shown of it then is known."""
    assert served.get("/v1/model").json()["shards"][0]["seq"] == 40
    new = World(served.world.app)
    new.topic_ids = dict.fromkeys(new.topic_ids, "created again")
    live = new.shard({**FINGERPRINT, "topics": new.topic_ids}).live
    assert live is not None
    live.turn()
    live.turn()
    served.world = new
    served.publish()
    assert served.get("/v1/model").json()["shards"][0]["seq"] == 0
    asked = len(served.view.asked)
    served.publish()
    assert len(served.view.asked) == asked, "it is known, and only its age is new"


def test_a_refused_publication_leaves_the_model_before_and_is_told_once(served: Served) -> None:
    """Whatever stands in Redis."""
    before = served.predict().json()
    for stamp in (f"{batch}:{LIFE}" for batch in ("9:8", "9:8", "9:9", "9:10")):
        served.view.published[0], served.view.models[0] = (stamp, served.world.clock.now_ms()), b"rubbish"
        served.refresh()
    assert (served.told, served.counted.refusals) == ([f"9:8:{LIFE}"], [0, 0, 0])
    assert served.predict().json()["probabilities"] == before["probabilities"]


def test_a_model_that_cannot_be_read_holds_up_no_other_and_no_entity(served: Served) -> None:
    """The store of one shard's large model is away: Redis is not."""
    view, champions = served.view, served.champions
    champions.current, champions.at_ms = [None, None], [0, 0]
    champions.refused, champions.why = ["", ""], ["", ""]
    view.published, view.models[1] = [view.published[0], view.published[0]], b"rubbish"
    view.store_down = {0}
    served.refresh()
    assert (served.told, served.counted.refusals) == ([f"0:40:{LIFE}"], [1])


def test_a_store_that_hangs_holds_up_no_other_shard_and_not_the_news_of_redis(served: Served) -> None:
    """Each refresh ends; the shard that waits is asked for once."""
    view, champions = served.view, served.champions
    champions.current, champions.at_ms = [None, None], [0, 0]
    champions.refused, champions.why = ["", ""], ["", ""]
    view.published, view.models[1] = [view.published[0], view.published[0]], b"rubbish"

    async def case() -> None:
        view.hangs = {0: asyncio.Event()}
        for _ in range(3):
            async with asyncio.timeout(5):
                await champions.refresh()
                if 1 in champions.taking:
                    await champions.taking[1]
        assert (served.counted.refusals, view.asked) == ([1], [0, 1])
        view.hangs[0].set()
        await champions.wait_until_adopted()
        assert champions.current[0] is not None

    view.asked.clear()
    served.loop.run(case())


def test_an_older_publication_is_passed_over(served: Served) -> None:
    """A Redis that was restored from a copy shows one; the version never goes back."""
    learned = served.predict().json()["learned"]
    served.publish(0)
    assert served.predict().json()["learned"] == learned > 0


@pytest.mark.parametrize("where", ["request", "definition"])
def test_a_breach_of_freshness_is_refused(where: str) -> None:
    """With what was asked and what there is."""
    serving = Serving(max_model_age="1m") if where == "definition" else Serving()
    served = Served(application(features=FEATURES, serving=serving), Guard({}, None))
    served.publish()
    asked = {} if where == "definition" else {"max_model_age": "1m"}
    served.world.clock.now_s += 1.0
    found = problem(served.predict(**asked, max_feature_age="1ms"), 409, "stale")
    assert found["violated"] == ["feature-age"]
    assert "larger bound" in found["fix"]
    unknown = problem(served.predict(**asked, key="n", max_feature_age="9d"), 409, "stale")
    assert "event of this entity" in unknown["fix"]
    served.world.clock.now_s += 60.0
    found = problem(served.predict(**asked), 409, "stale")
    assert (found["violated"], found["model_age_ms"] > 60_000) == (["model-age"], True)


def test_a_declared_fallback_answers_instead() -> None:
    """And says that it does, and why."""
    serving = Serving(max_feature_age="1s", fallback=False)
    served = Served(application(features=FEATURES, serving=serving), Guard({}, None))
    served.publish()
    served.world.clock.now_s += 2.0
    answer = served.predict().json()
    assert (answer["prediction"], answer["fallback"], answer["stale_because"]) == (
        False,
        True,
        ["feature-age"],
    )
    assert "probabilities" not in answer


def test_without_a_bound_an_old_model_answers_and_is_marked(served: Served) -> None:
    """Half a minute without word from a learner."""
    served.world.clock.now_s += 31.0
    answer = served.predict().json()
    assert (answer["stale"], answer["stale_because"]) == (True, ["model-age"])
    assert served.counted.stale == 1


def test_with_redis_away_the_last_copy_answers_and_is_marked(served: Served) -> None:
    """Known or not."""
    before = served.predict().json()
    served.view.down = True
    served.entities.lost()
    for key in ("known", "stranger"):
        answer = served.predict(key=key).json()
        assert answer["stale_because"] == ["view-unreachable"]
    assert served.predict().json()["probabilities"] == before["probabilities"]


def test_an_application_without_features_says_when_its_model_may_be_old() -> None:
    """Nobody can tell of a newer one while Redis does not answer."""
    served = Served(application(), Guard({}, None))
    served.publish()
    assert not served.predict().json()["stale"]
    served.entities.reachable(False)
    assert served.predict().json()["stale_because"] == ["view-unreachable"]


def test_a_recorded_row_becomes_an_event(served: Served) -> None:
    """Under the id that the answer gives, so that feedback can name it."""
    answer = served.predict(record=True, time=START_MS).json()
    ((name, key, value, time_ms),) = served.feedback.records
    assert answer["recorded"]
    assert (name, key, time_ms) == ("events", b"known", START_MS)
    assert value == {"v": 1, "event_id": answer["event_id"], "features": {"x": 3.0}}


def test_a_row_that_no_learner_would_take_is_not_recorded(served: Served) -> None:
    """An event may not name an entity's feature."""
    problem(served.predict(record=True, features={"x": 1.0, "count_10m": 4}), 422, "bad-row")
    assert served.feedback.records == []


def test_without_kafka_predictions_go_on_and_feedback_says_when_to_come_back(served: Served) -> None:
    """What was not recorded says so."""
    served.feedback.down = True
    assert served.predict(record=True).json()["recorded"] is False
    response = served.post("/v1/feedback", {"key": "known", "event_id": "e", "label": True})
    problem(response, 503, "unavailable")
    assert response.headers["retry-after"] == "1"


def test_feedback_is_a_label_under_the_event_s_key(served: Served) -> None:
    """With its weight and time, if given."""
    body = {"key": "known", "event_id": "e1", "label": "yes", "weight": 2, "time": START_MS}
    assert served.post("/v1/feedback", body).json() == {"event_id": "e1", "written": True}
    value = {"v": 1, "event_id": "e1", "label": "yes", "weight": 2.0}
    assert served.feedback.records == [("labels", b"known", value, START_MS)]


@pytest.mark.parametrize("label", [None, {"a": 1}, [1], 0.5])
def test_a_label_that_no_learner_takes_is_not_written(served: Served, label: Any) -> None:
    """It could only become a dead letter later; here its sender still listens."""
    found = problem(
        served.post("/v1/feedback", {"key": "k", "event_id": "e", "label": label}), 422, "malformed"
    )
    assert found["reason"] == "label-bad"
    assert served.feedback.records == []


TOKENS = {"read": ["r" * 16], "feedback": ["f" * 16], "admin": ["a" * 16]}


@pytest.fixture
def guarded() -> Served:
    """A predictor with tokens."""
    served = Served(application(), Guard(TOKENS, None))
    served.publish()
    return served


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic " + "r" * 16, "Bearer", "r" * 16, "Bearer é"])
def test_without_a_known_token_nothing_is_told(guarded: Served, header: str) -> None:
    """But whether the server lives."""
    raw = header.encode()
    routes = ("/v1/model", "/v1/features/known")
    for route in routes:
        response = guarded.get(route, headers={b"Authorization": raw} if raw else {})
        problem(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
    assert guarded.get("/livez").status_code == 200


def test_a_token_opens_what_it_is_for(guarded: Served) -> None:
    """Reading does not write; writing may read."""
    body = {"key": "known", "event_id": "e", "label": True}
    read, feedback = ({"Authorization": f"Bearer {letter * 16}"} for letter in "rf")
    assert guarded.post("/v1/predict", {"key": "k", "features": {"x": 1}}, **read).status_code == 200
    problem(guarded.post("/v1/feedback", body, **read), 403, "forbidden")
    recording = {"key": "k", "features": {"x": 1}, "record": True}
    problem(guarded.post("/v1/predict", recording, **read), 403, "forbidden")
    assert guarded.post("/v1/feedback", body, **feedback).status_code == 200
    assert guarded.get("/v1/model", headers=feedback).status_code == 200


def test_a_token_has_its_rate() -> None:
    """Beyond it the answer is 429 with the time to wait; another token has its own."""
    served = Served(application(), Guard({"read": ["r" * 16, "s" * 16]}, 3))
    served.publish()
    one, other = ({"Authorization": f"Bearer {letter * 16}"} for letter in "rs")
    statuses = [served.get("/v1/model", headers=one).status_code for _ in range(8)]
    assert statuses[:3] == [200] * 3
    assert 429 in statuses
    response = next(r for _ in range(8) if (r := served.get("/v1/model", headers=one)).status_code == 429)
    assert problem(response, 429, "too-many-requests")
    assert response.headers["retry-after"] == "1"
    assert served.get("/v1/model", headers=other).status_code == 200


def test_a_fault_of_ours_tells_no_more_than_that(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """What went wrong stands in the log alone."""

    async def broken(*_: Any) -> Any:
        raise KeyError("a secret")

    monkeypatch.setattr(served.entities, "many", broken)
    response = served.predict()
    problem(response, 500, "internal")
    assert "secret" not in response.text


def test_a_label_that_kafka_cannot_carry_is_the_sender_s_fault(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the client's own checks refuse is 422, with the fix."""

    async def refuse(*_: Any) -> Any:
        raise UsageError("too long", "Shorten it")

    monkeypatch.setattr(served.feedback, "write", refuse)
    found = problem(served.post("/v1/feedback", {"key": "k", "event_id": "e", "label": 1}), 422, "malformed")
    assert found["fix"] == "Shorten it"


def test_what_could_not_be_answered_is_counted(served: Served) -> None:
    """By row in a batch, by status where the whole request ends with a problem, also before any route."""
    good = {"key": "k", "features": {"x": 1.0}}
    rows = [good, {"key": "k", "features": {"x": "one"}}]
    served.ask("POST", "/v1/predict/batch", json={"rows": rows})
    assert (served.counted.bad, served.counted.broken, served.counted.problems) == (1, 0, [])
    served.world.clock.now_s += 3_600
    served.ask("POST", "/v1/predict/batch", json={"rows": [good], "max_model_age": "1s"})
    assert (served.counted.bad, served.counted.broken, served.counted.problems) == (1, 1, [])
    served.ask("POST", "/v1/predict", json={"features": {}})
    served.ask("POST", "/v1/predict", content=b" " * 10_000_000)
    assert served.counted.problems == [422, 413]


def test_the_age_of_an_entitys_features_is_told(served: Served) -> None:
    """Seconds since its last event; nothing of one that is not known."""
    served.predict(key="nobody knows this one")
    served.predict()
    served.world.clock.now_s += 90
    served.predict()
    unknown, before, after = served.counted.ages
    assert unknown is None
    assert (after or 0.0) - (before or 0.0) == pytest.approx(90)


BY_HAND = {"actor": "me", "reason": "a test"}


def blended(**rule: Any) -> Served:
    """A shard whose models answer as one, its newest blend published."""
    challengers = {"last": lambda seed: dummy.NoChangeClassifier()}
    app = application(features=FEATURES, challengers=challengers, serve=Blend(**rule))
    served = Served(app, Guard({}, None))
    served.publish()
    return served


def test_a_blend_s_answer_has_the_weights_of_its_models() -> None:
    """Those that the learner's own prediction of such an event has."""
    served = blended()
    answer = served.predict().json()
    event = {"event_id": "the same", "features": {"x": 3.0}}
    served.world.feed(served.shard, EVENT, event, key=b"known")
    made = orjson.loads(served.world.predictions[-1])
    assert (answer["model"], answer["weights"]) == (made["model"], made["weights"])
    assert len(answer["weights"]) == 2
    why = served.predict(explain=50).json()["explanation"]
    assert (why["method"], why["unit"]) == ("blend", "probability")
    assert why["sum"] == pytest.approx(answer["probabilities"]["true"], abs=1e-9)
    assert "left_out" not in answer


def test_the_lightest_models_are_left_out_of_what_is_too_large() -> None:
    """At least one is shown; the answer names the others, and is that of the rest."""
    answer = blended(most_bytes=1).predict().json()
    ((name, weight),) = answer["weights"].items()
    assert ({name, *answer["left_out"]}, weight) == ({"champion", "last"}, 1.0)


def test_what_an_operator_pins_is_published_though_it_was_left_out() -> None:
    """It answers alone, in the learner and here."""
    served = blended(most_bytes=1)
    (left_out,) = served.predict().json()["left_out"]
    served.world.feed(
        served.shard, COMMAND, {"command_id": "c", "command": "promote", "slot": left_out, **BY_HAND}
    )
    for _ in range(8):
        served.world.settle(served.shard)
    served.publish()
    answer = served.predict().json()
    served.world.feed(served.shard, EVENT, {"event_id": "then", "features": {"x": 3.0}}, key=b"known")
    made = orjson.loads(served.world.predictions[-1])
    assert (answer["weights"], answer["prediction"]) == (made["weights"], made["prediction"])
    assert list(answer["weights"]) == [left_out]
    assert answer["probabilities"] == made["probabilities"]
