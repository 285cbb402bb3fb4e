"""How far the answers of a blend are ahead of what its models would have answered alone, over many labels."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

import msgspec

from stream_app.ops.history import BLEND, Point

STRETCH = 1_000  # labels: what a rolling score is of
MOST = 10  # stretches that are looked back on


class Regret(msgspec.Struct, frozen=True):
    """The mean score of a blend less that of its models, over stretches of `STRETCH` labels or more.

    `single` is the model that was best over all `stretches`. The best sequence takes the best model of each
    stretch, which nobody knows before. Where lower is better, more is worse.
    """

    labels: int
    stretches: int
    single: str
    less_single: float
    less_sequence: float


def regret_of(points: Iterable[Point], *, lower_is_better: bool) -> Regret | None:
    """Compare over the newest `MOST` stretches of a shard's points; None where no blend answers."""
    chosen: list[Point] = []
    for point in sorted(points, key=lambda point: -point.time_ms):
        if not point.serving.startswith(BLEND) or point.serving not in point.scores or len(point.scores) < 2:
            break
        if not chosen or point.learned <= chosen[-1].learned - STRETCH:
            chosen.append(point)
        if len(chosen) == MOST:
            break
    by_stretch = [
        {name: value for name, (value, _) in point.scores.items() if not name.startswith(BLEND)}
        for point in chosen
    ]
    throughout = set.intersection(*map(set, by_stretch)) if by_stretch else set()
    if not throughout:
        return None
    best = min if lower_is_better else max
    alone = {name: fmean(stretch[name] for stretch in by_stretch) for name in sorted(throughout)}
    single = best(alone, key=lambda name: alone[name])
    served = fmean(point.scores[point.serving][0] for point in chosen)
    oldest = chosen[-1]
    return Regret(
        min(chosen[0].learned, chosen[0].learned - oldest.learned + int(oldest.scores[oldest.serving][1])),
        len(chosen),
        single,
        served - alone[single],
        served - fmean(best(stretch.values()) for stretch in by_stretch),
    )
