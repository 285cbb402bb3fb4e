"""Explanations add up to the answer, and name the user's own features."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from river import (
    compose,
    ensemble,
    feature_extraction,
    forest,
    linear_model,
    naive_bayes,
    optim,
    preprocessing,
    tree,
)

from stream_app.models.calls import bind, bind_blend
from stream_app.models.explanations.explain import explain, explain_blend
from stream_app.models.explanations.explanation import Explanation, logistic
from stream_app.models.explanations.importance import BLOCK, MOVED, Importance
from stream_app.models.explanations.origins import MOST_TRIED, Transformed
from stream_app.models.explanations.report import report
from stream_app.models.question import Question

BINARY, MULTICLASS, REGRESSION = Question("binary"), Question("multiclass"), Question("regression")
CITIES = ("rome", "oslo", "lima")


def rows(n: int, seed: int = 1) -> list[dict[str, Any]]:
    """Rows of numbers and a category."""
    dice = Random(seed)
    return [
        {"amount": dice.gauss(5, 3), "age": dice.uniform(18, 90), "city": dice.choice(CITIES)}
        for _ in range(n)
    ]


def truth(row: dict[str, Any], question: Question) -> Any:
    """What is to be learned of a row."""
    score = row["amount"] + (2.0 if row["city"] == "oslo" else 0.0) - 0.05 * row["age"]
    if question.task == "regression":
        return score
    if question.task == "multiclass":
        return "low" if score < 1 else "mid" if score < 4 else "high"
    return score > 3.0


def learned(model: Any, question: Question, n: int = 2_500) -> Any:
    """The model after n rows."""
    for row in rows(n):
        model.learn_one(row, truth(row, question))
    return model


def encoded() -> Any:
    """Numbers scaled, the category one-hot encoded."""
    numbers = compose.Select("amount", "age") | preprocessing.StandardScaler()
    return numbers + (compose.Select("city") | preprocessing.OneHotEncoder())


def chance(model: Any, row: dict[str, Any]) -> float:
    """The probability of True."""
    probabilities = bind(model, BINARY).predict(row)[1]
    assert probabilities is not None
    return probabilities[True]


def explained(model: Any, row: dict[str, Any], question: Question) -> Explanation:
    """The explanation of what the model answers."""
    found = explain(model, row, question, bind(model, question).predict(row))
    assert found is not None
    return found


LINEAR: dict[str, tuple[Any, Question]] = {
    "logistic": (lambda: encoded() | linear_model.LogisticRegression(optim.SGD(0.05)), BINARY),
    "passive": (lambda: encoded() | linear_model.PAClassifier(), BINARY),
    "alma": (lambda: encoded() | linear_model.ALMAClassifier(), BINARY),
    "softmax": (lambda: encoded() | linear_model.SoftmaxRegression(), MULTICLASS),
    "linear": (lambda: encoded() | linear_model.LinearRegression(), REGRESSION),
    "pa-regression": (lambda: encoded() | linear_model.PARegressor(), REGRESSION),
}


@pytest.mark.parametrize("kind", LINEAR)
def test_a_linear_model_is_explained_exactly_by_the_users_features(kind: str) -> None:
    """Weight × value by the user's feature comes to the probability, or the value."""
    build, question = LINEAR[kind]
    model = learned(build(), question)
    for row in rows(50, seed=2):
        prediction, probabilities = bind(model, question).predict(row)
        found = explained(model, row, question)
        assert (found.method, found.exact) == ("linear", True)
        assert set(found.terms) <= {"amount", "age", "city"}
        if probabilities is None:
            assert found.total == pytest.approx(prediction, abs=1e-9)
        else:
            ours, theirs = probabilities[found.about], probabilities[found.against]
            assert logistic(found.total) == pytest.approx(ours / (ours + theirs), abs=1e-9)


