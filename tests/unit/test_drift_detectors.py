"""Detectors by name: what each finds, what leaves it quiet, what silences none, and what is refused."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from drift.detector import Detector
from drift.detectors import MAKERS, SOUND, Detect
from drift.signals import LOSS, SIGNALS
from drift.verdicts import STABLE, State, Verdict

BINARY = ["ddm", "eddm", "hddm_a", "hddm_w", "fhddm"]
NUMERIC = ["adwin", "page_hinkley", *BINARY]  # judge errors too
SEEDS = [1, 2, 3]
CHANGE, END = 3_000, 6_000
# Drifts in 20,000 errors of a constant rate, over three seeds. EDDM's statistic has no bound for false alarms
# (it cries wolf: 2 to 76 over eight seeds), so that its own is that it is no worse than one in 200.
FALSE = {"adwin": 0, "page_hinkley": 2, "ddm": 1, "eddm": 100, "hddm_a": 2, "hddm_w": 4, "fhddm": 2}


def errors(rate: float, n: int, dice: random.Random) -> list[float]:
    """Errors, 0 or 1, of one rate."""
    return [float(dice.random() < rate) for _ in range(n)]


def fed(detector: Any, values: Iterable[Any]) -> list[tuple[int, Verdict]]:
    """Where the detector said anything but stable, and what."""
    return [(n, found) for n, value in enumerate(values) if (found := detector.update(value)) is not STABLE]


def drifts(found: list[tuple[int, Verdict]]) -> list[tuple[int, Verdict]]:
    """The verdicts that are no warnings."""
    return [one for one in found if one[1].state is State.DRIFT]


def changed(seed: int) -> list[float]:
    """An error rate of 0.1 that becomes 0.4."""
    dice = random.Random(seed)
    return errors(0.1, CHANGE, dice) + errors(0.4, END - CHANGE, dice)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", NUMERIC)
def test_an_abrupt_change_of_errors_is_found(name: str, seed: int) -> None:
    """Within 500 errors of the change there is a drift, told with the rates on both sides of it."""
    found = drifts(fed(Detect(name).build(), changed(seed)))
    after = [verdict for n, verdict in found if CHANGE <= n < CHANGE + 500]
    assert after
    if name != "eddm":  # it may have cried before, and its estimates with it
        assert 0.05 < after[0].before < 0.2
        assert 0.25 < after[0].after < 0.6


@pytest.mark.parametrize("name", NUMERIC)
def test_a_constant_error_rate_leaves_it_quiet(name: str) -> None:
    """20,000 errors of one rate, for three seeds, raise no more drifts than the detector's bound."""
    for seed in SEEDS:
        found = drifts(fed(Detect(name).build(), errors(0.2, 20_000, random.Random(seed))))
        assert len(found) <= FALSE[name], seed


@pytest.mark.parametrize("seed", SEEDS)
def test_kswin_finds_another_distribution_and_stays_quiet_on_one(seed: int) -> None:
    """A shift by three deviations is found within 60 fed values; of 20 windows of one kind, one may cry."""
    dice = random.Random(seed)
    before, after = ([dice.gauss(mean, 1) for _ in range(400)] for mean in (0, 3))
    found = drifts(fed(Detector("kswin", Detect("kswin").build().inner), before + after))
    assert any(400 <= n < 460 for n, _ in found)
    assert len([n for n, _ in found if n < 400]) <= 2


@pytest.mark.parametrize("name", ["adwin", "page_hinkley"])
def test_numbers_of_any_size_are_judged(name: str) -> None:
    """A mean that moves by two deviations is told with what it was and what it is."""
    dice = random.Random(5)
    values = [dice.gauss(0 if n < CHANGE else 2, 1) for n in range(END)]
    found = drifts(fed(Detect(name, "features").build(), values))
    n, verdict = next(one for one in found if one[0] >= CHANGE)
    assert n < CHANGE + 300
    assert abs(verdict.before) < 0.3
    assert 1 < verdict.after < 3


@pytest.mark.parametrize("name", [*NUMERIC, "kswin"])
@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_passed_over(name: str, odd: float) -> None:
    """NaN and infinities among the values change no verdict, where one would silence ADWIN for ever."""
    clean, dirty = Detect(name, every=None).build(), Detect(name, every=None).build()
    clean.every = dirty.every = 1
    values = changed(1)[CHANGE - 600 : CHANGE + 600]
    for n, value in enumerate(values):
        if n % 50 == 0:
            assert dirty.update(odd) is STABLE
        assert dirty.update(value) == clean.update(value), n
    assert dirty.n == clean.n


def test_a_warning_is_told_once_when_it_begins() -> None:
    """While it lasts there is no second one; after it ended, or after a drift, there may be."""

    class Scripted:
        script = iter("www.ww" + "dww")
        drift_detected = warning_detected = False

        def update(self, _value: float) -> None:
            said = next(self.script)
            self.drift_detected, self.warning_detected = said == "d", said in "wd"

    detector = Detector("scripted", Scripted())
    told = [detector.update(1.0).state.value[0] for _ in range(9)]
    assert "".join(told) == "wss" + "s" + "ws" + "d" + "ws"


