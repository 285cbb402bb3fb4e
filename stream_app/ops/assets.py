"""The page's files, from this package and from the chart library's, kept in memory and compressed once."""

from __future__ import annotations

import gzip
import mimetypes
import re
from hashlib import blake2b
from html import escape
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

PAGE = Path(__file__).parent / "page"
RUNBOOK = "runbooks.md"
CHARTS = {"uplot.js": "uplot.iife.min.js", "uplot.css": "uplot.min.css"}  # ours, and theirs


class Asset:
    """One file; `etag` is of its content."""

    def __init__(self, name: str, content: bytes) -> None:
        self.content, self.packed = content, gzip.compress(content, mtime=0)
        self.media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        self.etag = f'"{blake2b(content, digest_size=12).hexdigest()}"'

    def answer(self, request: Request) -> Response:
        """The file, or that the browser has it; it asks each time, so that an upgrade shows at once."""
        headers = {"ETag": self.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(self.packed, headers=headers, media_type=self.media_type)
        return Response(self.content, headers=headers, media_type=self.media_type)


def assets() -> dict[str, Asset]:
    """All files by name. The chart library's package is found and not imported: only its files are wanted."""
    found = {path.name: Asset(path.name, path.read_bytes()) for path in PAGE.iterdir() if path.is_file()}
    spec = find_spec("youplot")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the package youplot is not installed; pip install youplot")
    vendor = Path(spec.submodule_search_locations[0]) / "vendor"
    return found | {name: Asset(name, (vendor / theirs).read_bytes()) for name, theirs in CHARTS.items()}


def runbook(text: str) -> bytes:
    """The runbook as a page: its text as it is, each heading with the anchor that alerts name.

    >>> b'<h2 id="learner-silent">learner-silent</h2>' in runbook("## learner-silent\\n\\n**You see** <b>")
    True
    """
    parts, lines = [], list[str]()

    def flush() -> None:
        if lines:
            parts.append(f"<pre>{escape(chr(10).join(lines).strip())}</pre>")
            lines.clear()

    for line in text.splitlines():
        marks, _, heading = line.partition(" ")
        if marks and not marks.strip("#") and heading:
            flush()
            level, anchor = min(len(marks), 4), re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
            parts.append(f'<h{level} id="{escape(anchor)}">{escape(heading)}</h{level}>')
        else:
            lines.append(line)
    flush()
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    style = '<link rel="stylesheet" href="/assets/style.css"><link rel="stylesheet" href="/assets/parts.css">'
    body = "".join(parts)
    return (
        f'<!doctype html><html lang="en"><head>{head}<title>Runbook</title>{style}</head>'
        f'<body><main class="runbook">{body}</main></body></html>'
    ).encode()


def pages() -> APIRouter:
    """The page and its files; they hold nothing of anybody's, so no token is asked for."""
    router, files = APIRouter(include_in_schema=False), assets()
    manual = Asset("runbook.html", runbook(files[RUNBOOK].content.decode()))

    @router.get("/")
    async def page(request: Request) -> Response:
        return files["index.html"].answer(request)

    @router.get("/runbook")
    async def read(request: Request) -> Response:
        return manual.answer(request)

    @router.get("/assets/{name}")
    async def asset(name: str, request: Request) -> Response:
        if name not in files:
            raise HTTPException(404, f"there is no asset {name!r}")
        return files[name].answer(request)

    return router
