"""A model's receipt in plain words, and where it stands beside the statistics."""

from __future__ import annotations

from typing import Any

import msgspec

from stream_app.inspect.explain import why
from stream_app.inspect.model_status import LEFT_BEHIND, Shard, ShardReceipts, shard_of
from topics.records import DriftStats, ModelReceipt, SlotStats, SnapshotStats, Stats, ViewStats

T_MS = 1_700_000_000_000  # 2023-11-14 22:13:20 UTC
ALARM = {
    "detector": "adwin", "signal": "loss", "before": 0.012, "after": 0.31, "alarm_offset": 1_550,
    "features": [["x", 1.25], ["z", 0.0]],
}  # fmt: skip
TEST = {
    "hunt": 1, "e_value": 5_230.4, "threshold": 65.797, "pairs": 118, "champion_loss": 0.9375,
    "rival_loss": 0.125,
}  # fmt: skip
ORDER = {"command_id": "c", "actor": "ann", "reason": "labels\x1b[31m were wrong"}


def receipt(version: int, status: str, said: str, **changed: Any) -> ModelReceipt:
    """A receipt of shard 0, told with the batch of its version."""
    slot = "champion" if version == 1 else f"champion-{version}"
    common: dict[str, Any] = {
        "shard": 0,
        "slot": slot,
        "version": version,
        "parent": None,
        "why": said,
        "trained_through": None,
        "scores": {},
        "status": status,
        "time_ms": T_MS,
        "fingerprint": {"epoch": 0, "seq": version},
    }
    return ModelReceipt(**{**common, **changed})


FIRST = receipt(1, "serving", "the definition's champion", time_ms=0)


def shard(*receipts: ModelReceipt, stats: Stats | None = None) -> Shard:
    """Joined; the last of the serving ones holds the champion's key."""
    serving = [found for found in receipts if found.status == "serving"]
    versions = {found.version: found for found in receipts}
    return shard_of(ShardReceipts(0, serving[-1] if serving else None, versions), stats)


def statistics(seq: int, serving: str, *slots: tuple[str, int]) -> Stats:
    """Of one shard, after a batch."""
    return Stats(
        shard=0,
        time_ms=0,
        owner="o",
        epoch=0,
        seq=seq,
        log_time_ms=0,
        counts={},
        dead_letters={},
        waiting={},
        entities=0,
        ids=0,
        paused=False,
        serving=serving,
        slots=[SlotStats(name, version, 70, None, {"rolling": {"n": 0.0}}) for name, version in slots],
        baseline={},
        repredicted={},
        positions={},
        merge_waits_for=[],
        buffered={},
        replayed_batches=0,
        view=ViewStats(None, caught_up=False),
        snapshot=SnapshotStats(None, None, 0, 0.0, too_dear=False),
        cost_s={},
    )


def told(found: Shard, version: int, loss: str = "zero_one") -> str:
    """All sentences."""
    model = found.of(version)
    assert model is not None
    return "\n".join(why(found, model, loss))


def swapped(**changed: Any) -> Shard:
    """v3 has taken over from v1."""
    scores = {"champion": {"n": 1_040, "accuracy": 0.7131}, "champion-3": {"n": 0}}
    common: dict[str, Any] = {
        "parent": 1,
        "kind": "fresh",
        "evidence": ALARM | TEST,
        "scores": scores,
    }
    return shard(FIRST, receipt(3, "serving", "it loses less on the same rows", **{**common, **changed}))


def test_a_swap_by_evidence_is_told_with_its_alarm_and_its_bet() -> None:
    """Since when, instead of whom, what was seen, both losses, and what an e-value means."""
    expected = """
        champion-3 v3 serves since 2023-11-14 22:13:20 UTC. It is a candidate that began with nothing learned.
        It replaced champion v1.
        The hunt began with an alarm: the detector adwin saw a change in the losses of the model that served:
        0.012 before, 0.31 after, as a share of wrong answers.
        The features that had moved most: x (1.25); in standard deviations, for categories as population
        stability index.
        The evidence: both answered the same 118 rows before they knew the labels. v1 lost 0.938 on average,
        v3 0.125 (the share of wrong answers).
        Its e-value was 5,230, and 65.8 was enough. Read it as a bet: who staked 1 on v3 being the better one,
        row after row, then had 5,230. If it were no better, the stake would ever grow to 65.8 with a
        probability of 1.5 % at most, however often one looks.
        The newest scores of served predictions at that moment: champion accuracy 0.713 (n 1,040).
        """
    assert told(swapped(), 3).split() == expected.split()


def test_the_model_of_before_is_a_challenger_until_it_is_retired() -> None:
    """Its own receipt still says serving, and tells from when; its successor's tells until when."""
    found = swapped()
    assert [(model.version, model.status) for model in found.models] == [(3, "serving"), (1, "challenger")]
    text = told(found, 1)
    assert "champion v1 served from the first record until 2023-11-14 22:13:20 UTC." in text
    assert "It replaced no other model (the definition's champion), so no evidence was asked for" in text


def test_an_operators_order_is_told_with_its_reason_and_cannot_steer_the_terminal() -> None:
    """Who, why, and that no evidence was asked for; what a person wrote is made harmless."""
    text = told(swapped(evidence=ORDER, scores={}), 3)
    assert "ann ordered it: labels�[31m were wrong. An order asks for no evidence." in text
    assert "\x1b" not in text
    assert "alarm" not in text


