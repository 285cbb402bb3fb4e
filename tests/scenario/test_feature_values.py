"""What models see of an event's own features: what is missing, times, texts, and what is beyond a bound."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import dummy

from stream_app import features as f
from stream_app.application import Limits
from stream_app.flow.record_rules import features_for_models
from stream_app.flow.validate import as_models_see
from stream_app.learner.publish.publication import publish
from tests.scenario.shard_driver import ABSENT, ShardDriver, application
from topics import reasons
from topics.records import KINDS


def shard_that_sees(**definition: Any) -> ShardDriver:
    """A shard that has learned one row with a number and a string."""
    shard = ShardDriver(application(champion=lambda seed: dummy.NoChangeClassifier(), **definition))
    shard.event("first", {"x": 1.0, "s": "a"} if not definition.get("required") else {"x": 1.0, "amount": 1})
    shard.label("first", True)
    return shard


def row_of(shard: ShardDriver, features: dict[str, Any], event_id: str = "e") -> dict[str, Any]:
    """What the models are asked about an event."""
    letter = shard.event(event_id, features)
    assert letter is None, letter
    return shard.state.pending.items[event_id].row


def refusal(shard: ShardDriver, features: dict[str, Any]) -> str:
    """Why an event is refused."""
    letter = shard.event("e", features)
    assert letter is not None
    assert letter.reason == reasons.BAD_FEATURE
    return letter.message


def alerts(shard: ShardDriver, kind: str) -> list[dict[str, Any]]:
    """The alerts of one type."""
    return [alert for alert in shard.written("alerts") if alert["type"] == kind]


def test_a_null_is_a_feature_that_is_not_there() -> None:
    """The usual: the model gets the row without it; how often is counted by feature."""
    shard = shard_that_sees()
    assert row_of(shard, {"x": None, "s": "a"}) == {"s": "a"}
    assert row_of(shard, {"x": None, "s": None, "z": 2}, "e2") == {"z": 2}
    assert shard.state.presence.nulls == {"x": 2, "s": 1}


def test_a_definition_may_refuse_nulls() -> None:
    """The message says which feature, and which line decided so."""
    message = refusal(shard_that_sees(missing="refuse"), {"x": None, "s": "a"})
    assert "'x' is null" in message
    assert "missing='refuse'" in message


def test_a_definition_may_flag_nulls() -> None:
    """A feature of its own says so, unless the event has one of that name."""
    shard = shard_that_sees(missing="flag")
    assert row_of(shard, {"x": None, "s": "a"}) == {"s": "a", "missing_x": True}
    assert row_of(shard, {"x": None, "missing_x": False}, "e2") == {"missing_x": False}
    assert row_of(shard, {"n" * 64: None}, "e3") == {"missing_" + "n" * 64: True}


def test_a_required_feature_may_be_neither_null_nor_absent() -> None:
    """The message names it."""
    shard = shard_that_sees(required=["amount"])
    for features in ({"x": 1}, {"x": 1, "amount": None}):
        assert "'amount' is missing" in refusal(shard, features)
    assert row_of(shard, {"amount": 2}) == {"amount": 2}


def test_an_event_needs_features_unless_its_entity_has_some() -> None:
    """All of them null is as good as none."""
    for features in ({}, {"x": None}):
        assert "no features" in refusal(shard_that_sees(), features)
        counting = shard_that_sees(features=[f.count("1h")])
        assert row_of(counting, features) == {"count_1h": 1}


TIMES = {
    "ISO 8601": "2026-11-29T02:50:16Z",
    "another zone": "2026-11-29T03:50:16+01:00",
    "no zone": "2026-11-29T02:50:16",
    "seconds": 1_795_920_616,
    "a fraction": 1_795_920_616.0,
    "milliseconds": 1_795_920_616_000,
    "microseconds": 1_795_920_616_000_000,
    "nanoseconds": 1_795_920_616_000_000_000,
}


@pytest.mark.parametrize("at", TIMES.values(), ids=TIMES)
def test_a_time_is_seconds_however_it_is_written(at: Any) -> None:
    """Declared as a time, ISO 8601 and epochs in four units are one number."""
    shard = shard_that_sees(types={"at": "time"})
    assert row_of(shard, {"at": at}) == {"at": 1_795_920_616.0}


@pytest.mark.parametrize("at", ["yesterday", True, [1], 1e300])
def test_what_is_no_time_is_refused(at: Any) -> None:
    """The message names the feature."""
    assert "'at'" in refusal(shard_that_sees(types={"at": "time"}), {"at": at})


def test_a_large_number_is_told_how_to_be_sent() -> None:
    """An id as text, a time by its declaration; tried, the line that the message gives works."""
    assert "types={'at': 'time'}" in refusal(shard_that_sees(), {"at": 1_795_920_616_000_000_000})


def test_texts_are_neither_remembered_nor_bounded() -> None:
    """A comment is another one each time."""
    shard = shard_that_sees(types={"comment": "text"}, limits=Limits(max_categories=2))
    for i in range(5):
        assert row_of(shard, {"comment": f"text {i}"}, f"e{i}") == {"comment": f"text {i}"}
    assert "comment" not in shard.state.categories
    send(shard, {"comment": "text", "x": 1.0}, 64, 1_000)
    assert {name for signal, name in shard.state.monitors.watching if signal == "features"} == {"x"}
    assert "types={'comment': 'number'}" in refusal(shard, {"comment": 5})


@pytest.mark.parametrize(("code", "seen"), [(211, "211"), (211.0, "211"), ("211", "211"), (-3, "-3")])
def test_the_code_of_a_category_is_its_text(code: Any, seen: str) -> None:
    """Models see a name, however a producer writes it; a fraction is refused by the declared type."""
    shard = shard_that_sees(types={"s": "category"})
    assert row_of(shard, {"x": 1, "s": code})["s"] == seen
    assert "the definition says category" in refusal(shard, {"x": 1, "s": 2.5})


def test_a_category_beyond_the_bound_is_other_and_told_once() -> None:
    """Known ones stay what they are; the alert gives two lines to choose from."""
    shard = shard_that_sees(limits=Limits(max_categories=2))
    assert row_of(shard, {"s": "b"}, "e0") == {"s": "b"}
    for i in range(3):
        assert row_of(shard, {"s": f"new {i}"}, f"n{i}") == {"s": "__other__"}
        assert row_of(shard, {"s": "b"}, f"b{i}") == {"s": "b"}
    (alert,) = alerts(shard, "features-full")
    assert alert["evidence"] | {"feature": "s", "max_categories": 2} == alert["evidence"]
    assert "max_categories=4" in alert["message"]
    assert "types={'s': 'text'}" in alert["message"]
    shard.label("n0", True)
    assert row_of(shard, {"s": "new 3"}, "again") == {"s": "__other__"}


def test_strings_beyond_their_bytes_are_other_for_every_feature() -> None:
    """The bound is that of all features together; what is known stays."""
    shard = shard_that_sees(limits=Limits(max_category_bytes=20))
    assert row_of(shard, {"s": "x" * 30}, "e0") == {"s": "x" * 30}
    assert row_of(shard, {"s": "b", "t": "new"}, "e1") == {"s": "__other__", "t": "__other__"}
    assert row_of(shard, {"s": "x" * 30}, "e2") == {"s": "x" * 30}
    found = alerts(shard, "features-full")
    assert [alert["evidence"]["feature"] for alert in found] == ["s", "t"]
    assert "max_category_bytes=40" in found[0]["message"]


def test_names_beyond_the_bound_are_counted_and_told_once() -> None:
    """The model sees how many there were; known names stay."""
    shard = shard_that_sees(limits=Limits(max_feature_names=3))
    assert row_of(shard, {"x": 1, "p": 1, "q": 2, "r": 3}) == {"x": 1, "p": 1, "__other__": 2}
    assert row_of(shard, {"r": "text", "p": 2}, "e2") == {"p": 2, "__other__": 1}
    (alert,) = alerts(shard, "features-full")
    assert "max_feature_names=6" in alert["message"]
    assert "reserved" in refusal(shard, {"__other__": 1}) or shard.state.kinds.get("__other__") is None


def test_a_refused_event_counts_and_remembers_nothing() -> None:
    """Nulls, names and strings of a record that is refused leave no trace."""
    shard = shard_that_sees(limits=Limits(max_categories=1))
    before = dict(shard.state.kinds)
    assert "list" in refusal(shard, {"x": None, "new": 1, "s": "zz", "bad": [1]})
    assert (shard.state.kinds, shard.state.presence.nulls, shard.state.full) == (before, {}, {})


def send(shard: ShardDriver, features: dict[str, Any], n: int, start: int) -> None:
    """Events that are looked at on one in sixteen."""
    for i in range(start, start + n):
        assert shard.event(f"e{i}", features) is None


def test_a_feature_that_stays_away_is_missed_once_and_again_after_it_came() -> None:
    """Nearly all events had it; the alert says of what share it is now."""
    shard = shard_that_sees()
    both, one, renamed = {"x": 1.0, "amount": 2.0}, {"x": 1.0}, {"x": 1.0, "Amount": 2.0}
    for i, features in enumerate((both, one, one, both, renamed)):
        send(shard, features, 1_100, 10_000 * i)
    found = alerts(shard, "feature-missing")
    assert [alert["evidence"]["feature"] for alert in found] == ["amount", "amount"]
    assert found[0]["message"].endswith("nearly all had it before")
    assert found[1]["message"].endswith("A feature 'Amount' comes: is it meant?")


def test_a_misspelt_name_of_the_definition_is_noticed() -> None:
    """A field of an entity's feature, a type, that no event has; what is near it is named."""
    shard = ShardDriver(application(features=[f.mean("ammount", "1h")], types={"promo": "bool"}))
    send(shard, {"amount": 2.0, "x": 1.0}, 1_100, 0)
    found = {alert["evidence"]["feature"]: alert["message"] for alert in alerts(shard, "feature-missing")}
    assert found.keys() == {"ammount", "promo"}
    assert "'amount' comes: is it meant?" in found["ammount"]
    assert "is it meant" not in found["promo"]


