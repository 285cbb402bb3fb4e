"""redis-py: the feature view of one shard; written after the commit, fenced by a stamp (ADR 5).

Keys carry the hash tag `{<app>:<shard>}`, so one Lua call stays in one slot of a Redis Cluster. The stamp
`<epoch>:<seq>#<digest>:<life>` only grows within its life: a writer that finds one older than its base, or of
another form, rebuilds the view; where it finds a newer one it does not write. Another life's stamp counts as
none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

import redis
import structlog

from stream_app.adapters.redis_faults import why
from topics.batch_id import parse

# KEYS[1] the stamp, KEYS[2..] blobs; ARGV: mode, previous and new stamp, ttl in ms, the blobs ('' deletes).
WRITE = """
local function parts(stamp)
  local base = string.gsub(string.gsub(stamp, ':rebuilding$', ''), '#%x+', '')
  local e, s, life = string.match(base, '^(%d+):(%d+):(%x+)$')
  if not e then e, s = string.match(base, '^(%d+):(%d+)$') end
  return tonumber(e) or -1, tonumber(s) or -1, life or ''
end
local function newer(a, b)
  local ae, as = parts(a)
  local be, bs = parts(b)
  return ae > be or (ae == be and as > bs)
end
local stored = redis.call('GET', KEYS[1]) or ''
local _, _, theirs = parts(stored)
local _, _, ours = parts(ARGV[3])
if theirs ~= ours then stored = '' end
if newer(stored, ARGV[3]) then return 'fenced' end
if ARGV[1] == 'write' and (newer(ARGV[2], stored) or string.find(stored, 'rebuilding')) then
  return 'behind'
end
for i = 2, #KEYS do
  local blob = ARGV[i + 3]
  if blob == '' then redis.call('DEL', KEYS[i]) else redis.call('SET', KEYS[i], blob, 'PX', ARGV[4]) end
end
redis.call('SET', KEYS[1], ARGV[1] == 'rebuild' and ARGV[3] .. ':rebuilding' or ARGV[3])
return 'ok'
"""
FORGET = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 'ok'"
SCANNED = 1_000  # keys that the server looks at for one answer, some 0.2 ms
log = structlog.get_logger()


class RedisView:
    """One shard's view; `client` has a short socket timeout: a frozen server costs no more than that.

    `layout` names the features that made a blob and is its last element: what is read by position under other
    ones would be wrong values. Only who writes needs one. `life` ends each stamp in Redis; callers see
    `<epoch>:<seq>#<digest>`.
    """

    def __init__(
        self, client: redis.Redis, app: str, shard: int, ttl_ms: int, layout: str = "", life: str = ""
    ) -> None:
        self.client, self.life = client, life
        self.tag = f"{{{app}:{shard}}}"
        self.ttl_ms = ttl_ms
        self.end = f',"{layout}"]'.encode()
        self.script, self.forgets = client.register_script(WRITE), client.register_script(FORGET)
        self.down = False

    def write(self, previous: str, stamp: str, blobs: Mapping[str, bytes | None]) -> str:
        """Write a committed batch; ok, behind (rebuild), fenced (stop) or down (come back)."""
        return self.run("write", previous, stamp, blobs)

    def rebuild(self, stamp: str, blobs: Mapping[str, bytes | None], done: bool) -> str:
        """Write a slice of a rebuild; the last one (`done`) seals the view with the stamp."""
        return self.run("seal" if done else "rebuild", "", stamp, blobs)

    def run(self, mode: str, previous: str, stamp: str, blobs: Mapping[str, bytes | None]) -> str:
        keys = [f"{self.tag}:s", *(f"{self.tag}:f:{key}" for key in blobs)]
        values = [blob[:-1] + self.end if blob else b"" for blob in blobs.values()]
        try:
            stamps = [self.stamped(previous), self.stamped(stamp)]
            answer = self.script(keys=keys, args=[mode, *stamps, self.ttl_ms, *values])
        except redis.RedisError as error:
            if not self.down:
                log.warning("view is down", tag=self.tag, error=f"Redis {why(error)}")
            self.down = True
            return "down"
        self.down = False
        return answer.decode() if isinstance(answer, bytes) else str(answer)

    def keys(self) -> list[str] | None:
        """Every entity that has a blob, from any writer; None while Redis is down. It scans the database."""
        start = f"{self.tag}:f:"
        escaped = re.sub(r"([\\*?\[\]])", r"\\\1", start)
        try:
            found = self.client.scan_iter(match=f"{escaped}*", count=SCANNED)
            return [name.decode()[len(start) :] for name in found]
        except redis.RedisError as error:
            log.warning("view is down", tag=self.tag, error=f"Redis {why(error)}")
            return None

    def stamp(self) -> str | None:
        """The sealed stamp in Redis; None when missing, of another life, half rebuilt or unreachable."""
        stored = self.stored()
        found = parse(stored)
        if not found or found[1] != self.life:
            return None
        return stored.removesuffix(f":{self.life}") if self.life else stored

    def forget(self, stamp: str) -> None:
        """Delete the stamp if it is this one still: the next writer rebuilds the view."""
        with suppress(redis.RedisError):  # it does not answer: the view stays fenced, and an alert says so
            self.forgets(keys=[f"{self.tag}:s"], args=[self.stamped(stamp)])

    def wrote(self) -> str | None:
        """The life whose stamp Redis holds, empty where that names none; None without one, or unreachable."""
        stored = self.stored()
        return life_in(stored) if stored else None

    def stored(self) -> str:
        """The stamp as it is, empty when missing or unreachable."""
        try:
            stored = self.client.get(f"{self.tag}:s")
        except redis.RedisError:
            return ""
        return stored.decode() if isinstance(stored, bytes) else ""

    def stamped(self, stamp: str) -> str:
        return f"{stamp}:{self.life}" if stamp and self.life else stamp


def life_in(stored: str) -> str:
    """The life that a stamp in Redis says, empty where it says none."""
    found = parse(stored.removesuffix(":rebuilding"))
    return found[1] if found else ""
