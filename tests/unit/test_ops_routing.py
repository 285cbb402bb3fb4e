"""When a route tells which alerts, with time as an argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.ops.notification import Item, Notification
from stream_app.ops.routing import MOST_AT_ONCE, RouteQueue, matches
from stream_app.settings.ops import Matcher, Route
from topics.records import Alert


def item(name: str, kind: str = "drift", severity: Any = "warning", app: str = "a", shard: int = 0) -> Item:
    """An alert of an application."""
    return Item(app, Alert(name, kind, severity, shard, 1, f"{kind} {name}", {}))


def queue_of(silenced: Callable[[Item, int], bool] = lambda _item, _now: False, **how: Any) -> RouteQueue:
    """A route's queue: first wait 10 s, then 60, at most 2 notifications in 100 s, unless said otherwise."""
    told = {"wait_s": 10, "interval_s": 60, "rate": 2, "rate_s": 100, **how}
    return RouteQueue(Route(channel="log", **told), silenced)


def ids(told: Notification | None) -> list[str]:
    """Whom it is about."""
    assert told is not None
    return [one.alert.alert_id for one in told.items]


def run(
    queue: RouteQueue, until_ms: int, step_ms: int = 1_000, fails: bool = False
) -> list[tuple[int, Notification]]:
    """What it tells until then, asked each second."""
    told = []
    for now_ms in range(0, until_ms + 1, step_ms):
        while (plan := queue.plan(now_ms)).notification is not None:
            if fails:
                queue.failed(now_ms)
            else:
                queue.delivered(plan.notification, now_ms)
                told.append((now_ms, plan.notification))
    return told


def test_a_group_waits_for_others_and_later_ones_wait_for_the_interval() -> None:
    """Two alerts within the first wait are one notification; a third comes an interval after it."""
    queue = queue_of()
    queue.add(item("1"), 0)
    queue.add(item("2"), 5_000)
    assert queue.plan(9_999) == (None, [], 10_000)
    first = queue.plan(10_000).notification
    assert ids(first) == ["1", "2"]
    queue.delivered(first, 10_000) if first else None
    queue.add(item("3"), 11_000)
    assert queue.plan(69_999) == (None, [], 70_000)
    assert ids(queue.plan(70_000).notification) == ["3"]


def test_groups_are_apart_by_what_the_route_names() -> None:
    """Grouped by application alone, two types come together; by type they do not."""
    for group_by, parts in (["app"], 1), (["app", "type"], 2), (["app", "shard"], 2):
        queue = queue_of(group_by=group_by)
        queue.add(item("1", shard=0), 0)
        queue.add(item("2", kind="swap", shard=1), 0)
        assert len(run(queue, 10_000)) == parts


def test_the_same_alert_twice_is_told_once() -> None:
    """While it waits, and while it is held back."""
    queue = queue_of(rate=1)
    for _ in range(2):
        queue.add(item("1"), 0)
    assert [ids(told) for _, told in run(queue, 10_000)] == [["1"]]
    queue.add(item("2"), 11_000)
    assert queue.plan(80_000).notification is None
    queue.add(item("2"), 81_000)
    assert [ids(told) for _, told in run(queue, 300_000)] == [["2"]]


def test_what_is_over_the_rate_is_told_by_counts_in_one_summary() -> None:
    """Ten known kinds at a rate of two: two come, the others in one summary once the window has passed."""
    queue = queue_of()
    queue.kinds = {("a", f"kind{n}") for n in range(10)}
    for n in range(10):
        queue.add(item(str(n), f"kind{n}"), 0)
        queue.add(item(f"{n}b", f"kind{n}"), 0)
    told = run(queue, 200_000)
    assert [(at_ms, one.summary, len(one.items)) for at_ms, one in told] == [
        (10_000, False, 2),
        (10_000, False, 2),
        (110_000, True, 16),
    ]
    assert {count for *_, count in told[-1][1].counts} == {2}
    assert not queue.waiting()


