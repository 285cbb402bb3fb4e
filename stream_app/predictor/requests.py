"""What requests and answers look like; the OpenAPI page is made from these. Times are epoch milliseconds."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from stream_app.models.explanations.report import MOST_TERMS
from topics.times import EARLIEST_MS, doubt


def since_1973(time_ms: int) -> int:
    """A time that does not count in seconds."""
    if time_ms < EARLIEST_MS:
        raise ValueError(doubt(time_ms))
    return time_ms


FeatureValue = Annotated[Any, Field(json_schema_extra={"type": ["number", "string", "boolean", "null"]})]
Key = Annotated[
    str, Field(min_length=1, max_length=256, description="the entity: the Kafka key, ≤ 256 bytes")
]
EventId = Annotated[str, Field(min_length=1, max_length=256, description="1 to 256 bytes")]
TimeMs = Annotated[
    int,
    AfterValidator(since_1973),
    Field(le=4_102_444_800_000, description="epoch milliseconds; default now"),
]
Age = Annotated[
    str, Field(max_length=32, examples=["30s", "10m"], description="a number with ms, s, m, h or d")
]
MOST_ROWS = 1_000
Most = Annotated[int, Field(ge=1, le=MOST_TERMS)]
FEATURES = {"amount": 12.5, "country": "PT"}


class Strict(BaseModel):
    """A misspelt field is refused, not passed over."""

    model_config = ConfigDict(extra="forbid", strict=True)


class PredictRequest(Strict):
    """One row. Its features override what the store knows of the entity under the same names."""

    key: Key = Field(examples=["customer-17"])
    features: dict[str, FeatureValue] = Field({}, examples=[FEATURES])
    time: TimeMs | None = None
    event_id: EventId | None = Field(None, description="of the recorded event; made up if left out")
    max_model_age: Age | None = Field(
        None, description="an older model is refused with 409, or the fallback answers"
    )
    max_feature_age: Age | None = Field(None, description="likewise for the entity's last event")
    record: bool = Field(False, description="also write the event to Kafka, so that its label can be learned")
    explain: Most | None = Field(
        None, description="also name so many features that moved the answer furthest"
    )


class ExplainRequest(Strict):
    """One row whose answer is to be explained."""

    key: Key = Field(examples=["customer-17"])
    features: dict[str, FeatureValue] = Field({}, examples=[FEATURES])
    time: TimeMs | None = None
    most: Most = Field(MOST_TERMS, description="so many features")


class BatchRow(Strict):
    """One row of a batch."""

    key: Key = Field(examples=["customer-17"])
    features: dict[str, FeatureValue] = Field({}, examples=[FEATURES])
    time: TimeMs | None = None


class BatchRequest(Strict):
    """Rows that are answered together, from the copies of one moment."""

    rows: list[BatchRow] = Field(min_length=1, max_length=MOST_ROWS)
    max_model_age: Age | None = None
    max_feature_age: Age | None = None


class FeedbackRequest(Strict):
    """The truth about an event, under the event's key."""

    key: Key = Field(examples=["customer-17"])
    event_id: EventId
    label: Any = Field(examples=[True])
    weight: float | None = Field(None, ge=0, le=1e6, strict=False)
    time: TimeMs | None = None


class ModelName(BaseModel):
    """Which model answered."""

    name: str
    version: int


class Contribution(BaseModel):
    """What one feature does to the answer; `reason` says it in words."""

    feature: str
    value: Any
    contribution: float
    reason: str


class ExplanationDocument(BaseModel):
    """Why an answer is what it is: `base`, all contributions and `rest` add up to `sum`.

    `unit`: log-odds, probability, value or score; of classes the terms speak for `about`. `method`: linear,
    path, removal or blend. `exact`: they are all that the model computed, else the effect of each feature.
    """

    method: str
    exact: bool
    unit: str
    base: float
    contributions: list[Contribution]
    rest: float = Field(description="sum of the contributions that are not listed")
    sum: float
    about: Any = None
    against: Any = None


class PredictResponse(BaseModel):
    """`stale` is true when the answer is older than it should be, `stale_because` says why: model-age,
    feature-age, view-unreachable. `learned` counts the labels that the model knew.
    """

    key: str
    prediction: Any
    cold: bool
    model: ModelName
    learned: int
    shard: int
    time_ms: int
    model_age_ms: int
    feature_age_ms: int | None
    entity_known: bool
    stale: bool
    stale_because: list[str]
    fallback: bool
    probabilities: dict[str, float] | None = Field(None, description="by the class's JSON text")
    prior: Any = Field(None, description="what is known without a model, while it is cold")
    weights: dict[str, float] | None = Field(None, description="of a blend: its models' weights, by name")
    explanation: ExplanationDocument | None = Field(None, description="where it was asked; none while cold")
    left_out: list[str] | None = Field(None, description="models of a blend too large to be published")
    event_id: str | None = Field(None, description="of the recorded event")
    recorded: bool | None = Field(None, description="whether Kafka has confirmed the event")


class BatchResponse(BaseModel):
    """In the order of the rows; a row that cannot be predicted has a problem in its place."""

    rows: list[PredictResponse | dict[str, Any]]


class FeaturesResponse(BaseModel):
    """An entity's features as a prediction now would see them."""

    key: str
    shard: int
    features: dict[str, Any]
    feature_age_ms: int | None
    entity_known: bool
    stale: bool


class FeedbackResponse(BaseModel):
    """Kafka has confirmed it."""

    event_id: str
    written: bool


class Problem(BaseModel):
    """RFC 9457. `fix` says what to do next."""

    type: str
    title: str
    status: int
    detail: str
    fix: str = ""
