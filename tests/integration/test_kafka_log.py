"""The group member on a real broker: what a rebalance does to shards that are not read yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import uuid4

from kafka import KafkaProducer

from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.adapters.kafka_log import KafkaLog
from stream_app.embedded.services import Endpoints
from topics.catalog import catalog

SHARDS = 4


class Member(KafkaLog):
    """A member that owns what the group assigns and reads none of it: its shards all recover still."""

    def __init__(self, servers: str, name: str, **tuning: str) -> None:
        topics = catalog(name, SHARDS)
        inputs = topics.inputs
        super().__init__({"bootstrap.servers": servers}, name, inputs, **tuning)
        self.owned: set[int] = set()
        self.grants = 0
        self.subscribe(self.granted, lambda shards, _lost: self.owned.difference_update(shards))

    def granted(self, shards: list[int]) -> None:
        self.owned.update(shards)
        self.grants += 1


def test_a_member_lets_go_of_shards_that_it_has_not_begun_to_read(services: Endpoints) -> None:
    """A shard revoked during its recovery goes to the other member; nobody dies or waits for a session."""
    name = created(services)
    first = Member(services.bootstrap_servers, name)
    until_owned([first], {SHARDS})
    second = Member(services.bootstrap_servers, name)
    until_owned([first, second], {SHARDS // 2})
    assert first.owned | second.owned == set(range(SHARDS))
    for member in (first, second):
        member.close()


def test_shards_let_go_by_a_member_that_died_before_it_said_so_are_owned_again(services: Endpoints) -> None:
    """Its successor under the same instance id takes its place without a rebalance: all have an owner yet."""
    name = created(services)
    dying = Member(services.bootstrap_servers, name, **{"group.instance.id": "dying"})
    until_granted(dying, 2)  # a static member joins twice
    other = Member(services.bootstrap_servers, name)
    until_granted(other, 1)
    # Not polled any more, it is told to let go of two shards and never does.
    assert (len(dying.owned), len(other.owned)) == (SHARDS, 0)
    successor = Member(services.bootstrap_servers, name, **{"group.instance.id": "dying"})
    until_owned([successor, other], {SHARDS // 2})
    assert successor.owned | other.owned == set(range(SHARDS))
    for member in (successor, other):
        member.close()


def test_a_member_that_stands_still_holds_a_rebalance_up_for_its_bound_at_most(services: Endpoints) -> None:
    """It still sends heartbeats, from a thread of its client: without the bound nobody would own a shard."""
    name = created(services)
    bound = {"max.poll.interval.ms": "7000", "session.timeout.ms": "6000"}
    standing = Member(services.bootstrap_servers, name, **bound)
    until_owned([standing], {SHARDS})
    other = Member(services.bootstrap_servers, name, **bound)
    until_owned([other], {SHARDS})
    for member in (other, standing):
        member.close()


def created(services: Endpoints) -> str:
    """An application's name, its topics made."""
    name = f"log-{uuid4().hex[:8]}"
    with TopicAdmin({"bootstrap_servers": [services.bootstrap_servers]}) as admin:
        admin.create(catalog(name, SHARDS))
    return name


def until_granted(member: Member, count: int) -> None:
    """Poll a member until the group granted it shards, be it none, so many times."""
    poll_until(lambda: member.grants >= count, [member])


def until_owned(members: list[Member], count: set[int]) -> None:
    """Poll all until each owns so many shards."""
    poll_until(lambda: {len(member.owned) for member in members} == count, members)


def poll_until(done: Callable[[], bool], members: list[Member]) -> None:
    """Poll all in turns, for so long at most."""
    deadline_s = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline_s, [(member.grants, member.owned) for member in members]
        for member in members:
            member.poll(100, 0.02)


def test_the_end_of_an_input_is_known_without_asking(services: Endpoints) -> None:
    """Nothing before it is read; then what the answers to fetches said, also of records not yet polled."""
    name = created(services)
    producer = KafkaProducer(bootstrap_servers=services.bootstrap_servers)
    for _ in range(3):
        producer.send(f"{name}.events", b"{}", b"k", partition=1)
    producer.flush(20)
    producer.close()
    member = Member(services.bootstrap_servers, name)
    until_owned([member], {SHARDS})
    assert member.ends(1) == [None, None, None]
    member.start(1, [0, 1, 0])
    deadline_s = time.monotonic() + 30
    while member.ends(1) != [0, 3, 0]:
        assert time.monotonic() < deadline_s, member.ends(1)
        member.poll(1, 0.02)
    member.close()