def test_statistics_start_again_after_a_drift() -> None:
    """The second change is told with the mean since the first one, not since the beginning."""
    values = [*([0.0] * 2_000), *([1.0] * 2_000), *([0.0] * 2_000)]
    found = drifts(fed(Detect("adwin").build(), values))
    second = next(verdict for n, verdict in found if n >= 4_000)
    assert second.before > 0.9
    assert second.after < second.before


def test_one_value_in_so_many_is_fed() -> None:
    """`every` says which: the others are not counted and change nothing."""
    sparse, dense = Detect("adwin", every=5).build(), Detect("adwin").build()
    values = changed(2)
    found = fed(sparse, values)
    assert [n // 5 for n, _ in found] == [n for n, _ in fed(dense, values[4::5])]
    assert (sparse.seen, sparse.n) == (END, dense.n)
    assert found


REFUSED: dict[str, tuple[Callable[[], Detect], str]] = {
    "name": (lambda: Detect("oracle"), "unknown detector 'oracle'; known are adwin"),
    "signal": (lambda: Detect("adwin", "weather"), "unknown signal 'weather'; known are loss"),
    "parameter": (lambda: Detect("adwin", sensitivity=1), "detector 'adwin'.*sensitivity"),
    "kind": (lambda: Detect("adwin", delta="small"), "detector 'adwin'"),
    "kind seen late": (lambda: Detect("page_hinkley", threshold="high"), "detector 'page_hinkley'"),
    "division": (lambda: Detect("fhddm", sliding_window_size=0), "detector 'fhddm'.*zero"),
    "panic": (lambda: Detect("adwin", clock=0), "detector 'adwin'.*zero"),
    "window": (lambda: Detect("kswin", window_size=10), "detector 'kswin'"),
    "dear": (lambda: Detect("kswin", every=1), "kswin costs 370 µs a value; feed it every=25 or fewer"),
    "every zero": (lambda: Detect("adwin", every=0), "every=0: give 1 or more"),
    "every half": (lambda: Detect("adwin", every=2.5), "every=2.5"),  # type: ignore[arg-type]
    "psi sampled": (lambda: Detect("psi", "labels", every=4), "psi counts every value; give it size="),
    "psi size": (lambda: Detect("psi", "labels", size=0), "size=0"),
    "psi bound": (lambda: Detect("psi", "labels", psi=0), "psi=0"),
    "psi z": (lambda: Detect("psi", "labels", alpha_z="x"), "alpha_z='x'"),
    "psi classes": (lambda: Detect("psi", "labels", max_classes=1), "max_classes=1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_with_the_remedy(case: str) -> None:
    """A definition that would fail while it runs fails when it is made, also by a panic of Rust."""
    make, text = REFUSED[case]
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("signal", [signal for signal in SIGNALS if signal != LOSS])
def test_detectors_of_errors_judge_losses_only(name: str, signal: str) -> None:
    """Any other signal is refused and adwin named."""
    with pytest.raises(ValueError, match=r"judges errors.*adwin"):
        Detect(name, signal)


@pytest.mark.parametrize("signal", ["loss", "label_delay", "label_rate"])
def test_psi_judges_categories_only(signal: str) -> None:
    """A signal that is always a number is refused and adwin named."""
    with pytest.raises(ValueError, match="is a number; use adwin"):
        Detect("psi", signal)


def test_kswin_is_seeded_and_sampled_unless_told() -> None:
    """Without a seed a replay would differ; at one value in 25 it costs no more than 15 µs a value."""
    assert Detect("kswin").params == (("seed", 42),)
    assert Detect("kswin").every == 25
    assert Detect("kswin", seed=7, every=50).params == (("seed", 7),)
    assert [Detect(name).every for name in NUMERIC] == [1] * len(NUMERIC)


@pytest.mark.parametrize("name", MAKERS)
def test_a_stored_detector_goes_on_as_if_it_had_not_been_stored(name: str) -> None:
    """After a pickle round trip in mid-stream its later verdicts are equal."""
    detect = Detect(name, "labels" if name == "psi" else LOSS)
    assert pickle.loads(pickle.dumps(detect)) == detect
    detector = detect.build()
    values = [str(value) for value in changed(1)] if name == "psi" else changed(1)
    if name == "kswin":
        detector.every = 1
        dice = random.Random(1)
        values = [dice.gauss(3 * (n > 500), 1) for n in range(800)]
    half = len(values) // 2
    fed(detector, values[:half])
    stored = pickle.loads(pickle.dumps(detector))
    later = fed(detector, values[half:])
    assert later == fed(stored, values[half:])
    assert later


@pytest.mark.parametrize(("name", "params"), sorted(SOUND))
def test_what_is_taken_for_sound_can_be_tried_out(name: str, params: tuple[tuple[str, Any], ...]) -> None:
    """The detectors that a definition has by default work with their parameters."""
    Detect(name, "labels" if name == "psi" else LOSS, **dict(params)).try_out()
