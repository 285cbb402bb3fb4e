"""Whether snapshots can be written is known before the first event is learned."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_app.adapters.write_test import try_writing
from stream_app.errors import Refused


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    """Nothing stays but the application's directory."""
    try_writing(str(tmp_path / "new" / "place"), "shop")
    assert [path.name for path in (tmp_path / "new" / "place").rglob("*")] == ["shop"]


def test_a_place_that_cannot_be_written_is_refused_with_its_remedy(tmp_path: Path) -> None:
    """Below a file nothing can be made."""
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(Refused, match="snapshots cannot be written to") as raised:
        try_writing(str(file / "place"), "shop")
    assert "STREAM_APP_SNAPSHOTS__URL" in raised.value.remedy
