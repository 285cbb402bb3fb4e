"""Write example data as CSV, each row with its entity: `python -m examples.data NAME > NAME.csv`.

All but `payments` come with River; `payments` is made up: cards pay now and then, and some are misused.
"""

from __future__ import annotations

import csv
import math
import random
import sys
from collections.abc import Iterator
from typing import Any

from river import datasets

ENTITIES = 100  # data without an entity of its own is dealt out to this many
BUNDLED: dict[str, Any] = {
    "phishing": datasets.Phishing,
    "segments": datasets.ImageSegments,
    "shuttle": datasets.Shuttle,
    "weights": datasets.ChickWeights,
}
CARDS = 40
PAYMENTS = 6_000
BEGIN_MS = 1_767_225_600_000  # 2026-01-01T00:00Z; fixed, so that every run writes the same file
HOME, AWAY = ("de", "fr", "pl"), ("br", "us", "jp", "za")


def bundled(name: str) -> Iterator[dict[str, Any]]:
    """Rows of a data set of River's, with `entity` in front and `label` at the end (`shuttle` has none)."""
    for i, (features, label) in enumerate(BUNDLED[name]()):
        entity = f"chick-{features.pop('chick')}" if name == "weights" else f"entity-{i % ENTITIES}"
        truth = {} if name == "shuttle" else {"label": label}
        yield {"entity": entity, **features, **truth}


def payments() -> Iterator[dict[str, Any]]:
    """Card payments in order of time; a misused card pays six times within minutes, from abroad."""
    dice = random.Random(7)  # noqa: S311  made-up data, the same in every run
    rows: list[dict[str, Any]] = []
    while len(rows) < PAYMENTS:
        card, at_ms = dice.randrange(CARDS), BEGIN_MS + dice.randrange(30 * 86_400_000)
        if dice.random() < 0.03:
            for i in range(6):
                amount = round(dice.uniform(1, 30), 2)
                rows.append(payment(card, at_ms + 40_000 * i, amount, dice.choice(AWAY), fraud=True))
        else:
            amount = round(math.exp(dice.gauss(3.2, 0.8)), 2)
            country = HOME[card % len(HOME)] if dice.random() < 0.9 else dice.choice(AWAY)
            rows.append(payment(card, at_ms, amount, country, fraud=False))
    return iter(sorted(rows, key=lambda row: (row["time"], row["card"])))


def payment(card: int, at_ms: int, amount: float, country: str, *, fraud: bool) -> dict[str, Any]:
    """One row; `time` is the event's, epoch ms."""
    return {"time": at_ms, "card": f"card-{card}", "amount": amount, "country": country, "fraud": fraud}


def main() -> None:
    """The named data to stdout."""
    names = (*BUNDLED, "payments")
    if len(sys.argv) != 2 or sys.argv[1] not in names:
        sys.exit(f"usage: python -m examples.data {'|'.join(names)}")
    rows = payments() if sys.argv[1] == "payments" else bundled(sys.argv[1])
    first = next(rows)
    writer = csv.DictWriter(sys.stdout, first.keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerow(first)
    writer.writerows(rows)


if __name__ == "__main__":
    main()
