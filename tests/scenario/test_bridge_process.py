"""The bridge's loop without a broker: what it waits for, what it says, and where it stands in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest

from stream_app.application import Application, Inputs, Topic
from stream_app.bridge.process import ALERT_S, RENEW_S, SETTLE_S, SLOW_S, Bridge
from stream_app.bridge.translation import Translator
from stream_app.bridge_port import BridgePolled, BridgeReport, Restore, Routed, Source
from stream_app.inputs.schemas import RegistryAway, Schema
from stream_app.inputs.topic import Event, Meta
from tests.scenario.fake_outside import Clock
from topics.envelope import EVENT, Record

AVRO = b"\x00\x00\x00\x00\x01\x04t1"
SCHEMA = Schema("AVRO", '{"type": "record", "name": "T", "fields": [{"name": "id", "type": "string"}]}')


class Log:
    """One partition whose records come by one poll; every look at the seat takes half a second."""

    def __init__(self, clock: Clock, values: Sequence[bytes]) -> None:
        self.clock = clock
        self.records = [Record(EVENT, n, clock.now_ms(), b"k", value, None) for n, value in enumerate(values)]
        self.end = len(self.records) + 1  # a control record follows the last one
        self.committed: list[tuple[list[Routed], dict[Source, int]]] = []

    def join(self) -> None:
        """Nobody else wants the seat."""

    def has_seat(self, timeout_s: float) -> bool:
        self.clock.now_s += timeout_s
        return True

    def begin(self, restore: Restore) -> None:
        """Nothing was kept."""

    def look_for_partitions(self) -> dict[Source, int]:
        return {} if self.committed else {("trips", 0): 0}

    def poll(self, limit: int, timeout_s: float) -> BridgePolled:
        self.clock.now_s += timeout_s
        found, self.records = self.records, []
        again = [*found, *found[:1]]  # as a client does after a rebalance, now and then
        return BridgePolled([(("trips", 0), record) for record in again], {("trips", 0): self.end})

    def pause(self, sources: Sequence[Source]) -> None: ...
    def resume(self, sources: Sequence[Source]) -> None: ...

    def commit(self, routed: Sequence[Routed], positions: Mapping[Source, int], waiting: int) -> int | None:
        self.committed.append((list(routed), dict(positions)))
        return None

    def ends(self) -> dict[Source, int]:
        return {}

    def trim(self, before: int) -> None: ...
    def close(self) -> None: ...


class Away:
    """A registry that answers at a time."""

    def __init__(self, clock: Clock, back_s: float) -> None:
        self.clock, self.back_s = clock, clock.now_s + back_s

    def schema(self, number: int) -> Schema:
        if self.clock.now_s < self.back_s:
            raise RegistryAway("the schema registry does not answer")
        return SCHEMA


def bridged(away_s: float) -> Log:
    """What was committed when all that there is was bridged."""
    clock = Clock()
    app = Application(
        name="a",
        task="binary",
        champion=lambda seed: seed,
        inputs=Inputs(events=Topic("trips", id="id", format="avro")),
    )
    log = Log(clock, [AVRO, AVRO])
    translator = Translator(app, clock.now_ms, Away(clock, away_s))
    reports: list[BridgeReport] = []
    Bridge(log, translator, clock, reports.append, exit_when_idle_s=2 * SETTLE_S).run()
    return log


@pytest.mark.parametrize("away_s", [0.0, ALERT_S / 2, ALERT_S * 3])
def test_a_long_wait_for_a_schema_is_an_alert_once(away_s: float) -> None:
    """A short one is in the log alone; whatever the wait, every record is bridged in one transaction."""
    log = bridged(away_s)
    alerts = [one for routed, _ in log.committed for one in routed if one.topic == "alerts"]
    assert len(alerts) == (away_s > ALERT_S)
    for alert in alerts:
        value = orjson.loads(alert.value or b"")
        assert (value["type"], value["severity"]) == ("bridge-waiting", "critical")
        assert "trips/0/0" in value["message"]
    (events,) = [routed for routed, _ in log.committed if any(one.topic == "events" for one in routed)]
    assert len(events) == 2


def test_at_the_end_it_stands_behind_what_is_no_record() -> None:
    """A control record ends the input: once nothing comes, the position is behind it, committed once."""
    positions = [positions for _, positions in bridged(0.0).committed]
    assert positions == [{("trips", 0): 0}, {("trips", 0): 2}, {("trips", 0): 3}]


def test_positions_of_inputs_that_nothing_comes_from_are_committed_again() -> None:
    """A broker forgets a position that nobody has committed for days, and all would be bridged again."""
    clock = Clock()
    app = Application(
        name="a", task="binary", champion=lambda seed: seed, inputs=Inputs(events=Topic("trips", id="id"))
    )
    log = Log(clock, [])
    bridge = Bridge(log, Translator(app, clock.now_ms), clock, lambda _: None)

    def poll(_: int, _timeout_s: float) -> BridgePolled:
        clock.now_s += 60.0
        if clock.now_s > began_s + 2.5 * RENEW_S:
            bridge.stopping.set()
        return BridgePolled([], {("trips", 0): log.end})

    began_s, log.poll = clock.now_s, poll  # type: ignore[assignment,method-assign]
    bridge.run()
    assert [positions for _, positions in log.committed] == [{("trips", 0): 0}, *[{("trips", 0): 1}] * 3]


def bridge_of(log: Log, read: Any) -> Bridge:
    """A bridge of records that a function reads."""
    app = Application(
        name="a", task="binary", champion=lambda seed: seed, inputs=Inputs(events=Topic("trips", read=read))
    )
    clock = log.clock
    translator = Translator(app, clock.now_ms)
    return Bridge(log, translator, clock, lambda _: None, exit_when_idle_s=2 * SETTLE_S)


def test_a_slow_function_is_given_fewer_records_at_a_time() -> None:
    """So that something is committed now and then, and the group sees that the bridge is there."""
    clock = Clock()

    def slow(value: Any, meta: Meta) -> Event:
        clock.now_s += 0.5
        return Event(str(meta.offset), {"x": 1})

    log = Log(clock, [b"{}"] * 64)
    limits, records, unseen_s, seen_s = list[int](), log.records, list[float](), [clock.now_s]

    def poll(limit: int, timeout_s: float) -> BridgePolled:
        clock.now_s += timeout_s
        limits.append(limit)
        found = [(("trips", 0), records.pop(0)) for _ in range(min(limit, 16, len(records)))]
        return BridgePolled(found, {} if records else {("trips", 0): log.end})

    def has_seat(timeout_s: float) -> bool:
        clock.now_s += timeout_s
        unseen_s.append(clock.now_s - seen_s[0])
        seen_s[0] = clock.now_s
        return True

    log.poll, log.has_seat = poll, has_seat  # type: ignore[method-assign]
    bridge_of(log, slow).run()
    assert limits[:4] == [2_000, 1_000, 500, 250]
    assert max(unseen_s) < 2 * SLOW_S
    assert sum(one.topic == "events" for routed, _ in log.committed for one in routed) == 64


def test_a_partition_with_large_values_is_paused_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that wait for those of another one would fill the memory, however few they are."""
    monkeypatch.setattr("stream_app.bridge.process.BUFFERED_BYTES", 1_000)
    clock = Clock()
    log = Log(clock, [b"x" * 300] * 4)
    paused, resumed = list[Source](), list[Source]()
    log.pause, log.resume = paused.extend, resumed.extend  # type: ignore[assignment,method-assign]
    bridge_of(log, lambda value, meta: None).run()
    assert paused == resumed == [("trips", 0)]
