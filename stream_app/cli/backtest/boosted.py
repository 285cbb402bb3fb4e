"""scikit-learn: gradient-boosted trees that are fitted again and again, beside the models of a definition."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from stream_app.errors import UsageError
from stream_app.state.scores import Scores

WINDOW = 10_000  # of the newest labelled rows, which a fit sees
LEAST = 50  # of them
MOST_CATEGORIES = 250  # of a column; scikit-learn takes 255
Place = tuple[int, int]  # shard and event offset


class Boosted:
    """Refitted every `every` labels on the newest 10,000; answers with the newest fit, if there is one.

    Rows are answered together before each fit: one by one would take a hundred times as long.

    Raises:
        UsageError: scikit-learn is not installed.
    """

    def __init__(self, every: int, *, classify: bool) -> None:
        try:
            from sklearn.ensemble import (
                HistGradientBoostingClassifier,
                HistGradientBoostingRegressor,
            )
        except ImportError as error:
            raise UsageError(
                "--boosted needs scikit-learn, which is not installed", "pip install 'stream-app[boosted]'"
            ) from error
        self.kind = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
        self.classify, self.every = classify, every
        self.scores = Scores(classify)
        self.recent: deque[tuple[dict[str, Any], Any]] = deque(maxlen=WINDOW)
        self.asked: dict[Place, dict[str, Any]] = {}
        self.answers: dict[Place, tuple[Any, dict[Any, float] | None]] = {}
        self.came: list[tuple[Place, Any]] = []
        self.since = 0
        self.columns: dict[str, dict[str, int] | None] = {}  # categories by code; None: numbers
        self.model: Any = None

    def ask(self, place: Place, row: dict[str, Any]) -> None:
        """Note a row that the newest fit answers."""
        self.asked[place] = dict(row)

    def learn(self, place: Place, row: dict[str, Any], label: Any) -> None:
        """Take in a label; every so often, fit again."""
        self.came.append((place, label))
        self.recent.append((row, label))
        self.since += 1
        if self.since >= self.every and len(self.recent) >= LEAST:
            self.score()
            self.fit()

    def score(self) -> None:
        """Answer what was asked since the fit, and score what has its label."""
        if self.model is not None and self.asked:
            with self.one_thread():
                self.answer(list(self.asked), self.matrix(list(self.asked.values())))
        self.asked.clear()
        for place, label in self.came:
            answer = self.answers.pop(place, None)
            if answer is not None:
                self.scores.update(label, *answer)
        self.came.clear()

    def answer(self, places: Sequence[Place], matrix: Any) -> None:
        """Answer rows with the newest fit."""
        if not self.classify:
            values = self.model.predict(matrix).tolist()
            self.answers |= {place: (value, None) for place, value in zip(places, values, strict=True)}
            return
        classes = self.model.classes_.tolist()
        for place, chances in zip(places, self.model.predict_proba(matrix).tolist(), strict=True):
            best = max(range(len(classes)), key=chances.__getitem__)
            self.answers[place] = classes[best], dict(zip(classes, chances, strict=True))

    def fit(self) -> None:
        """Fit on the newest rows."""
        self.since = 0
        labels = [label for _, label in self.recent]
        if self.classify and len(set(labels)) < 2:
            return
        rows = [row for row, _ in self.recent]
        self.columns = columns_of(rows)
        categorical = [codes is not None for codes in self.columns.values()]
        self.model = self.kind(random_state=0, early_stopping=False, categorical_features=categorical)
        with self.one_thread():
            self.model.fit(self.matrix(rows), labels)

    def one_thread(self) -> Any:
        """Keep to one core: on a busy machine, threads that wait for each other take minutes."""
        from threadpoolctl import threadpool_limits  # it comes with scikit-learn

        return threadpool_limits(1)

    def matrix(self, rows: Sequence[dict[str, Any]]) -> Any:
        """Rows as numbers; what is absent, or a category that the fit did not know, is NaN."""
        import numpy as np

        matrix = np.full((len(rows), len(self.columns)), np.nan)
        for column, (name, codes) in enumerate(self.columns.items()):
            for line, row in enumerate(rows):
                value = row.get(name)
                if codes is not None:
                    value = codes.get(str(value))
                if type(value) in (int, float, bool):
                    matrix[line, column] = value
        return matrix


def columns_of(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, int] | None]:
    """Every feature of some rows; of strings the code of each category."""
    columns: dict[str, dict[str, int] | None] = {}
    for row in rows:
        for name, value in row.items():
            if type(value) is str:
                codes = columns.setdefault(name, {})
                if codes is not None and len(codes) < MOST_CATEGORIES:
                    codes.setdefault(value, len(codes))
            else:
                columns.setdefault(name, None)
    return columns
