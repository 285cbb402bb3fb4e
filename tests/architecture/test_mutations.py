"""The guards that `python -m tests.mutations` takes out are still where its table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutations.guards import GUARDS, Guard

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_stands_in_its_file_once_and_its_test_exists(guard: Guard) -> None:
    """Else the table would take out nothing, or something else."""
    assert (ROOT / guard.file).read_text().count(guard.old) == 1
    assert guard.new != guard.old
    assert (ROOT / guard.test).exists()
