"""What each topic is declared to be."""

from __future__ import annotations

import pytest

from topics import reasons
from topics.catalog import Catalog, catalog
from topics.codec import LARGEST_HEADERS_BYTES, LARGEST_VALUE_BYTES


@pytest.fixture
def topics() -> Catalog:
    """Three shards, replicated as in production."""
    return catalog("phishing", 3, replication=3, min_insync=2, input_retention_bytes=1_000)


def test_nine_topics_under_the_applications_name(topics: Catalog) -> None:
    """Every topic carries the name as prefix, in the spelling that users read in the manual."""
    assert [spec.name for spec in topics] == [
        f"phishing.{name}"
        for name in (
            *("events", "labels", "commands"),
            *("predictions", "alerts", "models", "stats", "dead-letters", "journal"),
        )
    ]
    assert topics.dead_letters.name == "phishing.dead-letters"


def test_every_topic_has_a_partition_for_each_shard(topics: Catalog) -> None:
    """A shard writes to the partition of its own number, so all counts are the same."""
    assert {(spec.partitions, spec.replication) for spec in topics} == {(3, 3)}
    assert {spec.config["min.insync.replicas"] for spec in topics} == {"2"}


def test_event_time_never_deletes_or_rolls(topics: Catalog) -> None:
    """Where a record's stamp is event time, neither retention nor segments go by time."""
    for spec in (topics.events, topics.labels, topics.commands, topics.predictions, topics.alerts):
        assert spec.config["message.timestamp.type"] == "CreateTime"
        assert spec.config["retention.ms"] == "-1"
        assert spec.config["retention.bytes"] == "1000"
        assert spec.config["segment.ms"] == str(2**63 - 1)
        assert spec.config["cleanup.policy"] == "delete"


def test_time_based_retention_goes_by_arrival(topics: Catalog) -> None:
    """No topic is kept by time unless the broker stamps it, else an old event's dead letter would vanish."""
    by_time = [spec for spec in topics if int(spec.config.get("retention.ms", "-1")) > 0]
    assert by_time == [topics.dead_letters]
    assert topics.dead_letters.config["message.timestamp.type"] == "LogAppendTime"
    assert int(topics.dead_letters.config["segment.ms"]) < int(topics.dead_letters.config["retention.ms"])


def test_inputs_refuse_stamps_that_would_drag_log_time_ahead(topics: Catalog) -> None:
    """Ten minutes ahead of the broker's clock at most."""
    for spec in (topics.events, topics.labels, topics.commands):
        assert spec.config["message.timestamp.after.max.ms"] == "600000"


def test_a_refused_input_fits_the_dead_letters(topics: Catalog) -> None:
    """The largest record that an input takes fits with our headers added; so does what the codec takes."""
    room = int(topics.dead_letters.config["max.message.bytes"])
    for spec in (topics.events, topics.labels, topics.commands):
        largest = int(spec.config["max.message.bytes"])
        assert largest + 2 * LARGEST_VALUE_BYTES < room
        assert largest > LARGEST_VALUE_BYTES + LARGEST_HEADERS_BYTES


def test_the_journal_is_kept_for_ever(topics: Catalog) -> None:
    """A replay needs every record: nothing expires and nothing is compacted."""
    journal = topics.journal.config
    assert (journal["retention.ms"], journal["retention.bytes"]) == ("-1", "-1")
    assert journal["cleanup.policy"] == "delete"


def test_models_are_compacted(topics: Catalog) -> None:
    """The newest value of each key is what counts."""
    assert topics.models.config["cleanup.policy"] == "compact"
    assert [spec for spec in topics if "compact" in spec.config["cleanup.policy"]] == [topics.models]


def test_stats_segments_are_a_fraction_of_their_bound(topics: Catalog) -> None:
    """The active segment is never deleted, so a bound below its size bounds nothing; nor does time bound."""
    assert topics.stats.config["retention.ms"] == "-1"
    assert int(topics.stats.config["segment.bytes"]) * 4 <= int(topics.stats.config["retention.bytes"])


def test_a_declaration_cannot_be_changed_after_it_was_made(topics: Catalog) -> None:
    """What was created and what is checked later are one and the same."""
    with pytest.raises(AttributeError):
        topics.events.partitions = 4  # type: ignore[misc]
    with pytest.raises(AttributeError):
        topics.events = topics.labels  # type: ignore[misc]


@pytest.mark.parametrize("name", ["a", "0", "fraud-eu_2", "a" * 100])
def test_good_names(name: str) -> None:
    """What is a valid topic prefix, of at most 100 characters, makes topic names that Kafka takes."""
    assert all(len(spec.name) <= 249 for spec in catalog(name, 1))


@pytest.mark.parametrize("name", ["", "Fraud", "a.b", "a b", "-a", "_a", "é", "a/b", "a\n", "..", "a" * 101])
def test_bad_names_are_refused_with_the_fix(name: str) -> None:
    """A name that Kafka, its metrics or a shell would confuse never becomes a topic."""
    with pytest.raises(ValueError, match="use lower-case letters"):
        catalog(name, 1)


def test_contradicting_numbers_are_refused_with_the_fix() -> None:
    """No shards, or more in-sync replicas than replicas, under which every write would fail."""
    with pytest.raises(ValueError, match="give at least 1"):
        catalog("a", 0)
    with pytest.raises(ValueError, match="lower it"):
        catalog("a", 1, replication=1, min_insync=2)


def test_every_reason_has_a_meaning_and_a_remedy() -> None:
    """Each code is listed once, with two sentences fit for a table."""
    codes = {value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)}
    assert codes == set(reasons.REASONS)
    for code, reason in reasons.REASONS.items():
        assert code == code.lower()
        for sentence in reason:
            assert sentence[0].isupper()
            assert not sentence.endswith(".")