def test_the_terms_of_a_logistic_regression_sum_to_its_logit() -> None:
    """Within 1e-9 of River's own."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for row in rows(500):
        model.learn_one({"amount": row["amount"], "age": row["age"]}, truth(row, BINARY))
    for row in rows(20, seed=3):
        plain = {"amount": row["amount"], "age": row["age"]}
        scaled = model["StandardScaler"].transform_one(plain)
        logit = model["LogisticRegression"]._raw_dot_one(scaled)
        assert explained(model, plain, BINARY).total == pytest.approx(logit, abs=1e-9)


TREES: dict[str, tuple[Any, Question, bool]] = {
    "majority": (lambda: tree.HoeffdingTreeClassifier(100, leaf_prediction="mc"), BINARY, True),
    "bayes": (lambda: tree.HoeffdingTreeClassifier(100, leaf_prediction="nb"), BINARY, False),
    "adaptive": (
        lambda: tree.HoeffdingAdaptiveTreeClassifier(100, leaf_prediction="mc", seed=1),
        MULTICLASS,
        True,
    ),
    "means": (lambda: tree.HoeffdingTreeRegressor(100, leaf_prediction="mean"), REGRESSION, True),
    "models": (lambda: tree.HoeffdingTreeRegressor(100, leaf_prediction="model"), REGRESSION, False),
}


@pytest.mark.parametrize("kind", TREES)
def test_a_tree_is_explained_by_its_path(kind: str) -> None:
    """The path's terms add up to the answer; exact where leaves hold no models."""
    build, question, exact = TREES[kind]
    model = learned(build() if kind != "models" else encoded() | build(), question)
    split = 0
    for row in rows(50, seed=2):
        found = explained(model, row, question)
        answer = bind(model, question).predict(row)
        full = answer[0] if answer[1] is None else answer[1][found.about]
        assert found.method == "path"
        assert found.exact or not exact  # a naive leaf may answer as its counts do
        assert found.total == pytest.approx(full, abs=1e-9)
        assert set(found.terms) <= {"amount", "age", "city"}
        split += bool(found.terms)
    assert split, "the tree never grew: nothing was shown"


def test_the_base_of_an_exact_path_is_what_the_root_answers() -> None:
    """So the terms say all that the splits did."""
    model = learned(tree.HoeffdingTreeRegressor(100, leaf_prediction="mean"), REGRESSION)
    root = model._root.stats.mean.get()
    for row in rows(20, seed=4):
        assert explained(model, row, REGRESSION).base == pytest.approx(root, abs=1e-9)


