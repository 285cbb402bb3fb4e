"""What a definition says of topics of the user's own that predictions are copied to."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from stream_app.errors import UsageError

FORMS = ("json", "json-schema", "avro")


@dataclass(frozen=True)
class Output:
    """A topic that exists already, and how records are written to it.

    `format`: json (as in `<app>.predictions`), json-schema (the same behind a Confluent header) or avro; the
    latter two register their schema under the subject `<name>-value`.

    Raises:
        UsageError: it contradicts itself; the remedy names the fix.
    """

    name: str
    _: KW_ONLY
    format: str = "json"

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise UsageError(f"output {self.name!r} has no name", 'Write Output("scores")')
        if self.format not in FORMS:
            raise UsageError(
                f"output {self.name}: format={self.format!r}", f"Choose one of {', '.join(FORMS)}"
            )

    @property
    def has_schema(self) -> bool:
        """Whether a registry has to know its schema."""
        return self.format != "json"


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where the bridge copies committed predictions to, each exactly once.

    Raises:
        UsageError: it is not an `Output`.
    """

    predictions: Output

    def __post_init__(self) -> None:
        if not isinstance(self.predictions, Output):
            raise UsageError(
                f"predictions={self.predictions!r} is not an Output", f"Write Output({self.predictions!r})"
            )
