"""An executor for calls that may never return, such as those to a hanging file system."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Thread
from typing import Any


class DaemonPool(Executor):
    """Each call has a daemon thread of its own: one that hangs delays neither another call nor the exit."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start the call at once."""
        future: Future[Any] = Future()

        def work() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # raised again where the result is asked for
                future.set_exception(error)
            else:
                future.set_result(result)

        Thread(target=work, daemon=True, name="snapshot-store").start()
        return future