def test_sparse_names_are_not_missed() -> None:
    """What was never in most events may stay away."""
    shard = shard_that_sees()
    for i in range(4_000):
        assert shard.event(f"e{i}", {"x": 1.0, f"word{i % 8}": 1}) is None
    assert alerts(shard, "feature-missing") == []


def test_more_missing_than_before_is_drift() -> None:
    """By default a detector watches the share of the expected features that an event lacks."""
    shard = shard_that_sees()
    send(shard, {"x": 1.0, "amount": 2.0}, 8_000, 0)
    send(shard, {"x": 1.0}, 8_000, 10_000)
    found = [alert["evidence"] for alert in alerts(shard, "drift")]
    assert [alert["signal"] for alert in found if alert["signal"] == "missing_rate"] != []


@pytest.mark.parametrize("kinds", [(1.5, "n/a"), ("n/a", 1.5), (True, 2), (2, True)])
def test_a_type_that_gives_way_before_any_label_stops_no_detector(kinds: tuple[Any, Any]) -> None:
    """No label has come yet, so the newest type counts: its detectors take the place of the others."""
    shard = ShardDriver(application())
    for n, value in enumerate(kinds):
        send(shard, {"x": value}, 200, 1_000 * n)
    assert shard.state.kinds["x"] == KINDS[type(kinds[1])]


