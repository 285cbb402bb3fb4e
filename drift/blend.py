"""What a definition says about a blend; apart from the mixture that computes it, since compiled it could not
be unpickled.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_RATES = 8
FASTEST = 10.0


@dataclass(frozen=True, kw_only=True)
class Blend:
    """Serve a mixture of the champion, the challengers and the candidates, weighted by how well each did.

    The experts' weights follow their losses by fixed share (Herbster and Warmuth 1998): for each learning
    rate of `rates` and each share of `shares` there is one mixer. A second mixer weighs those by the loss of
    the mixtures that were served, so nobody has to know the right rate. With `late`, where a label comes
    late, mixers learn from what each model says of the row just before it learns it, and the two slowest from
    what was served: one more prediction for each model and label.

    An expert of a search whose weight stays below `floor` for `patience` labels is retired. The expert with
    the most weight leads: it is named in receipts, once it had more than `lead` times the weight of the one
    before. Every `renew` labels, 0: never, a new model joins, of the factories of the two heaviest experts in
    turns (as in dynamic weighted majority, Kolter and Maloof 2007): young models follow a change best, and
    nobody sees it come. Predictors get the heaviest models that take at most `most_bytes` together, pickled.

    Raises:
        ValueError: a value out of range; correct the definition.
    """

    rates: tuple[float, ...] = (0.05, 0.2, 0.8, 3.0)
    shares: tuple[float, ...] = (0.0003, 0.02)
    late: bool = True
    floor: float = 0.005
    patience: int = 5_000
    renew: int = 1_000
    lead: float = 1.5
    most_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        if not 1 <= len(self.rates) <= MOST_RATES or not all(0 < rate <= FASTEST for rate in self.rates):
            raise ValueError(f"rates={self.rates!r}; give 1 to {MOST_RATES} numbers up to {FASTEST:g}")
        if not 1 <= len(self.shares) <= MOST_RATES or not all(0 < share < 0.5 for share in self.shares):
            raise ValueError(f"shares={self.shares!r}; give 1 to {MOST_RATES} numbers above 0 and below 0.5")
        if not 0 <= self.floor < 0.5:
            raise ValueError(f"floor={self.floor!r}; give a weight from 0 to below 0.5")
        if type(self.patience) is not int or self.patience < 1:
            raise ValueError(f"patience={self.patience!r}; give a number of labels from 1 on")
        if type(self.renew) is not int or self.renew < 0:
            raise ValueError(f"renew={self.renew!r}; give a number of labels, or 0 for never")
        if type(self.most_bytes) is not int or self.most_bytes < 1:
            raise ValueError(f"most_bytes={self.most_bytes!r}; give a number of bytes from 1 on")
        if not 1 <= self.lead <= FASTEST:
            raise ValueError(f"lead={self.lead!r}; give a factor from 1 to {FASTEST:g}")
