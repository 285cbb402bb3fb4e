"""How long tests of faults, storms and statistics last.

`scripts/test` takes seconds for each. `scripts/soak` takes minutes for all; CI calls both with every change.
`scripts/soak --long` takes hours. A test that has a longer form has the marker `soak`; one whose shorter form
would prove too little has `soak(only=True)`, and `scripts/test` leaves it out. One of which `scripts/soak`
would only repeat what `scripts/test` has done has `soak(long=True)`: its longer form is that of `--long`.
"""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")
FORMS = ("test", "soak", "long")
FORM = os.environ.get("STREAM_APP_TEST_FORM", FORMS[0])


def length(test: T, soak: T, long: T) -> T:
    """The one of this run."""
    return (test, soak, long)[FORMS.index(FORM)]