NAMES = st.sampled_from(["x", "s", "t", "at", "comment", "n1", "n2", "n3"])
VALUES = st.one_of(st.none(), st.sampled_from([0, 1.5, 1_795_920_616, True]), st.text("ab", max_size=3))
EVENTS = st.lists(st.dictionaries(NAMES, VALUES, max_size=6), max_size=12)


@given(EVENTS, EVENTS, st.sampled_from(["skip", "flag", "refuse"]), st.booleans(), st.integers(0, 12))
def test_a_predictor_sees_what_the_learner_would(
    before: list[dict[str, Any]], asked: list[dict[str, Any]], missing: str, by_bytes: bool, labelled: int
) -> None:
    """After any events, from what was published: the same features, the same refusals."""
    limits = {"max_category_bytes": 5} if by_bytes else {"max_categories": 2}
    shard = shard_that_sees(
        missing=missing,
        types={"at": "time", "comment": "text"},
        limits=Limits(max_feature_names=6, **limits),
    )
    for i, features in enumerate(before):
        shard.event(f"e{i}", features, label=True if i < labelled else ABSENT)
    published, core = publish(shard.app, shard.processor), shard.processor.core
    for features in asked:
        ours = features_for_models(
            core.rules,
            published.kinds,
            published.unproven,
            published.full,
            published.no_more,
            dict(features),
        )
        assert ours == as_models_see(core, dict(features))