def test_a_kind_that_was_never_told_goes_out_over_the_rate() -> None:
    """In a used-up window an alert of a new type comes after its first wait; its second one is held back."""
    queue = queue_of(rate=1)
    queue.add(item("1"), 0)
    run(queue, 10_000)
    queue.add(item("2"), 11_000)
    queue.add(item("new", "rare"), 12_000)
    told = run(queue, 90_000)
    assert [(at_ms, ids(one)) for at_ms, one in told] == [(22_000, ["new"])]


def test_a_silence_that_begins_while_an_alert_waits_holds_it() -> None:
    """It is judged when the group is due, and never told afterwards."""
    quiet = False
    queue = queue_of(lambda _item, _now: quiet)
    queue.add(item("1"), 0)
    quiet = True
    plan = queue.plan(10_000)
    assert (plan.notification, ids_of(plan.silenced)) == (None, ["1"])
    quiet = False
    assert run(queue, 500_000) == []


def ids_of(items: list[Item]) -> list[str]:
    """Whom a plan silences."""
    return [one.alert.alert_id for one in items]


def test_a_channel_that_fails_is_asked_later_and_later_and_nothing_is_forgotten() -> None:
    """1, 2, 4 … 60 s; when it is back, all comes, with what came meanwhile."""
    queue = queue_of(wait_s=0, rate=1_000)
    queue.add(item("1"), 0)
    waits = []
    now_ms = 0
    for _ in range(9):
        assert queue.plan(now_ms).notification is not None
        queue.failed(now_ms)
        waits.append((queue.not_before_ms - now_ms) // 1000)
        assert queue.plan(queue.not_before_ms - 1).notification is None
        now_ms = queue.not_before_ms
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    queue.add(item("2"), now_ms)
    assert ids(queue.plan(now_ms).notification) == ["1", "2"]


def test_a_group_that_always_fails_delays_no_other() -> None:
    """Critical news is delivered while an older notification fails again and again."""
    queue = queue_of(wait_s=0)
    queue.add(item("bad", "drift"), 0)
    told, now_ms = [], 0
    for turn in range(20):
        now_ms += 70_000
        if turn == 3:
            queue.add(item("news", "shard-halted", "critical"), now_ms)
        plan = queue.plan(now_ms)
        if ids(plan.notification) == ["bad"]:
            queue.failed(now_ms)
        elif plan.notification is not None:
            told += ids(plan.notification)
            queue.delivered(plan.notification, now_ms)
    assert told == ["news"]
    assert ids_of(queue.waiting()) == ["bad"]


def test_groups_and_the_summary_take_turns_while_they_fail() -> None:
    """New kinds, the summary and known kinds: each is tried before one of them is tried again."""
    queue = queue_of(wait_s=0, rate=1, interval_s=0)
    queue.kinds = {("a", "known"), ("a", "held")}
    queue.add(item("0", "known"), 0)
    run(queue, 0)
    queue.add(item("held", "held"), 1_000)
    assert queue.plan(1_000).notification is None
    for name in "new-1", "new-2", "known":
        queue.add(item(name, name.rpartition("-")[0] or name), 200_000)
    queue.add(item("other", "other"), 200_000)
    tried, now_ms = [], 200_000
    for _ in range(8):
        tried.append(ids(queue.plan(now_ms).notification))
        queue.failed(now_ms)
        now_ms += 70_000
    assert sorted(tried[:4]) == [["held"], ["known"], ["new-1", "new-2"], ["other"]]
    assert tried[:4] == tried[4:]


def test_one_alert_that_is_refused_takes_no_other_with_it() -> None:
    """A notification of many is split until the one alert is alone; it leaves, and the others are sent."""
    queue = queue_of(wait_s=0, rate=1_000)
    for n in range(50):
        queue.add(item(str(n)), 0)
    told: list[str] = []
    left: list[str] = []
    for _ in range(60):
        plan = queue.plan(1).notification
        if plan is None:
            break
        if "7" in ids(plan):
            left += ids_of(queue.refused(plan, splits=True))
        else:
            told += ids(plan)
            queue.delivered(plan, 1)
    assert left == ["7"]
    assert sorted([*told, "7"], key=int) == [str(n) for n in range(50)]
    assert not queue.waiting()


def test_a_refusal_that_is_about_the_route_takes_the_whole_notification() -> None:
    """A wrong token refuses every part alike: nothing is asked twice."""
    queue = queue_of(wait_s=0)
    for n in range(50):
        queue.add(item(str(n)), 0)
    plan = queue.plan(0).notification
    assert plan is not None
    assert len(queue.refused(plan, splits=False)) == 50
    assert queue.plan(0) == (None, [], None)


def test_a_notification_is_bounded_and_the_rest_comes_in_the_next() -> None:
    """A storm of one kind; an alert of another kind in the same group is in the first one."""
    queue = queue_of(group_by=["app"], rate=10)
    queue.kinds = {("a", "drift")}
    for n in range(MOST_AT_ONCE + 1):
        queue.add(item(str(n)), 0)
    queue.add(item("rare", "rare"), 0)
    told = run(queue, 100_000)
    assert [len(one.items) for _, one in told] == [MOST_AT_ONCE, 2]
    assert "rare" in ids(told[0][1])
    assert "rare" in [one.alert.alert_id for one in told[0][1].shown]


def test_one_alert_gives_its_id_and_several_one_of_their_own() -> None:
    """A receiver tells repeats by it: the same alerts, the same id, in whatever order."""
    names = []
    for order in ("12", "21"):
        queue = queue_of()
        for name in order:
            queue.add(item(name), 0)
        plan = queue.plan(10_000).notification
        names.append(plan.id if plan else "")
    assert names[0] == names[1] != ""
    queue = queue_of()
    queue.add(item("1"), 0)
    alone = queue.plan(10_000).notification
    assert alone is not None
    assert alone.id == "1"


def test_a_matcher_names_application_type_shard_and_the_least_severity() -> None:
    """Each part can keep an alert out."""
    one = item("1", "drift", "warning", "phishing", 3)
    assert matches(Matcher(), one)
    assert matches(Matcher(apps="phi*", types="dr?ft", shard=3, severity="warning"), one)
    for part in {"apps": "other"}, {"types": "swap*"}, {"shard": 2}, {"severity": "critical"}:
        assert not matches(Matcher.model_validate(part), one)


@settings(deadline=None)  # 3,000 simulated seconds take as long as the machine is busy
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 4), st.booleans()), max_size=60))
def test_every_alert_is_told_exactly_once_whatever_fails(steps: list[tuple[int, int, bool]]) -> None:
    """At random times, of random kinds, over a channel that fails at random: all come, within the rate."""
    queue = queue_of(rate=3, interval_s=5)
    steps = sorted(steps)
    told: list[str] = []
    at_ms: list[int] = []
    new = set()
    works = iter([works for *_, works in steps] * 5)
    for now_s in range(3_000):
        while steps and steps[0][0] <= now_s:
            queue.add(item(str(len(steps)), f"kind{steps[0][1]}"), 1000 * now_s)
            new.add(steps.pop(0)[1])
        while (plan := queue.plan(1000 * now_s)).notification is not None:
            if next(works, True):
                queue.delivered(plan.notification, 1000 * now_s)
                told += ids(plan.notification)
                at_ms.append(1000 * now_s)
            else:
                queue.failed(1000 * now_s)
    assert len(told) == len(set(told))
    assert not queue.waiting()
    for place, start_ms in enumerate(at_ms):
        assert len([now_ms for now_ms in at_ms[place:] if now_ms < start_ms + 100_000]) <= 3 + len(new)
