"""A version of a model as a signed file, for a notebook: `stream-app models get` writes it.

from stream_app.model_file import load
model, card = load("churn-v7.model", keys=["ed25519:…"])

The model is River's own, and the card says what it is: where it comes from, what it had learned, how good it
was. Its pickle is read after its signature, through the allow-list of snapshots.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from stream_app.adapters.pickled import dump
from stream_app.adapters.signing import public_key, seal, unseal
from stream_app.adapters.unpickler import unpickle
from stream_app.errors import Refused, UsageError
from stream_app.learner.history.migrate import alike
from stream_app.models.calls import bind, replies
from stream_app.models.question import Question
from stream_app.settings import load_settings
from stream_app.settings.parts import KEY_FORM, PUBLIC

__all__ = ["load"]
FORMAT = 1
KIND = "version"  # in the signed header: neither a snapshot nor a publication
COMPARED = ("river", "numpy", "scipy")  # whose other version may load a model and answer differently
FIX = "Get the file again: `stream-app models get MODULE:APP --version V`"


def load(
    path: str | os.PathLike[str],
    keys: Iterable[str | bytes] | None = None,
    modules: Sequence[str] = (),
    *,
    strict: bool = True,
) -> tuple[Any, dict[str, Any]]:
    """Give the model and the card of a file that `stream-app models get` wrote.

    `keys` are public keys, as `stream-app keys public` prints them; by default those of the settings
    (STREAM_APP_SIGNING__PUBLIC_KEYS). `modules` are your own modules whose classes the model may hold; the
    card lists those of the definition. Another version of River, numpy or scipy than the model was saved with
    is refused, and so is a model that answers its sample rows differently; `strict=False` takes both.

    Raises:
        FileNotFoundError: there is no such file.
        UsageError: a key is not a public key, or none is given and none is set.
        Refused: it is damaged, signed by another key, not a model file, or cannot be used here.
    """
    file = Path(path)
    trusted = public_keys(keys)
    header, payload = opened(file, trusted)
    if (header.get("kind"), header.get("format")) != (KIND, FORMAT):
        raise Refused(f"{file.name} is signed and holds no version of a model", FIX)
    card = header["card"]
    if strict:
        check_libraries(file.name, card)
    try:
        held, asked = unpickle(payload, tuple(modules)), unpickle(payload, tuple(modules))
        answers = sample_answers(asked["model"], asked["rows"], card)
    except Exception as error:
        raise Refused(f"{file.name} cannot be loaded: {error}", of_modules(card, modules)) from error
    if strict and not same_answers(answers, header["answers"]):
        raise Refused(
            f"the model of {file.name} answers its {len(answers)} sample rows differently here",
            "Use the libraries and the platform of its card, or load(…, strict=False) to take it as it is",
        )
    return held["model"], card


def sealed(
    private: bytes,
    card: Mapping[str, Any],
    model: Any,
    rows: Sequence[Mapping[str, Any]],
    modules: Sequence[str] = (),
) -> bytes:
    """The bytes of a file: the signed header with the card, and the pickle of the model and its sample rows.

    The model is asked the sample rows through a copy. Raises what pickling and loading raise.
    """
    payload = dump({"model": model, "rows": [dict(row) for row in rows]})
    copy = unpickle(payload, tuple(modules))
    header = {
        "format": FORMAT,
        "kind": KIND,
        "key": f"{PUBLIC}{public_key(private).hex()}",
        "answers": sample_answers(copy["model"], copy["rows"], card),
        "card": card,
    }
    return seal(private, header, payload)


def public_keys(keys: Iterable[str | bytes] | None) -> list[bytes]:
    """The public keys that are trusted; without any given, those of the settings.

    Raises:
        UsageError: one is not a public key, or there is none.
    """
    if keys is None:
        signing = load_settings().signing
        found = [*map(public_key, signing.private_bytes()), *signing.public_bytes()]
    else:
        found = [raw_key(key) for key in ([keys] if isinstance(keys, str | bytes) else keys)]
    if not found:
        raise UsageError(
            "no public key is given and none is set",
            "Give keys=[…] as `stream-app keys public` prints them, or set STREAM_APP_SIGNING__PUBLIC_KEYS",
        )
    return found


def raw_key(key: str | bytes) -> bytes:
    """A public key's 32 bytes.

    Raises:
        UsageError: it is not one.
    """
    if isinstance(key, bytes) and len(key) == 32:
        return key
    if isinstance(key, str) and key.startswith(PUBLIC) and KEY_FORM.fullmatch(key.removeprefix(PUBLIC)):
        return bytes.fromhex(key.removeprefix(PUBLIC))
    raise UsageError(
        "a key is not a public key",
        f"Give {PUBLIC} and 64 hexadecimal digits, as `stream-app keys public` prints them",
    )


def opened(file: Path, trusted: list[bytes]) -> tuple[dict[str, Any], bytes]:
    """The header and the payload of a file that one of the keys signed.

    Raises:
        Refused: it is damaged, or signed by another key.
    """
    data = file.read_bytes()
    try:
        return unseal(trusted, data)
    except ValueError as error:
        signer = claimed_signer(data)
        if signer is not None and raw_key(signer) not in trusted:
            raise Refused(
                f"{file.name} is signed by {signer}, which is not among the keys",
                "Give that key if you trust who holds it: it is what `stream-app keys public` prints there",
            ) from error
        raise Refused(f"{file.name} is damaged or not a model file: {error}", FIX) from error


def claimed_signer(data: bytes) -> str | None:
    """The key that a header names, for an error; nothing of it is trusted."""
    try:
        header = orjson.loads(data.split(b"\n", 1)[0])
        key = header["key"]
        raw_key(key)
    except (ValueError, KeyError, TypeError, UsageError):
        return None
    return str(key)


def check_libraries(name: str, card: Mapping[str, Any]) -> None:
    """Refuse other versions of what models compute with.

    Raises:
        Refused: which differ.
    """
    was, now = card["libraries"], {library: installed(library) for library in COMPARED}
    differing = [one for one in COMPARED if was.get(one) != now[one]]
    if differing:
        texts = [f"{one} {was.get(one)}, here is {now[one] or 'none'}" for one in differing]
        wanted = " ".join(f"'{one}=={was.get(one)}'" for one in differing)
        raise Refused(
            f"{name} was saved with {'; '.join(texts)}",
            f"pip install {wanted}, or load(…, strict=False) to take it as it is",
        )


def installed(library: str) -> str | None:
    """The installed version of a library."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def question_of(card: Mapping[str, Any]) -> Question:
    """What the definition asked of the model."""
    return Question(card["task"], card["threshold"], card["positive"], card["negative"])


def sample_answers(model: Any, rows: Iterable[dict[str, Any]], card: Mapping[str, Any]) -> list[str]:
    """What a copy answers to its sample rows; one that has learned nothing is not asked, as in the flow."""
    return replies(bind(model, question_of(card)), rows) if card["learned"] or card["knows"] else []


def same_answers(found: Sequence[str], saved: Sequence[str]) -> bool:
    """Whether answers agree; to the last digit only a replay must agree, not another machine's notebook."""
    return len(found) == len(saved) and all(map(alike, found, saved))


def of_modules(card: Mapping[str, Any], modules: Sequence[str]) -> str:
    """The remedy for a pickle that was refused."""
    own = [one for one in card["modules"] if one not in modules]
    if not own:
        return FIX
    return f"If the model holds classes of your own, give modules={own!r}, and let them be importable"
