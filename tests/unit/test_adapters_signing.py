"""Learners sign, others verify: what one holds who can only verify signs nothing."""

from __future__ import annotations

import hmac
from hashlib import sha256
from pathlib import Path

import pytest

from stream_app.adapters.pickled import dump
from stream_app.adapters.signing import public_key, seal, unseal
from stream_app.adapters.snapshot_store import FileSnapshots
from stream_app.errors import Refused

PRIVATE, NEXT = b"p" * 32, b"n" * 32
HEADER = {"format": 1, "app": "a", "shard": 0, "epoch": 0, "seq": 1}


def test_a_public_key_verifies_and_cannot_sign() -> None:
    """A predictor's key used to sign gives what that very key refuses."""
    public = public_key(PRIVATE)
    assert unseal([public], seal(PRIVATE, HEADER, b"payload")) == (HEADER, b"payload")
    with pytest.raises(ValueError, match="not by any of our keys"):
        unseal([public], seal(public, HEADER, b"payload"))


def test_keys_are_replaced_in_steps() -> None:
    """Any of several public keys verifies, so that a new one is known before it signs."""
    both = [public_key(NEXT), public_key(PRIVATE)]
    for private in (PRIVATE, NEXT):
        assert unseal(both, seal(private, HEADER, b""))[1] == b""
    with pytest.raises(ValueError, match="not by any of our keys"):
        unseal(both[:1], seal(PRIVATE, HEADER, b""))


def test_what_was_signed_by_hmac_is_refused_by_that_name() -> None:
    """Whoever could verify those could sign them."""
    head = b'{"format":1}'
    mac = hmac.new(public_key(PRIVATE), head + b"\npayload", sha256).hexdigest().encode()
    with pytest.raises(ValueError, match="HMAC, as older versions did"):
        unseal([public_key(PRIVATE)], b"\n".join((head, mac, b"payload")))


@pytest.mark.parametrize(("more", "payload"), [(b"a", b"b"), (b"", b"ba"), (b" ", b"ab")])
def test_the_signature_is_of_header_and_payload_as_they_stand(more: bytes, payload: bytes) -> None:
    """What moves from one to the other, or changes, breaks it."""
    head, signature, _ = seal(PRIVATE, HEADER, b"ab").split(b"\n", 2)
    with pytest.raises(ValueError, match="not by any of our keys"):
        unseal([public_key(PRIVATE)], b"\n".join((head + more, signature, payload)))


def test_a_store_with_public_keys_alone_reads_and_does_not_write(tmp_path: Path) -> None:
    """`verify` and a bench of drift need no key that signs."""
    FileSnapshots(str(tmp_path), "a", 0, [PRIVATE]).save(HEADER, dump(7))
    reader = FileSnapshots(str(tmp_path), "a", 0, [], public=[public_key(PRIVATE)])
    assert [load() for _, load in reader.load()] == [7]
    with pytest.raises(Refused, match="on learners only"):
        reader.save(HEADER, dump(8))


def test_a_published_model_is_no_snapshot(tmp_path: Path) -> None:
    """Signed by the same key and put where snapshots are, it is passed over before it is unpickled."""
    store = FileSnapshots(str(tmp_path), "a", 0, [PRIVATE])
    store.save({**HEADER, "kind": "champion"}, dump(7))
    assert list(store.load()) == []
