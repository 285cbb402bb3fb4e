"""Online learning on Kafka: one input log, one deterministic state machine, one transaction per shard.

from stream_app import Application, Labels, SwapPolicy, features as f
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream_app.application import (
        Application,
        Avro,
        Blend,
        Detect,
        Event,
        Inputs,
        Label,
        Labels,
        Limits,
        Output,
        Outputs,
        Protobuf,
        Serving,
        Snapshots,
        SwapPolicy,
        Topic,
    )
    from stream_app.models.pools import pool

__all__ = [
    "Application", "Avro", "Blend", "Detect", "Event", "Inputs", "Label", "Labels", "Limits", "Output",
    "Outputs", "Protobuf", "Serving", "Snapshots", "SwapPolicy", "Topic", "pool",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """What a definition is made of, when it is asked for: `stream_app.client` alone loads none of it."""
    if name == "pool":
        from stream_app.models import pools  # noqa: PLC0415  see above

        return pools.pool
    if name in __all__:
        from stream_app import application  # noqa: PLC0415  see above

        return getattr(application, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
