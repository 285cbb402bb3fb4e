"""Why a record became a dead letter: codes for programs, meanings and fixes for people."""

from __future__ import annotations

MALFORMED = "malformed"
TOO_LARGE = "too-large"
NO_KEY = "no-key"
BAD_KEY = "bad-key"
BAD_FEATURE = "bad-feature"
EVENT_ID_REUSED = "event-id-reused"
LABEL_BAD = "label-bad"
LABEL_UNKNOWN_CLASS = "label-unknown-class"
LABEL_LATE = "label-late"
LABEL_ORPHAN = "label-orphan"
LABEL_CONTRADICTORY = "label-contradictory"
LABEL_OTHER_KEY = "label-other-key"
LABEL_UNEXPECTED = "label-unexpected"
MODEL_ERROR = "model-error"

# reason → (meaning, fix)
REASONS: dict[str, tuple[str, str]] = {
    MALFORMED: ("the value is not the JSON object that the topic takes", "correct the producer; see docs/schemas"),
    TOO_LARGE: ("value or headers are over their bound, judged before parsing", "send less than 64 KiB"),
    NO_KEY: ("the record has no key, so it belongs to no entity", "set the Kafka key to the entity's name"),
    BAD_KEY: ("the key is over 256 bytes, no UTF-8, or has a NUL", "use a short text as key"),
    BAD_FEATURE: ("a feature's value, type or name cannot be taken", "the message names the feature and the bound"),
    EVENT_ID_REUSED: ("another event had this id within the dedupe window", "give every event an id of its own"),
    LABEL_BAD: ("the label is null, not finite, or of a wrong type", "send a class or a finite number"),
    LABEL_UNKNOWN_CLASS: ("the class is not in the set, or the set is full", "declare it, or raise max_classes"),
    LABEL_LATE: ("the label came after its event's horizon", "raise Labels(horizon=...)"),
    LABEL_ORPHAN: ("no event of this id came within the horizon", "check event_id, key and partitioner"),
    LABEL_CONTRADICTORY: ("another label was applied to this event before", "the first valid label counts"),
    LABEL_OTHER_KEY: ("the label's key is not its event's", "produce the label under its event's key"),
    LABEL_UNEXPECTED: ("the definition takes no labels", "declare Labels(...) or stop sending labels"),
    MODEL_ERROR: ("the serving model raised or answered no number", "the message tells what it raised; mend the model"),
}
