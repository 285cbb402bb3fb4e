"""Same snapshot and same records give the same bytes: predictions, letters, journal and state."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from river import drift as river_drift
from river import forest, linear_model, preprocessing, tree

from stream_app import features as f
from stream_app.adapters.snapshot_store import FileSnapshots
from stream_app.application import Application, Blend, Labels, Limits
from stream_app.flow.core import Core
from stream_app.learner.batch import journal
from stream_app.learner.batch.emit import FIRST_DIGEST
from stream_app.learner.batch.processor import BatchProcessor, SealedBatch
from stream_app.learner.recovery.replay import in_order
from stream_app.learner.recovery.snapshots import dumped, restore, save_with_answers, state_digest
from stream_app.state.shard import ShardState
from tests.bayes import bayes
from topics.envelope import COMMAND, EVENT, LABEL, RANKS, Record
from topics.journal import BatchRecord

ROOT = Path(__file__).parents[2]
TOPICS = ("a.commands", "a.events", "a.labels")
START_MS = 1_700_000_000_000
MODELS: dict[str, Any] = {
    "logistic": lambda seed: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "tree": lambda seed: tree.HoeffdingTreeClassifier(grace_period=30),
    "forest": lambda seed: forest.ARFClassifier(
        n_models=2, seed=seed, drift_detector=river_drift.ADWIN(), warning_detector=river_drift.ADWIN(0.05)
    ),
    "blend": lambda seed: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
}
FEATURES = [f.count("1s"), f.mean("x", "2s"), f.distinct("c", "1s"), f.last("y"), f.since_last()]


def definition(model: str) -> Application:
    """Every kind of thing at once: windows, expiry with a default label, a challenger, tight bounds."""
    return Application(
        name="a",
        task="binary",
        champion=MODELS[model],
        challengers={"bayes": bayes},
        serve=Blend() if model == "blend" else "champion",
        labels=Labels(horizon="2s", on_timeout="label", default=False, hold_back=True),
        features=FEATURES,
        dedupe="1s",
        ttl="3s",
        limits=Limits(max_pending=60, max_parked=20, max_ids=200),
    )


def traffic(n: int, seed: int) -> list[list[Record]]:
    """Events, late, early, odd and missing labels, broken records and commands, as three inputs."""
    dice = random.Random(seed)
    inputs: list[list[Record]] = [[], [], []]

    def put(rank: int, at: int, key: str | None, value: bytes | None) -> None:
        encoded = None if key is None else key.encode()
        inputs[rank].append(Record(rank, len(inputs[rank]) * 2, START_MS + at, encoded, value))

    for i in range(n):
        at, key = i * 17 + dice.randint(-200, 200), f"k{dice.randint(0, 9)}"
        x = dice.gauss(0, 1)
        event = {"event_id": f"e{i}", "features": {"x": x, "y": dice.randint(0, 5), "z": x * dice.random()}}
        put(EVENT, at, key, orjson.dumps(event))
        if i % 11 == 0:
            put(EVENT, at, key, orjson.dumps(event))
        if i % 13 == 0:
            put(EVENT, at, key, b'{"event_id":"bad","features":{"x":"text"}}')
        fate = dice.random()
        if fate < 0.9:
            label = {
                "event_id": f"e{i}",
                "label": x + dice.gauss(0, 0.3) > 0,
                "weight": dice.choice([1, 1, 2]),
            }
            put(LABEL, at + dice.choice([-60, 3, 300, 3_000]), key, orjson.dumps(label))
        if fate > 0.97:
            put(LABEL, at, key, b'{"event_id":"nobody%d","label":true}' % i)
        if i % 97 == 50:
            put(COMMAND, at, None, command(i, dice.choice(["pause", "resume", "resume", "forget", "dance"])))
    return inputs


def command(i: int, name: str) -> bytes:
    """An order to the shard."""
    return orjson.dumps(
        {"command_id": f"c{i}", "command": name, "actor": "me", "reason": "test", "key": f"k{i % 10}"}
    )


def runs_of(inputs: list[list[Record]], seed: int) -> list[list[tuple[int, list[Record]]]]:
    """Batches of runs, cut at random; merged order is another test's matter."""
    dice, heads, batches = random.Random(seed), [0, 0, 0], list[list[tuple[int, list[Record]]]]()
    while any(heads[rank] < len(inputs[rank]) for rank in RANKS):
        batch = []
        for _ in range(dice.randint(1, 4)):
            rank = min(
                (rank for rank in RANKS if heads[rank] < len(inputs[rank])),
                key=lambda rank: inputs[rank][heads[rank]].time_ms,
                default=None,
            )
            if rank is None:
                break
            taken = inputs[rank][heads[rank] : heads[rank] + dice.randint(1, 12)]
            heads[rank] += len(taken)
            batch.append((rank, taken))
        batches.append(batch)
    return batches


def machine_of(
    app: Application, state: ShardState, seq: int, digest: str, positions: list[int]
) -> BatchProcessor:
    """A machine at this place of its chain."""
    return BatchProcessor(Core(app, state), TOPICS, epoch=0, seq=seq, digest=digest, positions=positions)


def fresh(app: Application) -> BatchProcessor:
    """A machine before its first record."""
    return machine_of(app, ShardState(app, 0), 0, FIRST_DIGEST, [0, 0, 0])


