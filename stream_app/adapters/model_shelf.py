"""redis-py, sync: publishes one shard's champion; a large one goes to the snapshot store, Redis points there.

The hash `{<app>:<shard>}:m` has the fields `stamp` (<epoch>:<seq>:<life>), `at` (epoch ms at which that was
the newest) and either `model` (sealed bytes) or `file` (a name below the shard's folder of the store). A
stamp that is older than the stored one of its life is refused: its writer has been replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import redis
import structlog

from stream_app.adapters.durable_files import ShardFiles
from stream_app.adapters.pickled import Dump
from stream_app.adapters.redis_faults import why
from stream_app.adapters.signing import seal
from stream_app.adapters.unpickler import unpickle
from topics.batch_id import parse

LARGEST_IN_REDIS = 4 << 20  # bytes; a larger value would hold up everybody who asks that server
SUFFIX = ".model"
KEPT = 2  # files: a predictor may still be reading the one before
# KEYS[1] the hash; ARGV: put or touch, stamp, at, field, value.
SHOW = """
local function parts(stamp)
  local e, s, life = string.match(stamp or '', '^(%d+):(%d+):?(%x*)$')
  return tonumber(e) or -1, tonumber(s) or -1, life
end
local stored = redis.call('HGET', KEYS[1], 'stamp') or ''
local se, ss, slife = parts(stored)
local e, s, life = parts(ARGV[2])
if slife == life and (se > e or (se == e and ss > s)) then return 'fenced' end
if ARGV[1] == 'touch' then
  if stored ~= ARGV[2] then return 'behind' end
  redis.call('HSET', KEYS[1], 'at', ARGV[3])
else
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'stamp', ARGV[2], 'at', ARGV[3], ARGV[4], ARGV[5])
end
return 'ok'
"""
FORGET = "if redis.call('HGET', KEYS[1], 'stamp') == ARGV[1] then redis.call('DEL', KEYS[1]) end return 'ok'"
log = structlog.get_logger()


class RedisModelShelf:
    """One shard's published champion; the private `key` signs, `url` is the snapshot store, `life` ends each
    stamp.
    """

    def __init__(
        self,
        client: redis.Redis,
        url: str,
        app: str,
        shard: int,
        key: bytes,
        own_modules: tuple[str, ...] = (),
        life: str = "",
    ) -> None:
        self.files = ShardFiles(url, app, shard, SUFFIX, KEPT)
        self.life = life
        self.name = f"{{{app}:{shard}}}:m"
        self.key, self.own_modules = key, own_modules
        self.client = client
        self.script, self.forgets = client.register_script(SHOW), client.register_script(FORGET)
        self.down = False

    def dump(self, whole: Any, models: Iterable[Any]) -> Dump:
        """Pickle what holds these models; raises what pickling raises."""
        return Dump(whole, models)

    def copy(self, payload: bytes) -> Any:
        """What loading gives of a payload."""
        return unpickle(payload, self.own_modules)

    def seal(self, header: Mapping[str, Any], payload: bytes) -> bytes:
        """Sign header and payload."""
        return seal(self.key, header, payload)

    def put(self, stamp: str, at_ms: int, sealed: bytes) -> str:
        """Show a sealed champion from now on: ok, fenced (a newer one is shown) or down (come back)."""
        if len(sealed) <= LARGEST_IN_REDIS:
            return self.run("put", stamp, at_ms, "model", sealed)
        found = parse(stamp)
        if found is None:
            raise ValueError(f"{stamp!r} is not the id of a batch")
        name = self.files.name(*found[0], self.life)
        try:
            self.files.write(name, sealed)
        except Exception as error:  # noqa: BLE001  # each store has errors of its own
            return self.fails(error)
        outcome = self.run("put", stamp, at_ms, "file", name.encode())
        if outcome == "ok":
            self.files.prune(self.life, epochs=False)
        return outcome

    def stamp(self) -> str | None:
        """The batch that is shown; None when none is, one of another life, or Redis is unreachable."""
        try:
            stored = self.client.hget(self.name, "stamp")
        except redis.RedisError:
            return None
        found = parse(stored.decode("utf-8", "replace")) if isinstance(stored, bytes) else None
        return str(found[0]) if found and found[1] == self.life else None

    def forget(self, stamp: str) -> None:
        """Show none, if it is this one still."""
        with suppress(redis.RedisError):  # no answer: the publisher stays fenced, and an alert says so
            self.forgets(keys=[self.name], args=[self.stamped(stamp)])

    def stamped(self, stamp: str) -> str:
        return f"{stamp}:{self.life}" if self.life else stamp

    def touch(self, stamp: str, at_ms: int) -> str:
        """Note that it was still the newest at `at_ms`: ok, behind (lost: put it again), fenced or down."""
        return self.run("touch", stamp, at_ms, "", b"")

    def run(self, mode: str, stamp: str, at_ms: int, field: str, value: bytes) -> str:
        try:
            answer = self.script(keys=[self.name], args=[mode, self.stamped(stamp), at_ms, field, value])
        except redis.RedisError as error:
            return self.fails(error)
        self.down = False
        return answer.decode() if isinstance(answer, bytes) else str(answer)

    def fails(self, error: Exception) -> str:
        """Log that Redis does not take it, once until it answers again; gives `down`."""
        if not self.down:
            reason = f"Redis {why(error)}" if isinstance(error, redis.RedisError) else str(error)
            log.warning("champion cannot be published now", key=self.name, error=reason)
        self.down = True
        return "down"
