"""The copy that a predictor asks: what strangers leave in it goes with it, and it answers as before."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from river import linear_model, preprocessing

from stream_app.application import Application
from stream_app.predictor.champion import MOST_STRANGERS, ServedModel
from stream_app.state.published import Published


def published(*, cold: bool = False) -> Published:
    """A model that knows two names."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for n in range(50):
        model.learn_one({"a": n % 7, "b": n % 3}, n % 2 == 0)
    kinds = {"a": "number", "b": "number"}
    return Published(model, "champion", 1, 50, cold, 0, None, kinds, {}, [])


def served(found: Published) -> ServedModel:
    """It, with copies of itself to come."""
    app = Application(name="a", task="binary", champion=lambda seed: found.model)
    return ServedModel(app, deepcopy(found), lambda: deepcopy(found))


def size(model: ServedModel) -> int:
    """How many names its scaler remembers."""
    scaler: Any = model.calls.learn_one.__self__["StandardScaler"]  # type: ignore[attr-defined]
    return len(scaler.means)


def test_names_that_strangers_send_do_not_grow_the_model() -> None:
    """After many of them it is replaced by a copy that has met none; answers stay the same."""
    model = served(published())
    before = model.predict({"a": 1, "b": 2})
    for n in range(3 * MOST_STRANGERS):
        model.predict({"a": 1, f"stranger{n}": 1.0})
        if model.renewal is not None:
            model.renewal.join()
    assert size(model) <= MOST_STRANGERS + 2
    assert model.predict({"a": 1, "b": 2}) == before


def test_known_names_never_renew_it() -> None:
    """Loading a large model costs seconds: what the learner has seen is no reason."""
    model = served(published())
    first = model.calls
    for n in range(2 * MOST_STRANGERS):
        model.predict({"a": n, "b": 1})
    assert model.calls is first


def test_a_cold_model_is_not_asked() -> None:
    """It has learned nothing, as the learner's own."""
    assert served(published(cold=True)).predict({"a": 1}) == (None, None)
