"""A version's file: its model and card come back, and what is damaged, foreign or strange is refused."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from river import linear_model

from stream_app.adapters.pickled import dump
from stream_app.adapters.signing import public_key, seal
from stream_app.cli.models.mlflow_export import client_library
from stream_app.errors import Refused, UsageError
from stream_app.model_file import COMPARED, load, sealed
from stream_app.models.digest import structural_digest
from tests.scenario.shard_driver import logistic

PRIVATE, OTHER = b"p" * 32, b"o" * 32
PUBLIC, FOREIGN = (f"ed25519:{public_key(key).hex()}" for key in (PRIVATE, OTHER))
ROWS: list[dict[str, Any]] = [{"x": float(n)} for n in range(4)]


class Own(linear_model.LogisticRegression):
    """A model class of a user's own module."""


def learned(model: Any) -> Any:
    """A model that has learned 20 rows."""
    for n in range(20):
        model.learn_one({"x": float(n % 7)}, n % 7 > 3)
    return model


def card(**changed: Any) -> dict[str, Any]:
    """As much of a card as loading reads."""
    libraries = {name: version(name) for name in COMPARED}
    asked = {"task": "binary", "threshold": None, "positive": True, "negative": False}
    known = {"version": 7, "learned": 20, "knows": False, "modules": [], "libraries": libraries}
    return {**asked, **known, **changed}


def written(folder: Path, model: Any = None, own: tuple[str, ...] = (), **changed: Any) -> Path:
    """A file of a model."""
    file = folder / "churn-v7.model"
    model = learned(logistic(1)) if model is None else model
    file.write_bytes(sealed(PRIVATE, card(**changed), model, ROWS, own))
    return file


def refusal(file: Path, *keys: str, **options: Any) -> str:
    """Why a file is refused, and the remedy."""
    with pytest.raises(Refused) as error:
        load(file, keys=keys or [PUBLIC], **options)
    return str(error.value)


def test_the_model_and_its_card_come_back(tmp_path: Path) -> None:
    """To the bit, under any of several keys, given as text or as bytes."""
    model = learned(logistic(1))
    file = written(tmp_path, model)
    for keys in ([PUBLIC], [FOREIGN, PUBLIC], PUBLIC, [public_key(PRIVATE)]):
        found, about = load(str(file), keys=keys)
        assert structural_digest(found) == structural_digest(model)
        assert about == card()


def test_without_keys_those_of_the_settings_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook beside a predictor's settings needs none."""
    file = written(tmp_path)
    monkeypatch.setenv("STREAM_APP_SIGNING__PUBLIC_KEYS", PUBLIC)
    assert load(file)[1]["version"] == 7
    monkeypatch.delenv("STREAM_APP_SIGNING__PUBLIC_KEYS")
    with pytest.raises(UsageError, match="no public key is given and none is set"):
        load(file)


def test_another_key_is_named(tmp_path: Path) -> None:
    """The error says by whom it is signed; that key is not trusted for it."""
    said = refusal(written(tmp_path), FOREIGN)
    assert f"churn-v7.model is signed by {PUBLIC}, which is not among the keys" in said


@pytest.mark.parametrize("place", ["card", "signature", "payload", "cut", "empty", "text"])
def test_a_damaged_file_is_refused(place: str, tmp_path: Path) -> None:
    """One changed byte anywhere, or a part of the file; the remedy gets it again."""
    file = written(tmp_path)
    head, signature, payload = file.read_bytes().split(b"\n", 2)
    changed = {
        "card": b"\n".join((head.replace(b'"version":7', b'"version":8'), signature, payload)),
        "signature": b"\n".join((head, b"00" + signature[2:], payload)),
        "payload": b"\n".join((head, signature, payload[:-1] + b"x")),
        "cut": file.read_bytes()[:-5],
        "empty": b"",
        "text": b"hello",
    }
    file.write_bytes(changed[place])
    said = refusal(file)
    assert "is damaged or not a model file" in said
    assert "stream-app models get" in said


def test_a_snapshot_is_no_model_file(tmp_path: Path) -> None:
    """Signed by the same key, and of another kind."""
    file = tmp_path / "other.model"
    file.write_bytes(seal(PRIVATE, {"format": 1, "app": "a"}, dump({"state": 1})))
    assert "is signed and holds no version of a model" in refusal(file)


def test_another_version_of_river_is_refused_unless_it_is_asked_for(tmp_path: Path) -> None:
    """The remedy is the version to install; `strict=False` takes the model as it is."""
    libraries = {**card()["libraries"], "river": "0.1"}
    file = written(tmp_path, libraries=libraries)
    said = refusal(file)
    assert f"was saved with river 0.1, here is {version('river')}" in said
    assert "pip install 'river==0.1'" in said
    model, _ = load(file, keys=[PUBLIC], strict=False)
    assert model.predict_one({"x": 6.0}) in (True, False)


def test_a_model_that_answers_differently_here_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under another library that the card does not name."""
    file = written(tmp_path)
    monkeypatch.setattr(
        linear_model.LogisticRegression, "predict_proba_one", lambda *_: {False: 0.5, True: 0.5}
    )
    assert "answers its 4 sample rows differently here" in refusal(file)
    assert load(file, keys=[PUBLIC], strict=False)[1]["version"] == 7


def test_own_classes_are_loaded_only_when_their_module_is_named(tmp_path: Path) -> None:
    """The card lists the definition's modules, so that the remedy can name them."""
    file = written(tmp_path, learned(Own()), (__name__,), modules=[__name__])
    said = refusal(file)
    assert "is not on the allow-list of snapshots" in said
    assert f"give modules={[__name__]!r}" in said
    assert type(load(file, keys=[PUBLIC], modules=[__name__])[0]) is Own


def test_a_pickle_that_does_more_than_a_model_needs_is_refused(tmp_path: Path) -> None:
    """Signed or not."""
    file = tmp_path / "hostile.model"
    header = {"format": 1, "kind": "version", "answers": [], "card": card()}
    file.write_bytes(seal(PRIVATE, header, b"cos\nsystem\n(S'true'\ntR."))
    assert "os.system is not on the allow-list" in refusal(file)


@pytest.mark.parametrize("key", ["ed25519:12", "a" * 64, b"short", f"ed25519:{'g' * 64}"])
def test_what_is_not_a_public_key_is_a_usage_error(key: Any, tmp_path: Path) -> None:
    """Also a private one: it has no mark."""
    with pytest.raises(UsageError, match="is not a public key"):
        load(written(tmp_path), keys=[key])


def test_a_model_that_has_learned_nothing_is_not_asked(tmp_path: Path) -> None:
    """Asking may change a model, so a cold one has no answers."""
    model, about = load(written(tmp_path, logistic(1), learned=0), keys=[PUBLIC])
    assert about["learned"] == 0
    assert structural_digest(model) == structural_digest(logistic(1))


def test_without_mlflow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no part of the plain installation."""
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UsageError, match=re.escape("pip install 'stream-app[mlflow]'")):
        client_library()
