"""A web page that learns from clicks: headlines in the order in which this reader will probably click them.

stream-app services up
stream-app topics create examples.news:app
stream-app learn examples.news:app          # and in another terminal:
stream-app serve examples.news:app          # and in a third one:
python -m examples.news                     # then open http://127.0.0.1:8080 and click
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
from typing import Any
from uuid import uuid4

import uvicorn
from cachetools import LRUCache
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from river import compose, linear_model, preprocessing

from stream_app import Application, Labels
from stream_app import features as f
from stream_app.client import Answer, AsyncPredictorClient
from stream_app.errors import StreamAppError


def pipeline() -> Any:
    """Numbers are scaled, topics become indicators; both then meet in one row."""
    numbers = compose.SelectType(int, float) | preprocessing.StandardScaler()
    strings = compose.SelectType(str) | preprocessing.OneHotEncoder()
    return (numbers + strings) | linear_model.LogisticRegression()


# The entity is a reader and a topic together, so its features are what this reader did with this topic:
# how often it was shown lately, which share of the times it was clicked, and how long ago it was shown.
app = Application(
    name="news",
    task="binary",
    labels=Labels(horizon="30m", on_timeout="label", default=False),  # who never came back did not click
    features=[f.count(window="1h"), f.mean("clicked", window="30d", default=0.0), f.since_last()],
    champion=lambda seed: pipeline(),
    types={"topic": "string", "clicked": "number"},
)

HEADLINES = {
    "chess": "A draw after nine hours, and nobody left the hall",
    "cooking": "Why bread from yesterday makes the better soup",
    "cycling": "The pass is open again: forty bends without a car",
    "gardens": "Plant garlic now, thank yourself in July",
    "music": "The organ that needed six people to play it",
    "travel": "By night train from Lisbon to the north",
}
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>News for you</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }}
li {{ margin: 1rem 0 }} button {{ font: inherit; text-align: left; padding: .5rem .75rem; cursor: pointer }}
</style></head><body><main><h1>News for you</h1><p role="status">{}</p>
<ol>{}</ol><p><a href="/">Nothing of this, show others</a></p></main></body></html>"""
ITEM = '<li><form method="post" action="/click/{}"><button>{}</button></form><small>{}, {:.0%}</small></li>'
dice = random.Random()  # noqa: S311  which headline stands where is no secret
log = logging.getLogger("news")


class Newsroom:
    """What readers were shown and clicked, of the newest ten thousand; the others' labels come by timeout."""

    def __init__(self, predictor: AsyncPredictorClient) -> None:
        self.predictor = predictor
        self.shown: LRUCache[str, dict[str, str]] = LRUCache(10_000)  # by reader: unlabelled event id → key
        self.clicked: LRUCache[str, bool] = LRUCache(100_000)  # by key: how it went the last time

    async def page(self, reader: str) -> str:
        """Label what was shown and not clicked, then show all headlines, the likeliest first."""
        passed = self.shown.pop(reader, {})
        await asyncio.gather(*(self.label(key, event_id, clicked=False) for event_id, key in passed.items()))
        topics = dice.sample(list(HEADLINES), len(HEADLINES))
        answers = await asyncio.gather(*(self.show(f"{reader}/{topic}", topic) for topic in topics))
        chances = [(answer.probabilities or {}).get("true", 0.0) if answer else 0.0 for answer in answers]
        ranked = sorted(zip(chances, topics, answers, strict=True), key=lambda one: -one[0])
        learned = max((one.learned for one in answers if one), default=0)
        self.shown[reader] = {one.event_id: one.key for one in answers if one and one.event_id}
        note = f"Sorted by {learned:,} outcomes." if learned else "Unsorted: no model has learned yet."
        items = [
            ITEM.format(answer.event_id if answer else "none", HEADLINES[topic], topic, chance)
            for chance, topic, answer in ranked
        ]
        return PAGE.format(note, "".join(items))

    async def show(self, key: str, topic: str) -> Answer | None:
        """Predict and record that it is shown; without a predictor the page comes all the same."""
        features: dict[str, Any] = {"topic": topic}
        if key in self.clicked:
            features["clicked"] = float(self.clicked[key])  # a number, so that it has a mean
        try:
            return await self.predictor.predict(key, features, record=True)
        except StreamAppError as error:
            log.warning("not predicted: %s", error)
            return None

    async def label(self, key: str, event_id: str, *, clicked: bool) -> None:
        """Give an event its label; one that gets lost will time out as not clicked."""
        self.clicked[key] = clicked
        try:
            await self.predictor.feedback(key, event_id, clicked)
        except StreamAppError as error:
            log.warning("not labelled: %s", error)


def website(newsroom: Newsroom) -> FastAPI:
    """The page and the click; the reader is a cookie."""
    site = FastAPI(openapi_url=None)

    @site.get("/")
    async def front(request: Request) -> Response:
        reader = request.cookies.get("reader", "")
        if not (len(reader) == 32 and reader.isalnum() and reader.isascii()):
            reader = uuid4().hex
        answer = HTMLResponse(await newsroom.page(reader), headers={"Cache-Control": "no-store"})
        answer.set_cookie("reader", reader, max_age=30 * 86_400, httponly=True, samesite="lax")
        return answer

    @site.post("/click/{event_id}")
    async def click(request: Request, event_id: str) -> Response:
        key = newsroom.shown.get(request.cookies.get("reader", ""), {}).pop(event_id, None)
        if key is not None:  # what an older page showed has its label already
            await newsroom.label(key, event_id, clicked=True)
        return RedirectResponse("/", 303)

    return site


def main() -> None:
    """Serve until Ctrl-C."""
    options = argparse.ArgumentParser(description="News in the order of their readers' clicks.")
    options.add_argument("--port", type=int, default=8080)
    options.add_argument("--predictor", default="http://127.0.0.1:8000", help="address of stream-app serve")
    given = options.parse_args()
    # A page had rather be unsorted than late: the predictor has less than a second.
    predictor = AsyncPredictorClient(given.predictor, timeout_s=0.5, within_s=0.9)
    uvicorn.run(website(Newsroom(predictor)), host="127.0.0.1", port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
