"""Why a record became a dead letter: a code, its meaning and its remedy."""

from __future__ import annotations

from typing import NamedTuple

MALFORMED = "malformed"
TOO_LARGE = "too-large"
NO_KEY = "no-key"
BAD_KEY = "bad-key"
BAD_TIME = "bad-time"
UNMAPPED = "unmapped"
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
CRASH = "crash"
OPS_ERROR = "ops-error"


class Reason(NamedTuple):
    """What a reason means and what to do: one sentence each, without its stop."""

    meaning: str
    remedy: str


REASONS: dict[str, Reason] = {
    MALFORMED: Reason(
        "The value is not the JSON object that its topic takes",
        "Correct the producer; the message names the place, docs/schemas the form",
    ),
    TOO_LARGE: Reason(
        "The value or the headers are over their bound, which is judged before parsing",
        "Send values of at most 64 KiB, at most 64 headers and 16 KiB of them",
    ),
    NO_KEY: Reason(
        "The record has no key, so it belongs to no entity",
        "Set the Kafka key to the entity's name",
    ),
    BAD_KEY: Reason(
        "The key is empty, over 256 bytes, not UTF-8, or has a NUL",
        "Use a short text as key",
    ),
    BAD_TIME: Reason(
        "The record is stamped before 1973: in seconds, or not at all",
        "Stamp records with epoch milliseconds",
    ),
    UNMAPPED: Reason(
        "The definition's Topic does not fit the record, or its read function raised",
        "Correct the path or the function that the message names, upgrade, and retry",
    ),
    BAD_FEATURE: Reason(
        "A feature's value, type or name cannot be taken, or there are none or too many",
        "Correct the feature that the message names; if its earlier type was the mistake, declare it in "
        "types=, upgrade, and retry",
    ),
    EVENT_ID_REUSED: Reason(
        "Another event had this id within the dedupe window, with other content",
        "Give every event an id of its own",
    ),
    LABEL_BAD: Reason(
        "The label is null, not finite, too large, or of a type that the task does not take",
        "Send a class (boolean, string, integer of 64 bits) or a finite number",
    ),
    LABEL_UNKNOWN_CLASS: Reason(
        "The class is not among the declared ones, the set is full, or it equals another class",
        "Declare the right ones in Labels(classes=[...]), or raise max_classes of a multiclass task; "
        "upgrade and retry; or use classes of one JSON type",
    ),
    LABEL_LATE: Reason(
        "The label came after its event's horizon",
        "Raise Labels(horizon=...)",
    ),
    LABEL_ORPHAN: Reason(
        "No event of this id came within the horizon",
        "Check event_id, the key and the producer's partitioner",
    ),
    LABEL_CONTRADICTORY: Reason(
        "Another label was applied to this event before; the first valid one counts",
        "Send one label for an event",
    ),
    LABEL_OTHER_KEY: Reason(
        "The label's key is not its event's",
        "Produce the label under its event's key",
    ),
    LABEL_UNEXPECTED: Reason(
        "The definition takes no labels",
        "Declare Labels(...), or stop sending labels",
    ),
    MODEL_ERROR: Reason(
        "The serving model raised while it learned this label",
        "Correct the model by what the message says and upgrade, so that later labels are learned; this one "
        "counts as come, so that lesson is lost",
    ),
    CRASH: Reason(
        "The learner died or failed at this record at each of its attempts",
        "Look at the learner's log for the exit code or the stack; correct the model or give it more memory, "
        "then retry",
    ),
    OPS_ERROR: Reason(
        "Operations could not take a record that fits its contract",
        "Keep the letter for the developers; retrying it changes nothing",
    ),
}