def test_a_rollback_is_told_as_one() -> None:
    """It came back; the alarm that once began the hunt is not its reason, the evidence is."""
    back = receipt(
        1, "serving", "rollback: the previous champion loses less", parent=3, evidence=ALARM | TEST
    )
    text = told(shard(receipt(3, "retired", "version 1 took over", parent=1, kind="fresh"), back), 1)
    assert "It came back in place of champion-3 v3." in text
    assert "v3 lost 0.938 on average, v1 0.125" in text
    assert "alarm" not in text


def test_a_standing_challenger_wins_without_an_alarm() -> None:
    """It is compared all the time; the newest alarm is told as what it is."""
    text = told(swapped(kind="declared"), 3)
    assert "Challengers of the definition are compared with the model that serves all the time" in text
    assert "The newest alarm before that: the detector adwin" in text


def test_the_policy_immediate_asked_for_no_evidence() -> None:
    """There is an alarm and no comparison."""
    text = told(swapped(evidence=ALARM, why="an alarm, under the policy immediate"), 3)
    assert "No evidence was asked for: an alarm, under the policy immediate." in text


def test_candidates_living_and_retired() -> None:
    """Why it was started, and how it ended."""
    living = receipt(2, "candidate", "hunt 1: warm candidate", parent=1, kind="warm", evidence=ALARM)
    text = told(shard(FIRST, living), 2)
    assert "champion-2 v2 learns since 2023-11-14 22:13:20 UTC beside the model that serves" in text
    assert "It was started to replace champion v1 (hunt 1: warm candidate)." in text
    assert "the detector adwin" in text
    scores = {"cumulative": {"n": 50, "mae": 2_500.4}}
    gone = receipt(2, "retired", "lost hunt 1", parent=1, kind="warm", scores=scores)
    expected = """
        champion-2 v2 ended at 2023-11-14 22:13:20 UTC: lost hunt 1. It was a candidate that had learned the
        newest examples before it began. It was started to replace champion v1. Its served predictions had
        reached mae 2,500 (n 50).
        """
    assert told(shard(FIRST, gone), 2).split() == expected.split()


def test_a_candidate_of_a_blend_replaces_nobody() -> None:
    """It joined, and says why; retired, it says how it ended."""
    stats = statistics(9, "champion", ("champion", 1), ("champion-2", 2), ("blend", 2))
    for slot, weight in zip(stats.slots, (0.9, 0.1, 1.0), strict=True):
        slot.weight = weight
    why = "a new model joins every 1,000 labels"
    living = told(shard(FIRST, receipt(2, "candidate", why, parent=1, kind="fresh"), stats=stats), 2)
    assert "It joined the blend: a new model joins every 1,000 labels." in living
    gone = told(shard(FIRST, receipt(2, "retired", "made room", parent=1, kind="fresh"), stats=stats), 2)
    assert "champion-2 v2 ended at" in gone
    assert "replace" not in living + gone


def test_losses_of_values_are_no_shares_of_wrong_answers() -> None:
    """The definition's loss names the unit."""
    text = told(swapped(), 3, loss="absolute")
    assert "0.31 after, as a mean error." in text
    assert "(the absolute error, where 1 is six typical errors" in text


def test_evidence_of_another_shape_is_left_out() -> None:
    """Fields that are missing or of another type are no reason to fail."""
    text = told(swapped(evidence={"e_value": "much", "detector": 7}, scores={"a": 7, "b": {"n": "x"}}), 3)
    assert "It replaced champion v1." in text


def test_younger_statistics_tell_what_no_receipt_told() -> None:
    """A candidate that an upgrade left behind is retired; statistics from before a receipt tell nothing."""
    candidate = receipt(2, "candidate", "hunt 1: fresh candidate", parent=1, kind="fresh")
    younger = shard(FIRST, candidate, stats=statistics(5, "champion", ("champion", 1))).of(2)
    assert younger is not None
    assert (younger.status, younger.why, younger.since_ms) == ("retired", LEFT_BEHIND, None)
    older = shard(FIRST, candidate, stats=statistics(1, "champion", ("champion", 1))).of(2)
    assert older is not None
    assert (older.status, older.learned) == ("candidate", None)


def test_statistics_name_the_serving_model_when_no_receipt_did() -> None:
    """As after an upgrade that fell back to another slot."""
    found = swapped()
    stats = statistics(9, "champion", ("champion", 1))
    after = shard(*found.receipts.values(), stats=stats)
    serving = after.serving()
    assert serving is not None
    assert (serving.version, serving.learned) == (1, 70)
    assert msgspec.to_builtins(serving)["status"] == "serving"


def test_alarms_that_led_to_no_swap_are_named() -> None:
    """For the model that serves: the newest alarm of its losses, and the hunts that no candidate has won."""
    lost = [
        receipt(n, "retired", f"lost hunt {hunt}", parent=1, kind="fresh")
        for n, hunt in ((3, 1), (4, 1), (5, 2))
    ]
    stats = statistics(9, "champion", ("champion", 1))
    stats.drift = [
        DriftStats("loss", "champion", "adwin", "drift", 225.0, 35_828.0, T_MS),
        DriftStats("loss", "tree", "adwin", "drift", 1.0, 2.0, T_MS),
        DriftStats("feature", "champion", "psi", "drift", 3.0, 4.0, T_MS),
    ]
    text = told(shard(FIRST, *lost, stats=stats), 1, loss="absolute")
    assert "so no evidence was asked for." in text
    assert "came at 2023-11-14 22:13:20 UTC: adwin saw 225 before, 35,828 after, as a mean error." in text
    assert "Alarms have opened 2 hunts for a better model since it serves. No candidate has proved" in text
    assert "No alarm" not in text


def test_where_there_was_no_alarm_it_says_so() -> None:
    """And speaks of no hunt."""
    text = told(shard(FIRST), 1)
    assert "No alarm of its losses is known." in text
    assert "hunt" not in text
