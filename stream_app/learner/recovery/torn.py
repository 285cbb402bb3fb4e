"""A transaction of which a broker committed one part: found where the journal and the predictions part.

One that is whole gives both or neither. What is compared is the end, where a writer that died left off; a
prediction beyond the journal is found by `guards.check_predicted`.
"""

from __future__ import annotations

import msgspec

from stream_app.errors import Halted


class Answered(msgspec.Struct):
    """A prediction, as far as it says which event it answers."""

    offset: int


decode = msgspec.json.Decoder(Answered).decode


def refuse_torn(shard: int, predicted: int | None, last: bytes | None) -> None:
    """Compare the event of the newest committed prediction with the last one of the batches just replayed.

    `predicted` is None where none is retained, `last` where no replayed batch has one: then nothing is known.

    Raises:
        Halted: a journal record without its predictions.
    """
    if predicted is not None and last is not None and (expected := decode(last).offset) > predicted:
        raise Halted(
            f"shard {shard}: the journal has a prediction for the event at offset {expected}, but the newest "
            f"one committed is for {predicted}: a broker committed a part of a transaction",
            "Restore both topics from one backup, or start the application under a new name",
        )
