"""Keys lie where Kafka's Java client puts them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner import default as kafka_python

from topics.placement import murmur2, partition_for

# Source: Apache Kafka, clients UtilsTest.testMurmur2; Java's int is signed.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("key", JAVA)
def test_murmur2_is_javas(key: bytes) -> None:
    """The vectors of Kafka's own test come out, read as signed 32-bit integers."""
    assert murmur2(key) == JAVA[key] % 2**32


@pytest.mark.parametrize("key", JAVA)
@pytest.mark.parametrize("partitions", [1, 2, 3, 4, 7, 1_024])
def test_the_sign_bit_is_cut_off_before_the_remainder(key: bytes, partitions: int) -> None:
    """Java's `toPositive(murmur2(key)) % n`: not the absolute value, and not the unsigned hash."""
    assert partition_for(key, partitions) == (JAVA[key] & 0x7FFFFFFF) % partitions


@given(st.binary(max_size=64))
def test_murmur2_is_kafka_pythons(key: bytes) -> None:
    """The client SDK's library hashes any key alike, of any length modulo four and with any sign."""
    assert murmur2(key) == kafka_python.murmur2(key)


def test_keys_spread_over_the_partitions() -> None:
    """10,000 numbered entities fill four shards evenly, within a tenth."""
    counts = Counter(partition_for(f"user-{i}".encode(), 4) for i in range(10_000))
    assert sorted(counts) == [0, 1, 2, 3]
    assert all(2_250 < n < 2_750 for n in counts.values())
