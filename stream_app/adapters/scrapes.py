"""prometheus-client: answers scrapes of one collector, with the process's memory and start."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.registry import Collector

from stream_app.errors import Refused


def serve_scrapes(collector: Collector, port: int, host: str, remedy: str) -> None:
    """Answer scrapes at http://host:port/metrics from a thread.

    Raises:
        Refused: the port is taken, or may not be used; `remedy` says which setting names it.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(collector)
    try:
        start_http_server(port, host, registry)
    except OSError as error:
        raise Refused(f"{host}:{port} cannot be bound for metrics ({error.strerror})", remedy) from error
