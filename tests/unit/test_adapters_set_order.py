"""Sets come back from storage as the live ones are laid out by it, whatever their history, and stay alike."""

from __future__ import annotations

import io
import os
import pickle
import random
import string
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pytest
from river import tree

from stream_app.adapters.pickled import Dump, dump, refill_sets
from stream_app.adapters.set_order import FEW, Unrepeatable, insertion_order, lay_out
from stream_app.adapters.snapshot_store import round_trip
from stream_app.adapters.unpickler import unpickle
from stream_app.models.calls import bind
from stream_app.models.question import Question


class Labels(set[Any]):
    """A set of a definition's own."""


KINDS: dict[str, Callable[[random.Random], Any]] = {
    "strings": lambda dice: "".join(dice.choices(string.ascii_lowercase, k=dice.randrange(1, 9))),
    "integers": lambda dice: dice.randrange(-(1 << 40), 1 << 40),
    "floats": lambda dice: dice.gauss(0, 1),
    "tuples": lambda dice: (dice.randrange(99), str(dice.randrange(1 << 30))),
    "mixed": lambda dice: dice.choice(
        [dice.randrange(1 << 30), dice.random(), str(dice.random()), (1, dice.random()), dice.random() < 0.5]
    ),
}


def change(members: set[Any], n: int, kind: str, dice: random.Random) -> None:
    """So many insertions, and some deletions among them, as the dice say."""
    for _ in range(n):
        members.add(KINDS[kind](dice))
        if dice.random() < 0.15:
            members.discard(dice.choice(list(members)) if len(members) < 40 else next(iter(members)))


def stored(members: set[Any]) -> Any:
    """A set as it is loaded after the live one was laid out, within two holders."""
    making = Dump({"a": members, "b": [members]}, [[members]])
    lay_out(making.layouts)
    again = unpickle(making.payload, (__name__,))
    assert again["a"] is again["b"][0]
    return again["a"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1, 3, 6, FEW, FEW + 1, 77, 300, 1_000, 3_000])
