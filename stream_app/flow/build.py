"""Which build of the flow this process runs: compiled or interpreted; both give the same bytes (ADR 9)."""

from __future__ import annotations

from importlib.util import find_spec


def flow_build() -> str:
    """`compiled` or `interpreted`."""
    spec = find_spec("stream_app.flow.step")
    origin = spec.origin if spec is not None else None
    return "interpreted" if origin is None or origin.endswith(".py") else "compiled"
