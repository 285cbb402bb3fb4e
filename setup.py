"""Compiles the flow to C where STREAM_APP_COMPILE=1 asks for it; everything else is in pyproject.toml.

Compiled and interpreted modules give the same bytes. What is pickled into snapshots is marked `serializable`
where it is defined, and `allow_interpreted_subclasses`, without which mypyc 2.4 leaves its `__init__` empty.
Fused multiply-add is switched off, since it rounds once where Python rounds twice. Linked as one whole, and
without detours for those who might replace a function, an event's code misses the caches less (ADR 9).
"""

from __future__ import annotations

import os

from setuptools import setup

HOT = [
    "topics/codec.py", "topics/envelope.py",
    "drift/detector.py", "drift/losses.py", "drift/mixture.py", "drift/monitors.py", "drift/policy.py",
    "drift/presence.py", "drift/sources.py", "drift/verdicts.py",
    "stream_app/inputs/bounds.py", "stream_app/inputs/envelopes.py", "stream_app/inputs/finders.py",
    "stream_app/inputs/keys.py", "stream_app/inputs/mapping.py", "stream_app/inputs/moments.py",
    "stream_app/inputs/paths.py",
    "stream_app/bridge/event_keys.py", "stream_app/bridge/order.py", "stream_app/bridge/translation.py",
    "stream_app/adapters/kafka_record.py", "stream_app/adapters/set_order.py",
    "stream_app/models/blending.py", "stream_app/models/calls.py",
    "stream_app/state/blend.py", "stream_app/state/entities.py", "stream_app/state/ids.py",
    "stream_app/state/pending.py", "stream_app/state/scores.py", "stream_app/state/shard.py",
    "stream_app/state/slot.py", "stream_app/state/vocabulary.py", "stream_app/state/windows.py",
    "stream_app/flow/blend.py", "stream_app/flow/bounds.py", "stream_app/flow/core.py",
    "stream_app/flow/detect.py", "stream_app/flow/explain.py", "stream_app/flow/quarantine.py",
    "stream_app/flow/learn.py", "stream_app/flow/orders.py", "stream_app/flow/outbox.py",
    "stream_app/flow/predict.py",
    "stream_app/flow/read.py", "stream_app/flow/score.py", "stream_app/flow/served.py",
    "stream_app/flow/step.py", "stream_app/flow/swap.py", "stream_app/flow/record_rules.py",
    "stream_app/flow/validate.py",
    "stream_app/learner/batch/emit.py", "stream_app/learner/batch/merge.py",
    "stream_app/learner/batch/processor.py",
]  # fmt: skip

LINKED = "-flto=auto -fvisibility=hidden -fno-semantic-interposition -fno-plt"

if os.environ.get("STREAM_APP_COMPILE") == "1":
    from mypyc.build import mypycify

    os.environ["CFLAGS"] = f"{LINKED} {os.environ.get('CFLAGS', '')} -ffp-contract=off"
    modules = mypycify(["--config-file=requirements/mypyc.ini", *HOT], opt_level="2", multi_file=True)
else:
    modules = []

setup(ext_modules=modules)
