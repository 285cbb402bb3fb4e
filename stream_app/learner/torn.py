"""A transaction of which a broker committed one part: found where the journal and the predictions part.

One that is whole gives both or neither. What is compared is the end, where a writer that died left off.
"""

from __future__ import annotations

import msgspec

from stream_app.errors import Halted
from topics.envelope import EVENT

REMEDY = "Restore both topics from one backup, or start the application under a new name"


class Answered(msgspec.Struct):
    """A prediction, as far as it says which event it answers."""

    offset: int


decode = msgspec.json.Decoder(Answered).decode


def refuse_torn(shard: int, newest: bytes | None, last: bytes | None, positions: list[int]) -> None:
    """Compare the newest committed prediction with the last one of the batches just replayed.

    `newest` is None where none is retained, `last` where no replayed batch has one: then nothing is known.

    Raises:
        Halted: a prediction without its journal record, or a journal record without its predictions.
    """
    if newest is None:
        return
    answered = decode(newest).offset
    if answered >= positions[EVENT]:
        raise Halted(
            f"shard {shard}: a prediction for the event at offset {answered} is committed, but the journal "
            f"has read the events up to {positions[EVENT]} only: a broker committed a part of a transaction",
            f"{REMEDY}; until then, consumers must drop the predictions from that event on",
        )
    if last is not None and (expected := decode(last).offset) > answered:
        raise Halted(
            f"shard {shard}: the journal has a prediction for the event at offset {expected}, but the newest "
            f"one committed is for {answered}: a broker committed a part of a transaction",
            REMEDY,
        )
