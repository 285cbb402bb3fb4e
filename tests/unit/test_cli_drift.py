"""The report card of detectors: its arithmetic on alarms made by hand, its streams, and its options."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest

from drift.detectors import Detect
from stream_app.application import Application, Blend
from stream_app.cli.drift.card import ALWAYS, NEVER, PER, Cell, Drift, Judged, card, judge, line, pool
from stream_app.cli.drift.command import detect_of, of_losses, policies_of
from stream_app.cli.drift.streams import KINDS, STREAMS, losses
from stream_app.cli.drift.topic import variants_of
from stream_app.errors import UsageError

ONE = [Drift(1_000, 1_000)]
N = 4_000


def test_the_delay_is_counted_from_the_drift_s_first_event_to_the_first_alarm() -> None:
    """Further alarms within the window belong to the same drift."""
    assert judge([1_040, 1_300, 2_999], ONE, N, 2_000) == Judged([40], 0, 0, 2_000)
    assert judge([1_000], ONE, N, 2_000).delays == [0]


def test_an_alarm_before_the_drift_or_after_its_window_is_false() -> None:
    """The window ends one event before its bound; the rate is per 10,000 events outside of it."""
    found = judge([10, 999, 3_000], ONE, N, 2_000)
    assert found == Judged([], 1, 3, 2_000)
    assert found.rate == PER * 3 / 2_000
    assert found.delay is None


def test_a_recurring_drift_ends_the_window_of_the_one_before() -> None:
    """Each concept that comes back is a drift of its own: a late alarm counts for the newest."""
    drifts = [Drift(1_000, 1_000), Drift(2_000, 2_000), Drift(3_000, 3_000)]
    assert judge([1_500, 2_100, 2_200], drifts, N, 2_000) == Judged([500, 100], 1, 0, 1_000)


def test_a_gradual_drift_may_be_found_until_its_transition_is_over_and_a_window_more() -> None:
    """The delay is counted from its beginning all the same."""
    assert judge([1_900], [Drift(1_000, 1_800)], N, 200) == Judged([900], 0, 0, 3_000)
    assert judge([2_000], [Drift(1_000, 1_800)], N, 200) == Judged([], 1, 1, 3_000)


def test_without_drift_every_alarm_is_false() -> None:
    """A stationary control has no window, no delay and nothing to miss."""
    assert judge([5, 6], [], N) == Judged([], 0, 2, N)


def test_the_baselines_bound_what_a_detector_can_be() -> None:
    """To alarm always is never late and always wrong, to alarm never misses all."""
    found = card({}, [0.0] * N, ONE)
    assert found[ALWAYS].judged == Judged([0], 0, 2_000, 2_000)
    assert found[ALWAYS].judged.rate == PER
    assert found[NEVER].judged == Judged([], 1, 0, 2_000)


def test_a_pool_weighs_drifts_and_events_not_streams() -> None:
    """Means over several runs are those of all their drifts together; costs are weighed by runs."""
    both = pool([Cell(Judged([10], 0, 1, 1_000), 2.0, 1), Cell(Judged([40, 40], 1, 0, 3_000), 5.0, 2)])
    told = line("s", "abrupt", "d", both)
    assert told["delay"] == 30
    assert (told["drifts"], told["misses"], told["runs"]) == (4, 1, 3)
    assert told["false_per_10k"] == PER / 4_000
    assert told["us_per_event"] == 4.0


def test_an_alarm_that_the_loss_has_fallen_is_none() -> None:
    """As in the learner: a model that became better asks for no other."""
    rises, falls = [0.0] * 1_000 + [1.0] * 1_000, [1.0] * 1_000 + [0.0] * 1_000
    adwin = {"adwin": Detect("adwin")}
    assert card(adwin, rises, [Drift(1_000, 1_000)])["adwin"].judged.misses == 0
    assert card(adwin, falls, [])["adwin"].judged.false == 0


def test_events_without_a_prediction_keep_their_place() -> None:
    """A cold event feeds nothing, and the alarm after it stands where the event stood."""
    cold: list[float | None] = [None] * 100
    run: list[float | None] = [0.0 if n < 1_000 else 1.0 for n in range(1_500)]
    found = card({"adwin": Detect("adwin")}, cold + run, [Drift(1_100, 1_100)])["adwin"].judged
    assert found.delays == card({"adwin": Detect("adwin")}, run, [Drift(1_000, 1_000)])["adwin"].judged.delays


@pytest.mark.parametrize("name", STREAMS)
def test_every_stream_is_as_long_as_asked_and_the_same_for_the_same_seed(name: str) -> None:
    """Its drifts lie inside and ascend; controls have none."""
    stream, n = STREAMS[name], 403
    rows = list(stream.rows(1, n))
    assert len(rows) == n
    assert rows[:50] == list(islice(stream.rows(1, n), 50))
    starts = [drift.start for drift in stream.drifts(n)]
    assert starts == sorted(set(starts))
    assert all(0 < start < n for start in starts)
    assert stream.kind in KINDS
    assert bool(starts) == (not name.endswith("stationary"))


@pytest.mark.parametrize("name", ["rbf moving", "hyperplane moving"])
def test_a_moving_concept_stands_still_until_its_known_start(name: str) -> None:
    """The rows up to there do not depend on what comes after: a longer stream starts the same."""
    stream = STREAMS[name]
    long, short = list(stream.rows(1, 800)), list(stream.rows(1, 400))
    assert [x for x, _ in long[:200]] == [x for x, _ in short[:200]]
    assert long[:200] == short[:200]


def test_adwin_finds_a_concept_that_turns_over_soon() -> None:
    """A small real run: Sine becomes its opposite, and the tree's losses tell within 200 events."""
    stream = STREAMS["sine abrupt"]
    found = card({"adwin": Detect("adwin")}, losses(stream, 1, 4_000), stream.drifts(4_000))["adwin"]
    assert found.judged.misses == 0
    assert found.judged.false == 0
    assert 0 < found.judged.delays[0] < 200
    assert found.us