OTHERS: dict[str, tuple[Any, Question]] = {
    "forest": (lambda: forest.ARFClassifier(3, seed=1), BINARY),
    "bayes": (lambda: preprocessing.StandardScaler() | naive_bayes.GaussianNB(), BINARY),
    "bagging": (
        lambda: encoded() | ensemble.BaggingClassifier(linear_model.LogisticRegression(), seed=1),
        BINARY,
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_models_are_explained_by_removal_and_say_so(kind: str) -> None:
    """They add up too, and are not called exact."""
    build, question = OTHERS[kind]
    numbers = kind == "bayes"
    model = build()
    for row in rows(1_000):
        model.learn_one({k: v for k, v in row.items() if not numbers or k != "city"}, truth(row, question))
    for row in rows(10, seed=2):
        asked = {k: v for k, v in row.items() if not numbers or k != "city"}
        found = explained(model, asked, question)
        assert (found.method, found.exact) == ("removal", False)
        assert found.total == pytest.approx(chance(model, asked), abs=1e-9)


def test_features_that_a_transformer_names_anew_go_back_to_the_users() -> None:
    """Products and prefixes of features are theirs."""
    model = learned(
        compose.Select("amount", "age")
        | feature_extraction.PolynomialExtender(include_bias=True)
        | compose.Prefixer("made_")
        | preprocessing.StandardScaler()
        | linear_model.LinearRegression(),
        REGRESSION,
    )
    found = explained(model, rows(1, seed=2)[0], REGRESSION)
    assert not found.exact, "a product is of two features"
    assert set(found.terms) <= {"amount", "age", "made_bias"}
    assert found.terms["amount"]


def test_a_name_alone_makes_no_origin() -> None:
    """`amount` has no part in a product whose name begins with it, nor in a word that is its name."""
    product = compose.FuncTransformer(lambda x: {"amount_usd*rate": x["amount_usd"] * x["rate"]})
    model = product | linear_model.LinearRegression()
    row = {"amount": 5.0, "amount_usd": 2.0, "rate": 3.0}
    for _ in range(20):
        model.learn_one(row, 6.0)
    found = explained(model, row, REGRESSION)
    assert "amount" not in found.terms
    assert found.terms["rate"] == found.terms["amount_usd"] > 0.0
    spoken = feature_extraction.BagOfWords(on="text") | linear_model.LinearRegression()
    said = {"text": "amount due", "amount": 0.0, "age": 1.0}
    for _ in range(20):
        spoken.learn_one(said, 6.0)
    assert set(explained(spoken, said, REGRESSION).terms) == {"text"}


class Counting:
    """A transformer of words that counts how often it is asked."""

    asked = 0

    def transform_one(self, x: dict[str, Any]) -> dict[str, float]:
        self.asked += 1
        return {f"w{n}": 1.0 for n in range(500)}


def test_a_long_row_takes_a_bounded_number_of_transformations_and_predictions() -> None:
    """A client with a read token may ask with any row."""
    counting = Counting()
    passed = Transformed([counting], {f"x{n}": 1.0 for n in range(1_000)})
    passed.terms({f"w{n}": 1.0 for n in range(500)})
    assert counting.asked <= MOST_TRIED + 1
    model = learned(naive_bayes.GaussianNB(), BINARY, 0)
    for n in range(50):
        model.learn_one({f"x{k}": float(n % (k + 2)) for k in range(200)}, n % 2 == 0)
    row = {f"x{k}": 1.0 for k in range(200)}
    found = explained(model, row, BINARY)
    assert len(set(found.terms.values())) <= MOST_TRIED
    assert found.total == pytest.approx(chance(model, row), abs=1e-9)


def test_the_class_one_is_not_true() -> None:
    """Classes are explained under their own values."""
    model = tree.HoeffdingTreeClassifier(50, leaf_prediction="mc")
    for row in rows(500):
        model.learn_one(row, int(truth(row, BINARY)))
    found = explained(model, rows(1, seed=3)[0], BINARY)
    assert type(found.about) is int


class Doubled(linear_model.LinearRegression):
    """Answers twice what it adds up."""

    def predict_one(self, x: Any) -> Any:
        return 2.0 * super().predict_one(x)  # type: ignore[no-untyped-call]


def test_a_subclass_that_answers_otherwise_is_not_called_exact() -> None:
    """The sum is compared with the answer."""
    model = learned(compose.Select("amount") | Doubled(), REGRESSION)
    found = explained(model, rows(1)[0], REGRESSION)
    assert (found.method, found.exact) == ("removal", False)


def test_a_cold_model_has_no_explanation() -> None:
    """It has given no answer."""
    assert explain(linear_model.LinearRegression(), {"a": 1.0}, REGRESSION, (None, None)) is None


def test_a_blend_is_explained_by_the_weighted_sum_of_its_members() -> None:
    """In probabilities, which are what is blended."""
    members = [learned(TREES["majority"][0](), BINARY), learned(LINEAR["logistic"][0](), BINARY), None]
    weights = [0.25, 0.5, 0.25]
    for row in rows(20, seed=2):
        answer = bind_blend(members, weights, BINARY).predict(row)
        found = explain_blend(members, weights, row, BINARY, answer)
        assert found is not None
        assert answer[1] is not None
        assert found.total == pytest.approx(answer[1][True], abs=1e-9)
        alone = [explained(one, row, BINARY) for one in members[:2]]
        tree_part = alone[0].terms.get("amount", 0.0) / 3
        logistic_part = alone[1].as_probability(chance(members[1], row))
        assert found.terms["amount"] == pytest.approx(tree_part + logistic_part.terms["amount"] * 2 / 3)


def test_a_blend_of_values_is_exact_where_its_members_are() -> None:
    """Values are blended as they are."""
    members = [learned(LINEAR["linear"][0](), REGRESSION), learned(TREES["means"][0](), REGRESSION)]
    row = rows(1, seed=9)[0]
    answers = [bind(one, REGRESSION).predict(row)[0] for one in members]
    answer = (answers[0] * 0.75 + answers[1] * 0.25, None)
    found = explain_blend(members, [0.75, 0.25], row, REGRESSION, answer)
    assert found is not None
    assert found.exact
    assert found.total == pytest.approx(answer[0], abs=1e-9)


def test_a_report_lists_the_strongest_terms_and_sums_up_the_rest() -> None:
    """Base, contributions and rest are the sum; each has a sentence."""
    found = Explanation("linear", True, "log-odds", 0.5, {"a": 1.0, "b": -3.0, "c": 0.25}, True, False)
    document = report(found, {"a": 4.0, "b": "x", "c": True}, {"a": 1.0}, (), 2)
    assert [one["feature"] for one in document["contributions"]] == ["b", "a"]
    assert document["rest"] == 0.25
    total = document["base"] + sum(one["contribution"] for one in document["contributions"]) + 0.25
    assert document["sum"] == total == -1.25
    against, towards = (one["reason"] for one in document["contributions"])
    assert against == "b is x; it speaks against true (-3 log-odds)"
    assert towards == "a is 4, 4 times the usual 1; it speaks for true (+1 log-odds)"


def test_other_shares_of_what_features_do_are_noticed_once() -> None:
    """Against the block that is usual, which the differing one then becomes; chance is not enough."""
    importance, dice, seen = Importance(), Random(4), []
    for n in range(12 * BLOCK):
        a, b = (1.0, 9.0) if 4 * BLOCK <= n < 8 * BLOCK else (9.0, 1.0)
        terms = {"a": dice.gauss(0, a), "b": dice.gauss(0, b), "c": dice.gauss(0, 1.0)}
        importance.add(1, [Explanation("linear", True, "value", 0.0, terms)])
        if importance.moved is not None and importance.moved not in seen:
            seen.append(importance.moved)
    assert [sorted(name for name, _, _ in found.features[:2]) for found in seen] == [["a", "b"]] * 2
    assert all(MOVED < found.distance < 1.0 for found in seen)
