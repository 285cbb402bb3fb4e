"""How a learner process ends when its loop fails."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_failed_loop_ends_the_process_although_a_thread_hangs() -> None:
    """The supervisor gets its turn at once, with the reason in the log: no hung thread keeps the shards."""
    script = """
        import threading
        from stream_app.wiring import learner as wiring
        from stream_app.cli import learn

        class Loop:
            stopping = threading.Event()
            def run(self):
                threading.Thread(target=threading.Event().wait).start()
                raise RuntimeError("the broker said something new")

        learn.settings_for = lambda **_: None
        learn.check_view = lambda _: None
        wiring.learner = lambda *_, **__: Loop()
        learn.load_app = lambda _: None
        learn.work(None, None, None, life=0, admission=False)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 70
    assert "the broker said something new" in done.stderr + done.stdout
