"""A shard whose concept turns over, whose candidates may be odd, and whose alarms may be scripted."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any

import orjson

from drift.monitors import Alarm, Monitors
from drift.signals import LOSS
from drift.verdicts import State, Verdict
from stream_app.application import Application, SwapPolicy
from stream_app.models.seeds import seed_for
from tests.bayes import Bayes, bayes
from tests.scenario.shard_driver import ShardDriver, application

TURN, END = 400, 1_400
FIRST = seed_for(42, "champion", 0)  # the seed of the definition's own champion
SHORT = SwapPolicy(min_labels=40, probation=300, cooldown=100, respawn=100, patience=600)


class Wrong:
    """A classifier that answers the opposite of what it thinks."""

    def __init__(self) -> None:
        self.inner: Any = Bayes()

    def predict_proba_one(self, x: dict[str, Any]) -> dict[Any, float]:
        return {label: 1.0 - p for label, p in self.inner.predict_proba_one(x).items()}

    def predict_one(self, x: dict[str, Any]) -> Any:
        answer = self.predict_proba_one(x)
        return max(answer, key=answer.__getitem__) if answer else None

    def learn_one(self, x: dict[str, Any], y: Any, w: float = 1.0) -> None:
        self.inner.learn_one(x, y)


def wrong(_seed: int) -> Any:
    """It is always worse."""
    return Wrong()


def definition(**changes: Any) -> Application:
    """Naive Bayes with little patience, changed by keyword."""
    return application(**{"champion": bayes, "swap": SHORT, **changes})


class Overheard(Monitors):
    """Watches nothing; of losses it hears what a test says."""

    def __init__(self, heard: Callable[[str, list[Alarm]], None]) -> None:
        super().__init__(())
        self.heard = heard

    def on_loss(self, slot: str, loss: float, alarms: list[Alarm]) -> None:
        self.heard(slot, alarms)


class SwapDriver(ShardDriver):
    """Feeds the concept (x > 0, turned over from `turn` on) and reads what became of models."""

    def __init__(self, app: Application | None = None, *, turn: int = TURN, noise: float = 0.0) -> None:
        super().__init__(app or definition())
        self.turn, self.noise, self.n = turn, noise, 0
        self.dice = random.Random(3)

    def feed(self, n: int = 1) -> None:
        """So many events, each with its label."""
        for _ in range(n):
            x = self.dice.uniform(-1, 1)
            label = ((x > 0) == (self.n < self.turn)) != (self.dice.random() < self.noise)
            assert self.event(f"e{self.n}", {"x": x}, label=label) is None
            self.n += 1

    def until(self, *, most: int = END, **state: Any) -> None:
        """Feed until the policy's attributes are these."""
        while any(getattr(self.state.policy, name) != value for name, value in state.items()):
            assert self.n < most, f"{state} did not come"
            self.feed()

    def script(self, at: Collection[int], state: State = State.DRIFT) -> None:
        """The champion's alarms come with the labels of these events and no others."""

        def heard(slot: str, alarms: list[Alarm]) -> None:
            if slot == self.state.serving and self.n in at:
                alarms.append(Alarm(LOSS, slot, "script", Verdict(state, 0.1, 0.1 + self.n / 1e4)))

        self.state.monitors = Overheard(heard)

    def alerts(self, kind: str) -> list[dict[str, Any]]:
        """The alerts of one type so far."""
        return [alert for alert in self.written("alerts") if alert["type"] == kind]

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """What was written to the topic of models, with its keys."""
        return [
            (send.key.decode(), orjson.loads(send.value or b""))
            for closed in self.closed
            for send in closed.commit.others
            if send.topic == "models" and send.key is not None
        ]

    def receipts(self, status: str) -> list[dict[str, Any]]:
        """The receipts of one status, by version; those of the pointer not again."""
        return [
            one for key, one in self.told() if one.get("status") == status and not key.endswith("/champion")
        ]

    def pointer(self) -> list[int]:
        """The versions that `<shard>/champion` has named."""
        return [one["version"] for key, one in self.told() if key == f"{self.state.shard}/champion"]

    def order(self, command: str, command_id: str, **fields: Any) -> tuple[str, str]:
        """An operator's order: its outcome and why."""
        assert self.command(command, command_id, **fields) is None
        done = dict(self.told())[f"{self.state.shard}/command/{command_id}"]
        return done["outcome"], done["why"]
