"""What a definition says of topics of the user's own that predictions are copied to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from stream_app.errors import UsageError
from topics.catalog import bridge_topic, catalog, retries_topic

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


def check_names(app_name: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Refuse topics that would feed themselves: the application's own, and outputs that are inputs.

    Raises:
        UsageError: there is one.
    """
    own = {spec.name for spec in (*catalog(app_name, 1), bridge_topic(app_name), retries_topic(app_name))}
    for name in (*inputs, *outputs):
        if name in own:
            text = (
                "Name a topic of yours; without inputs= and outputs=, the application's own are used directly"
            )
            raise UsageError(f"{name} is a topic of the application's own", text)
    for name in set(inputs) & set(outputs):
        raise UsageError(f"{name} is an input and an output", "Name another topic in outputs=")
