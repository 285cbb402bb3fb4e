"""What `stream-app doctor` checks on this machine alone: versions, codecs, keys and where snapshots lie."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stream_app.errors import StreamAppError

if TYPE_CHECKING:
    from stream_app.settings import Settings

OK, WARN, FAIL = "ok", "warn", "fail"
PACKAGES = ("river", "confluent-kafka", "kafka-python", "redis", "msgspec", "orjson", "numpy")
WRITTEN_WITH = "lz4"  # by every producer of ours
LEAST_FREE_BYTES = 1 << 30


class Check(msgspec.Struct):
    """One line of the report; `fix` is empty where nothing is to be done."""

    check: str
    state: str
    detail: str
    fix: str = ""


def failure(name: str, error: StreamAppError) -> Check:
    """A check that could not be made."""
    return Check(name, FAIL, error.message, error.remedy)


def packages() -> Iterator[Check]:
    """Versions, and what kafka-python needs to be quick."""
    from stream_app.flow.build import flow_build

    yield Check("python", OK, f"{platform.python_version()} on {platform.platform(terse=True)}")
    for name in PACKAGES:
        try:
            yield Check(name, OK, version(name))
        except PackageNotFoundError:
            yield Check(name, FAIL, "is not installed", f"pip install {name}")
    build = flow_build()
    slower = "" if build == "compiled" else "; a wheel that `scripts/wheel` makes has the faster one"
    yield Check("flow", OK, build + slower)
    if find_spec("crc32c"):
        yield Check("crc32c", OK, "present")
    else:
        slow = "is missing: checksums cost 35 µs a record instead of 1"
        yield Check("crc32c", WARN, slow, "pip install 'kafka-python[crc32c]'")
    yield from compression()


def compression() -> Iterator[Check]:
    """Each codec by each Kafka client: producers and brokers choose one, and every client has to read it."""
    from stream_app.adapters.codecs import CODECS, unread

    for codec in CODECS:
        missing = dict(unread(codec))
        for client, fix in missing.items():
            state = FAIL if codec == WRITTEN_WITH else WARN
            yield Check(codec, state, f"{client} cannot read topics compressed with {codec}", fix)
        if not missing:
            yield Check(codec, OK, "read by every Kafka client")


def storage(settings: Settings) -> Iterator[Check]:
    """Signing keys and the place of snapshots."""
    yield signing(settings)
    url = settings.snapshots.url
    if not url:
        fix = "Set STREAM_APP_SNAPSHOTS__URL to a directory or fsspec URL"
        yield Check("snapshots", FAIL, "no place is set", fix)
    elif "://" in url:
        yield Check("snapshots", OK, url.split("@")[-1])
    else:
        yield room(Path(url))


def signing(settings: Settings) -> Check:
    """Who can sign here: a predictor should not, since it faces the network."""
    from stream_app.settings import load_settings

    ours, given = settings.signing, load_settings()
    if not ours.keys and not ours.public_keys:
        fix = "Set STREAM_APP_SIGNING__KEYS on learners, …PUBLIC_KEYS elsewhere: `stream-app keys new`"
        return Check("signing", FAIL, "no key: snapshots can be neither written nor trusted", fix)
    detail = f"{len(ours.keys)} private, {len(ours.public_keys)} public"
    if given.signing.keys and "serve" in given.model_fields_set:
        detail = f"{detail}: settings of a predictor, and a private key that could sign for learners"
        fix = "On predictors set STREAM_APP_SIGNING__PUBLIC_KEYS alone: `stream-app keys public` prints it"
        return Check("signing", WARN, detail, fix)
    return Check("signing", OK, detail if ours.keys else f"{detail}: this machine can verify, not learn")


def room(directory: Path) -> Check:
    """Space where snapshots lie; the directory itself is made at the first one."""
    existing = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    detail = f"{directory}, {free >> 20:,} MiB free"
    if free < LEAST_FREE_BYTES:
        return Check("snapshots", WARN, detail, "Make room: a learner that cannot write one recovers slowly")
    return Check("snapshots", OK, detail)