def test_a_detector_is_named_with_its_parameters() -> None:
    """Values are numbers, truth values or texts; colons and commas part them."""
    assert detect_of("adwin:delta=1e-5:clock=8") == Detect("adwin", delta=1e-5, clock=8)
    assert detect_of("kswin:every=32,alpha=0.001") == Detect("kswin", every=32, alpha=0.001)
    assert set(of_losses()) >= {"adwin", "ddm", "eddm", "page_hinkley", "kswin"}


@pytest.mark.parametrize(
    "text", ["foo", "psi", "adwin:delta", "adwin:dleta=1", "adwin:signal=loss", "kswin:every=1"]
)
def test_a_detector_that_cannot_be_is_refused_with_what_can(text: str) -> None:
    """Unknown names and parameters, and too dear ones, are wrong calls."""
    with pytest.raises(UsageError) as caught:
        detect_of(text)
    assert caught.value.remedy


def test_policies_are_named_once_each_and_all_by_default() -> None:
    """An unknown one is a wrong call that tells which there are."""
    assert policies_of(None) == ("evidence", "immediate", "never", "blend")
    assert policies_of("never, evidence,never") == ("never", "evidence")
    with pytest.raises(UsageError, match="unknown policy 'often'"):
        policies_of("never,often")


def test_variants_are_each_policy_with_each_set_of_detectors_but_the_live_one() -> None:
    """A chosen detector stands for those of the loss; those of other signals stay."""
    app = Application(name="a", task="binary", champion=lambda seed: seed)
    found = variants_of(app, ("evidence", "never"), {"eddm": Detect("eddm")})
    assert list(found) == ["never", "evidence eddm", "never eddm"]
    assert found["never"].drift == app.drift
    assert found["never"].swap.policy == "never"
    watched = found["evidence eddm"].drift or ()
    assert [one.name for one in watched if one.signal == "loss"] == ["eddm"]
    assert [one for one in watched if one.signal != "loss"] == [
        one for one in app.drift or () if one.signal != "loss"
    ]
    mixed = variants_of(replace(app, serve=Blend(lead=2.0)), ("never", "blend"), {"eddm": Detect("eddm")})
    assert [(title, one.serve) for title, one in mixed.items()] == [
        ("never", "champion"),
        ("never eddm", "champion"),
        ("blend eddm", Blend(lead=2.0)),
    ]
    assert variants_of(app, ("blend",), {})["blend"].serve == Blend()
    regression = Application(name="a", task="regression", champion=lambda seed: seed)
    with pytest.raises(UsageError):
        variants_of(regression, ("never",), {"eddm": Detect("eddm")})