def play(processor: BatchProcessor, batches: list[list[tuple[int, list[Record]]]]) -> list[SealedBatch]:
    """Step and seal each batch."""
    closed = []
    for batch in batches:
        processor.apply(batch)
        closed.append(processor.seal())
    return closed


def predictions(closed: SealedBatch) -> list[dict[str, Any]]:
    """The predictions of one batch."""
    return [orjson.loads(value) for value, _, _ in closed.commit.predictions]


@pytest.mark.parametrize("model", MODELS)
def test_two_runs_write_the_same_bytes(model: str) -> None:
    """Every commit and every blob of two runs over the same batches are equal, and so are the states."""
    app, batches = definition(model), runs_of(traffic(600, 1), 2)
    first, second = fresh(app), fresh(app)
    assert play(first, batches) == play(second, batches)
    assert state_digest(first.core.state) == state_digest(second.core.state)
    counters = first.core.state.counters
    assert counters.events == counters.predictions + counters.dead_events + counters.duplicate_events
    assert (
        min(counters.labels_expired, counters.labels_learned, counters.duplicate_events, counters.dead_labels)
        > 0
    )
    assert min(counters.labels_skipped, counters.commands, counters.dead_events) > 0


@pytest.mark.parametrize("model", MODELS)
def test_a_run_from_a_snapshot_continues_the_bytes(model: str, tmp_path: Path) -> None:
    """Stopped anywhere, saved, loaded by the allow-listed reader and continued: same bytes, same state."""
    app, batches = definition(model), runs_of(traffic(400, 3), 4)
    straight = fresh(app)
    expected = play(straight, batches)
    store = FileSnapshots(str(tmp_path), "a", 0, [b"k" * 32], app.modules)
    for cut in (1, len(batches) // 3, len(batches) - 2):
        processor = fresh(app)
        play(processor, batches[:cut])
        header = {
            "format": 1,
            "app": "a",
            "shard": 0,
            "epoch": 0,
            "seq": processor.seq,
            "digest": processor.digest,
        }
        save_with_answers(app, store, header, dumped(store, processor.core.state).payload)
        loaded_header, load = next(iter(store.load()))
        assert header.items() <= loaded_header.items()
        state = restore(app, loaded_header, load)
        assert state_digest(state) == state_digest(processor.core.state)
        resumed = machine_of(app, state, processor.seq, processor.digest, list(processor.positions))
        assert play(resumed, batches[cut:]) == expected[cut:]
        assert state_digest(state) == state_digest(straight.core.state)


def test_the_journal_alone_tells_the_order() -> None:
    """From the journal records and the bare inputs the same batches are cut and the same digests chained."""
    app, inputs = definition("logistic"), traffic(300, 5)
    live = fresh(app)
    closed = play(live, runs_of(inputs, 6))
    replayed = fresh(app)
    heads = [0, 0, 0]
    for batch in closed:
        record = journal.read(batch.commit.journal or b"", 0)
        assert isinstance(record, BatchRecord)
        taken = []
        for rank, (_, _, n) in zip(RANKS, record.inputs.values(), strict=True):
            taken.append(inputs[rank][heads[rank] : heads[rank] + n])
            heads[rank] += n
        replayed.apply(in_order(taken, record))
        replayed.positions[:] = [end for _, end, _ in record.inputs.values()]
        assert replayed.seal() == batch
    assert state_digest(replayed.core.state) == state_digest(live.core.state)


def test_one_changed_record_changes_every_later_digest() -> None:
    """The chain proves the whole past: one changed feature shows in its batch and in all after it."""
    app = definition("logistic")
    inputs = traffic(200, 7)
    batches = runs_of(inputs, 8)
    expected = [journal.read(c.commit.journal or b"", 0) for c in play(fresh(app), batches)]
    learned = {made["event_id"] for c in play(fresh(app), batches[:9]) for made in predictions(c)}
    record = next(r for r in inputs[EVENT] if orjson.loads(r.value or b"")["event_id"] in learned)
    record.value = (record.value or b"").replace(b'"y":', b'"y":1')
    got = [journal.read(c.commit.journal or b"", 0) for c in play(fresh(app), batches)]
    same = [a.digest == b.digest for a, b in zip(expected, got, strict=True)]
    assert not same[-1]
    assert same == sorted(same, reverse=True)


def test_another_process_says_the_same() -> None:
    """A process of its own reaches the same chain and the same state."""
    code = (
        "from tests.simulation.test_determinism import *\n"
        "m = fresh(definition('forest')); play(m, runs_of(traffic(200, 1), 2))\n"
        "print(m.digest, state_digest(m.core.state))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for _ in range(2)
    ]
    assert said[0] == said[1]


def test_the_chain_covers_what_the_view_is_given() -> None:
    """An entity's windows that differ change the digest, though no prediction shows it yet."""
    app = definition("logistic")
    value = b'{"event_id":"e1","features":{"x":1.5,"y":1,"z":0.5}}'
    batch = [(EVENT, [Record(EVENT, 0, START_MS, b"k", value)])]
    straight, tampered = fresh(app), fresh(app)
    for processor in (straight, tampered):
        processor.apply(batch)
    entity = tampered.core.state.entities.peek("k")
    assert entity is not None
    entity[2][0][1] += 1
    assert straight.seal().commit.predictions == tampered.seal().commit.predictions
    assert straight.digest != tampered.digest
