"""Guards of the promises: where each stands in the source, and the test that notices when it is gone."""

from __future__ import annotations

from typing import NamedTuple


class Guard(NamedTuple):
    """`old` stands in `file` exactly once; with `new` instead of it, `test` must fail."""

    name: str
    file: str
    old: str
    new: str
    test: str


GUARDS = (
    Guard(
        "a replay reads committed records alone",
        "stream_app/adapters/kafka_replay.py",
        '"isolation.level": "read_committed"',
        '"isolation.level": "read_uncommitted"',
        "tests/contract/test_port_replay.py",
    ),
    Guard(
        "offsets are committed in the transaction of their outputs",
        "stream_app/adapters/kafka_writer.py",
        "            if group is not None:\n",
        "            if False:\n",
        "tests/contract/test_port_writer.py",
    ),
    Guard(
        "a writer fences the one before it",
        "stream_app/adapters/transactions.py",
        '            "transactional.id": transactional_id,\n',
        '            "transactional.id": f"{transactional_id}-{id(self)}",\n',
        "tests/contract/test_port_writer.py",
    ),
    Guard(
        "after a lost connection the next transaction has a new producer",
        "stream_app/adapters/transactions.py",
        "        if self.unanswered:\n            self.renew()\n",
        "",
        "tests/faults/test_late_requests.py",
    ),
    Guard(
        "an input that is not known to be at its end is waited for",
        "stream_app/learner/batch/merge.py",
        "                    if not self.quiet[rank]:\n                        return runs\n",
        "",
        "tests/unit/test_learner_merge.py",
    ),
    Guard(
        "at one time a command precedes an event, and an event a label",
        "stream_app/learner/batch/merge.py",
        "(time_ms == bound_ms and best > bound_rank)",
        "False",
        "tests/unit/test_learner_merge.py",
    ),
    Guard(
        "what a life steps unproven is announced before",
        "stream_app/learner/care.py",
        "        if self.proven or self.announced is not None:\n            return False\n",
        "        return False\n",
        "tests/scenario/test_care.py",
    ),
    Guard(
        "a death while nothing is stepped is held against no record",
        "stream_app/learner/care.py",
        "        self.stepping = False\n        self.marks.set(shard, RESTING)\n",
        "        self.stepping = False\n",
        "tests/scenario/test_care.py",
    ),
    Guard(
        "an epoch continues the batch before it",
        "stream_app/learner/recovery/guards.py",
        "    if moved or (epoch.seq, epoch.digest) != (seq, digest):\n",
        "    if False:\n",
        "tests/scenario/test_upgrade.py",
    ),
    Guard(
        "a journal record without its predictions halts",
        "stream_app/learner/recovery/recover.py",
        "    refuse_torn(shard, predicted, last)\n",
        "",
        "tests/scenario/test_recovery.py",
    ),
    Guard(
        "offsets that the broker lost are set to the journal's",
        "stream_app/learner/recovery/recover.py",
        "    if are_behind(shard, committed, processor.positions):\n",
        "    if are_behind(shard, committed, processor.positions) and False:\n",
        "tests/scenario/test_upgrade.py",
    ),
    Guard(
        "what a broker left open is aborted before anything is read",
        "stream_app/adapters/transactions.py",
        "            left_open = aborted = self.left_open()\n            if left_open:\n",
        "            left_open = aborted = list[TopicPartition]()\n            if left_open:\n",
        "tests/faults/test_left_open.py",
    ),
    Guard(
        "statistics of an idle shard find what was left open",
        "stream_app/adapters/kafka_writer.py",
        "                if void:\n",
        "                if False:\n",
        "tests/faults/test_left_open.py",
    ),
    Guard(
        "a batch of labels alone does not end a part of what was left open",
        "stream_app/adapters/kafka_writer.py",
        "and (not written or self.doubts()):",
        "and not written:",
        "tests/faults/test_left_open.py",
    ),
    Guard(
        "a writer fails where a new producer aborts what it took for committed",
        "stream_app/adapters/transactions.py",
        "        if aborted:\n            raise",
        "        if False:\n            raise",
        "tests/faults/test_left_open.py",
    ),
    Guard(
        "a writer fails where an old generation aborts what it took for committed",
        "stream_app/adapters/transactions.py",
        "            void = self.overlooked() if stale else",
        "            void = self.overlooked() if False else",
        "tests/faults/test_left_open.py",
    ),
    Guard(
        "what shows a lost batch is not taken for a newer owner's",
        "stream_app/learner/recovery/recover.py",
        "    yield from helper.call(forget_lost, shown, view, shelf, processor)\n",
        "",
        "tests/scenario/test_lost_batches.py",
    ),
    Guard(
        "a record that a client gives again is dropped",
        "stream_app/learner/batch/merge.py",
        "            if record.offset < expected:\n                records = self.without",
        "            if False:\n                records = self.without",
        "tests/simulation/test_schedules.py",
    ),
    Guard(
        "offsets ahead of the journal halt",
        "stream_app/learner/recovery/offsets.py",
        "    if any(stored > end for stored, end in known):\n",
        "    if False:\n",
        "tests/scenario/test_upgrade.py",
    ),
    Guard(
        "an empty journal over inputs with a history halts",
        "stream_app/learner/recovery/lives.py",
        "    if known or any(",
        "    if False and any(",
        "tests/scenario/test_lives.py",
    ),
    Guard(
        "a dead letter fits its broker",
        "topics/fitting.py",
        "    if record_bytes(record.key, record.value, headers) <= LARGEST_LETTER_BYTES:\n",
        "    if record_bytes(record.key, record.value, headers) > 0:\n",
        "tests/scenario/test_fitting.py",
    ),
    Guard(
        "a model that has learned nothing is not asked",
        "stream_app/flow/predict.py",
        "    if slot.cold:\n        return COLD\n",
        "",
        "tests/scenario/test_model_faults.py",
    ),
    Guard(
        "a champion is shown once its batch is committed",
        "stream_app/learner/publish/champion_publisher.py",
        "            self.taken, self.error = "
        "Taken(processor.stamp, now_ms, head, making.payload, []), None\n",
        "            self.waiting = Taken(processor.stamp, now_ms, head, making.payload, [])\n",
        "tests/scenario/test_champion_publisher.py",
    ),
    Guard(
        "only what our keys signed is loaded",
        "stream_app/adapters/signing.py",
        "    if not verified(public, bytes.fromhex(signature.decode()), signed(head, payload)):\n",
        "    if False:\n",
        "tests/unit/test_adapters_signing.py",
    ),
    Guard(
        "a predictor takes no older champion of the same life",
        "stream_app/predictor/champions.py",
        "            if mine is not None and life == mine.life and batch <= mine.batch:\n",
        "            if mine is not None and life == mine.life and batch == mine.batch:\n",
        "tests/scenario/test_predictor.py",
    ),
    Guard(
        "features that changed while they were read are not trusted",
        "stream_app/predictor/entities.py",
        "hearing == self.hearing and key not in changed",
        "hearing == self.hearing",
        "tests/scenario/test_entity_cache.py",
    ),
    Guard(
        "ops acknowledges a record once its changes are written",
        "stream_app/ops/faust_app.py",
        "        sent = list(self.unwritten)\n",
        "        sent, self.unwritten = self.unwritten, []\n",
        "tests/unit/test_ops_tables.py",
    ),
    Guard(
        "a hunt's rivals share what it may spend",
        "drift/policy.py",
        "alpha_of(self.alpha, max(1, self.hunt)) / max(1, self.rivals)",
        "alpha_of(self.alpha, max(1, self.hunt))",
        "tests/unit/test_drift_policy.py",
    ),
    Guard(
        "hunts spend less and less",
        "drift/sequential.py",
        "    return alpha * SHARE / k**2\n",
        "    return alpha\n",
        "tests/unit/test_drift_sequential.py",
    ),
    Guard(
        "differences that come in runs are whitened",
        "drift/sequential.py",
        "            dependence = self.dependence()\n",
        "            dependence = 0.0\n",
        "tests/simulation/test_null_losses.py",
    ),
    Guard(
        "labels of a source that contradicts all others are held back",
        "stream_app/flow/quarantine.py",
        "    if verdict is Verdict.LEARN:\n        return False\n",
        "    return False\n",
        "tests/scenario/test_quarantine.py",
    ),
    Guard(
        "an event that came before is not answered again",
        "stream_app/flow/step.py",
        "    if known is not None and known[0] == content:\n",
        "    if False:\n",
        "tests/simulation/test_schedules.py",
    ),
    Guard(
        "outputs that an old generation could not commit are sent again as they are",
        "stream_app/learner/pipeline.py",
        "            self.refused = True\n            return None\n",
        "            self.closed = None\n            return None\n",
        "tests/simulation/test_schedules.py",
    ),
    Guard(
        "a recovery replays what the snapshot does not hold",
        "stream_app/learner/recovery/recover.py",
        "    yield from replay(processor, source, newest + 1, deps.clock, count)\n",
        "",
        "tests/simulation/test_schedules.py",
    ),
    Guard(
        "a view that fell behind is rebuilt",
        "stream_app/learner/publish/view_writer.py",
        "        self.phase = Phase.CURRENT if self.stored == stamp else Phase.LOOKING\n",
        "        self.phase = Phase.CURRENT\n",
        "tests/simulation/test_schedules.py",
    ),
    Guard(
        "rows wait for their label by event time, not by the wall clock",
        "stream_app/flow/step.py",
        "        before_ms = now - core.horizon_ms\n",
        "        before_ms = __import__('time').time_ns() // 1_000_000 - core.horizon_ms\n",
        "tests/simulation/test_schedules.py",
    ),
)