def test_a_set_of_any_history_and_its_stored_copy_stay_alike(size: int, kind: str) -> None:
    """They iterate alike when it is loaded, and after whatever insertions and deletions come; three times."""
    for seed in range(2 if size > 500 else 8):
        dice = random.Random(f"{kind} {size} {seed}")
        members: set[Any] = Labels() if seed == 1 else set()
        change(members, size, kind, dice)
        for _ in range(3):
            again = stored(members)
            assert type(again) is type(members)
            assert list(map(repr, again)) == list(map(repr, members))
            luck = dice.random()
            change(members, size // 2 + 3, kind, random.Random(luck))
            change(again, size // 2 + 3, kind, random.Random(luck))
            assert list(map(repr, again)) == list(map(repr, members))


def test_without_laying_out_the_live_sets_they_part() -> None:
    """What the other tests show is not so by itself: plain storing leaves sets that iterate differently."""
    parted = 0
    for seed in range(20):
        members: set[Any] = set()
        change(members, 300, "strings", random.Random(seed))
        parted += list(round_trip(members, ())) != list(members)
    assert parted > 10


@pytest.mark.parametrize("size", [2, 4, 6, 10, FEW])
def test_a_small_set_keeps_its_order(size: int) -> None:
    """So that what a model sums over its classes stays bit for bit what River alone would answer."""
    kept = hard = 0
    for seed in range(300):
        members: set[Any] = set()
        dice = random.Random(seed)
        while len(members) < size:
            members.add(KINDS["strings"](dice))
        before = list(members)
        hard += insertion_order(tuple(before)) is not None
        refill_sets([members])
        kept += list(members) == before
    assert kept >= 250
    assert hard, "no set of this size was hard: the test shows nothing"


def test_sets_are_found_wherever_pickle_finds_them() -> None:
    """In tuples, subclasses of dict, arrays of objects and an object's state; each is laid out once."""
    inside: list[set[Any]] = []
    for seed in range(4):
        inside.append(set())
        change(inside[-1], 100, "strings", random.Random(seed))
    array = np.empty(1, dtype=object)
    array[0] = inside[3]
    model = Holder((inside[0],), Named(x=inside[1]), {"y": inside[2]}, array)
    making = Dump(model, [model])
    assert {id(one.members) for one in making.layouts.values()} == set(map(id, inside))
    lay_out(making.layouts)
    again = unpickle(making.payload, (__name__,))
    for found, live in zip(again.sets(), inside, strict=True):
        assert list(found) == list(live)


class Named(dict[str, Any]):
    """A dictionary of a definition's own."""


class Holder:
    """A model that holds sets in places."""

    def __init__(self, *places: Any) -> None:
        self.places = places

    def sets(self) -> list[set[Any]]:
        """All of them, in order."""
        return [self.places[0][0], self.places[1]["x"], self.places[2]["y"], self.places[3][0]]


@pytest.mark.parametrize(
    "member",
    [object(), Holder, (1, object()), frozenset([object()]), float("nan"), len],
    ids=["object", "class", "in a tuple", "in a frozenset", "NaN", "function"],
)
def test_a_member_whose_hash_is_its_address_is_refused(member: Any) -> None:
    """No other process would iterate the set alike, and the message says so."""
    with pytest.raises(Unrepeatable, match=r"a set of 2 members holds .* whose hash is an address"):
        dump([{"a", member}])


@pytest.mark.parametrize("member", [1.5, b"x", (1, "a"), frozenset([1]), date(2026, 1, 1), np.float64(2.0)])
def test_members_with_hashes_of_their_own_are_stored(member: Any) -> None:
    """Whatever has a hash of what it is worth, and not of where it lies."""
    assert round_trip({"a", member}, ()) == {"a", member}


def test_equal_keys_of_other_types_stay_what_they_are() -> None:
    """True, 1 and 1.0 are one key of a cache and three members."""
    for members in ({8, 0}, {8.0, False}, {0, 8}):
        assert [(type(m), m) for m in round_trip(members, ())] == [(type(m), m) for m in members]


def test_what_was_stored_before_is_read() -> None:
    """One pickle, in which a set is its number and its members in the order in which to insert them."""

    class Earlier(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return (0, ("mid", "low")) if type(obj) is set else None

    file, members = io.BytesIO(), {"low", "mid"}
    Earlier(file, protocol=5).dump({"a": members, "b": [members]})
    again = unpickle(file.getvalue(), ())
    assert again == {"a": members, "b": [members]}
    assert again["a"] is again["b"][0]


def adaptive_tree(seed: int, rows: int) -> tree.HoeffdingAdaptiveTreeClassifier:
    """A tree with three string classes."""
    dice = random.Random(seed)
    model = tree.HoeffdingAdaptiveTreeClassifier(grace_period=20, bootstrap_sampling=True, seed=seed)
    for _ in range(rows):
        x = {"a": dice.gauss(0, 1), "b": dice.gauss(0, 1)}
        model.learn_one(x, "low" if x["a"] < -0.5 else "middle" if x["a"] < 0.5 else "high")
    return model


def test_a_tree_of_string_classes_answers_in_the_same_order() -> None:
    """A restored tree answers to the bit and in the order of the saved one, as that did before."""
    for seed in range(12):
        model = adaptive_tree(seed, 60)
        answers = bind(model, Question("multiclass")).predict({"a": 0.1, "b": 0.2})
        again = bind(round_trip(model, ()), Question("multiclass")).predict({"a": 0.1, "b": 0.2})
        assert repr(again) == repr(answers)


def test_the_order_holds_in_another_process() -> None:
    """Under one hash seed, a set saved by one process iterates the same in the next."""
    members = ["grape", "mid", "low", "high", "fig", "kiwi", "plum", *map(str, range(30))]
    script = (
        "import sys; from stream_app.adapters.pickled import dump, refill_sets;"
        "s = set(); [s.add(m) for m in sys.argv[1:]]; print(dump(s).hex());"
        "refill_sets([s]); print('|'.join(s))"
    )
    reader = (
        "import sys; from stream_app.adapters.unpickler import unpickle;"
        "print('|'.join(unpickle(bytes.fromhex(sys.argv[1]), ())))"
    )
    for few, turn in ((7, 0), (7, 3), (37, 0), (37, 5)):
        rotated = members[turn:few] + members[:turn]
        saved = said(script, *rotated).split()
        assert said(reader, saved[0]).strip() == saved[1]


def said(code: str, *arguments: str) -> str:
    """What another process prints under the pinned hash seed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
