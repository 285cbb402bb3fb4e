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
    rate of `rates` and each share of `shares` there is one mixer, by the logarithmic and by the zero-one loss
    (values: by the absolute and by the squared error). A second mixer weighs those by the loss of the
    mixtures that were served, so nobody has to know the right rate. With `late` the first level learns once
    more from what each model says of the row just before it learns it, where the label came late.

    An expert of a search whose weight stays below `floor` for `patience` labels is retired. The expert with
    the most weight leads: it is named in receipts, once it had more than `lead` times the weight of the one
    before.

    Raises:
        ValueError: a value out of range; correct the definition.
    """

    rates: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    shares: tuple[float, ...] = (0.001, 0.01, 0.03)
    late: bool = True
    floor: float = 0.005
    patience: int = 5_000
    lead: float = 1.2

    def __post_init__(self) -> None:
        if not 1 <= len(self.rates) <= MOST_RATES or not all(0 < rate <= FASTEST for rate in self.rates):
            raise ValueError(f"rates={self.rates!r}; give 1 to {MOST_RATES} numbers up to {FASTEST:g}")
        if not 1 <= len(self.shares) <= MOST_RATES or not all(0 <= share < 0.5 for share in self.shares):
            raise ValueError(f"shares={self.shares!r}; give 1 to {MOST_RATES} numbers from 0 to below 0.5")
        if not 0 <= self.floor < 0.5:
            raise ValueError(f"floor={self.floor!r}; give a weight from 0 to below 0.5")
        if type(self.patience) is not int or self.patience < 1:
            raise ValueError(f"patience={self.patience!r}; give a number of labels from 1 on")
        if not 1 <= self.lead <= FASTEST:
            raise ValueError(f"lead={self.lead!r}; give a factor from 1 to {FASTEST:g}")
