"""What is watched, by name.

loss         served loss of each model (0 or 1, or the absolute error); the champion's alarm opens a hunt
features     each input feature by itself: numbers by a detector of numbers, strings and booleans by psi
prediction   what the champion served: the class, or the value; P(True) for a detector of numbers
labels       the labels themselves: the balance of classes, or the target
label_delay  ms between an event and its label
label_rate   labels that came within a block of `RATE_BLOCK` events, per event
missing_rate share of the expected features that an event lacks
"""

from __future__ import annotations

from typing import Final

LOSS: Final = "loss"
FEATURES: Final = "features"
PREDICTION: Final = "prediction"
LABELS: Final = "labels"
LABEL_DELAY: Final = "label_delay"
LABEL_RATE: Final = "label_rate"
MISSING_RATE: Final = "missing_rate"
SIGNALS = (LOSS, FEATURES, PREDICTION, LABELS, LABEL_DELAY, LABEL_RATE, MISSING_RATE)
NUMERIC = (LOSS, LABEL_DELAY, LABEL_RATE, MISSING_RATE)  # never categories
RATE_BLOCK: Final = 100  # events
