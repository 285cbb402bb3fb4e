"""The compiled flow: the same bytes as the interpreted one, and snapshots that either of them reads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.integration.image_stage import run_stage

pytestmark = [pytest.mark.soak(only=True), pytest.mark.timeout(1_200)]
ROOT = Path(__file__).parents[2]
HEADER = Path(sysconfig.get_path("include"), "Python.h")
ABOUT_OTHER_CODE = ("ops_http", "predictor", "trim", "whatif")  # they take a minute and step little
CUT = 40  # batches before the snapshot
SCRIPT = f"""
import sys
from pathlib import Path
from stream_app.adapters.pickled import dump
from stream_app.adapters.unpickler import unpickle
from stream_app.flow import step
from stream_app.learner.recovery.snapshots import state_digest
from tests.simulation.test_determinism import *

app, batches = definition(sys.argv[1]), runs_of(traffic(400, 1), 2)
machine = fresh(app)
play(machine, batches[:{CUT}])
Path(sys.argv[2]).write_bytes(dump(machine.core.state))
place = machine.seq, machine.digest, list(machine.positions)
if len(sys.argv) > 3:
    state = unpickle(Path(sys.argv[3]).read_bytes(), app.modules)
    machine = machine_of(app, state, *place)
play(machine, batches[{CUT}:])
print(Path(step.__file__).suffix, machine.digest, state_digest(machine.core.state))
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage of the Dockerfile leaves behind, made from the sources as they are now."""
    if shutil.which("gcc") is None or not HEADER.exists():
        pytest.skip("no C compiler or no Python.h: nothing can be compiled here, and nothing needs it")
    root = tmp_path_factory.mktemp("image")
    run_stage(root)
    return root


@pytest.fixture(scope="module")
def compiled(image: Path) -> Path:
    """Where the wheel of that stage lies unpacked: the compiled flow."""
    [wheel] = (image / "opt" / "wheels").glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(image / "compiled")
    return image / "compiled"


def test_what_the_image_installs_has_the_compiled_flow(image: Path) -> None:
    """Its environment runs the command, and `doctor` says which flow it runs."""
    done = subprocess.run(
        [image / "opt" / "venv" / "bin" / "stream-app", "doctor"],
        cwd=image,
        env={**os.environ, "STREAM_APP_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ok    flow: compiled\n" in done.stdout, done.stdout + done.stderr


def say(path: Path | None, *arguments: str) -> list[str]:
    """(suffix of the module that steps, digest of the chain, digest of the state) of one run."""
    first = [str(path)] if path else []
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join([*first, str(ROOT)]),
    }
    command = [sys.executable, "-P", "-c", SCRIPT, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("model", ["logistic", "tree", "forest"])
def test_compiled_and_interpreted_say_the_same(compiled: Path, model: str, tmp_path: Path) -> None:
    """One chain of digests and one state, also where the one goes on from the other's snapshot."""
    slow, fast = str(tmp_path / "interpreted"), str(tmp_path / "compiled")
    suffix, *expected = say(None, model, slow)
    assert suffix == ".py"
    assert say(compiled, model, fast) == [".so", *expected]
    assert say(compiled, model, str(tmp_path / "a"), slow) == [".so", *expected]
    assert say(None, model, str(tmp_path / "b"), fast) == [".py", *expected]


def test_the_contract_holds_compiled(compiled: Path) -> None:
    """Every kind of input, faults of models, swaps and replays end as in the interpreted flow."""
    suites = [
        "tests/scenario",
        "tests/simulation/test_determinism.py",
        "tests/simulation/test_swaps_replayed.py",
        *map(str, sorted((ROOT / "tests" / "unit").glob("test_inputs_*.py"))),
        *map(str, sorted((ROOT / "tests" / "unit").glob("test_bridge_*.py"))),
    ]
    left_out = [f"--ignore=tests/scenario/test_{name}.py" for name in ABOUT_OTHER_CODE]
    paths = f"pythonpath={compiled} ."
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-o", paths, *left_out, *suites]
    environment = {**os.environ, "STREAM_APP_TEST_FORM": "test"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5_000:]
