"""httpx: schemas by id from a registry that speaks Confluent's API; each is asked for once.

Source: Confluent Schema Registry API, "Schemas" and "Subjects".
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

from stream_app.errors import Refused
from stream_app.inputs.schemas import RegistryAway, Schema
from stream_app.ports import Clock
from topics import reasons
from topics.codec import Rejected

UNKNOWN_S = 30.0  # an id that the registry does not know is not asked for again before
DEEPEST = 16  # references of references


class SchemaRegistry:
    """Keeps what was fetched; `options` are those of httpx (auth, verify, cert, timeout)."""

    def __init__(self, url: str, clock: Clock, **options: Any) -> None:
        self.url, self.clock = url, clock
        self.http = httpx.Client(base_url=url, headers={"Accept": "application/json"}, **options)
        self.known: dict[int, Schema] = {}
        self.unknown_s: dict[int, float] = {}

    def schema(self, number: int) -> Schema | Rejected:
        """The schema of an id, or that the registry does not know it.

        Raises:
            RegistryAway: it does not answer, or lets nobody in.
        """
        if number in self.known:
            return self.known[number]
        now_s = self.clock.monotonic()
        if now_s - self.unknown_s.get(number, -UNKNOWN_S) >= UNKNOWN_S:
            found = self.ask(f"/schemas/ids/{number}")
            references = self.references(found, DEEPEST) if found is not None else None
            if found is not None and references is not None:
                schema = Schema(found.get("schemaType") or "AVRO", found["schema"], tuple(references))
                self.known[number] = schema
                return schema
            self.unknown_s[number] = now_s
        text = f"the schema registry does not know schema {number}, or one that it refers to"
        return Rejected(reasons.MALFORMED, text)

    def register(self, subject: str, kind: str, text: str) -> int:
        """The id of a schema under a subject, known or new.

        Raises:
            RegistryAway: it does not answer, or lets nobody in.
            Refused: it does not take the schema.
        """
        body = {"schema": text, "schemaType": kind}
        try:
            answer = self.http.post(f"/subjects/{quote(subject, safe='')}/versions", json=body)
            if answer.status_code in (httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY):
                raise Refused(
                    f"the schema registry does not take the schema of {subject}: {answer.text[:300]}",
                    "Set the subject's compatibility to NONE, or name another topic in outputs=",
                )
            answer.raise_for_status()
            return int(answer.json()["id"])
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            raise RegistryAway(self.silence(error)) from error

    def silence(self, error: Exception) -> str:
        """What is said of a registry that does not answer."""
        return f"the schema registry at {self.url} does not answer ({type(error).__name__}: {error})"

    def references(self, found: dict[str, Any], deep: int) -> list[tuple[str, str]] | None:
        """Name and text of what a schema refers to, what is needed first first; None: one is not known."""
        texts: list[tuple[str, str]] = []
        for one in found.get("references") or () if deep else ():
            subject, version = quote(one["subject"], safe=""), one["version"]
            other = self.ask(f"/subjects/{subject}/versions/{version}?deleted=true")
            inner = self.references(other, deep - 1) if other is not None else None
            if other is None or inner is None:
                return None
            texts += [*inner, (one["name"], other["schema"])]
        return list(dict(texts).items())

    def ask(self, path: str) -> dict[str, Any] | None:
        """The schema that the registry answers with; None: it knows no such thing."""
        try:
            answer = self.http.get(path)
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            answer.raise_for_status()
            found = answer.json()
            if not isinstance(found, dict) or not isinstance(found.get("schema"), str):
                raise ValueError("the answer holds no schema")  # noqa: TRY004  # of a server, not of ours
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise RegistryAway(self.silence(error)) from error
        return found

    def close(self) -> None:
        """Let go of the connections."""
        self.http.close()
