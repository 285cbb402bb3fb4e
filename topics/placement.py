"""Which partition a key belongs to: murmur2, the default of Kafka's Java client and of kafka-python."""

from __future__ import annotations

MASK = 0xFFFFFFFF
M = 0x5BD1E995


def murmur2(key: bytes) -> int:
    """The 32-bit hash, unsigned. Source: Apache Kafka `Utils.murmur2`.

    >>> murmur2(b"21") & 0x7FFFFFFF == -973932308 & 0x7FFFFFFF
    True
    """
    length = len(key)
    h = (0x9747B28C ^ length) & MASK
    whole = length - length % 4
    for i in range(0, whole, 4):
        k = int.from_bytes(key[i : i + 4], "little")
        k = (k * M) & MASK
        k ^= k >> 24
        k = (k * M) & MASK
        h = ((h * M) & MASK) ^ k
    tail = key[whole:]
    if tail:
        h ^= int.from_bytes(tail, "little")
        h = (h * M) & MASK
    h ^= h >> 13
    h = (h * M) & MASK
    return h ^ (h >> 15)


def partition_for(key: bytes, partitions: int) -> int:
    """The partition of a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
