"""cryptography: Ed25519 signatures of what is pickled. Learners sign; with a public key one can only verify.

A private key is 32 random bytes. The signed message is the purpose and the SHA-256 of header and payload: so
a signature has no use elsewhere, and a large payload is not copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PURPOSE = b"stream_app pickle 1\n"
LENGTH = 128  # hex digits of a signature
OLD_LENGTH = 64  # of an HMAC-SHA256, by which versions before Ed25519 signed


def public_key(private: bytes) -> bytes:
    """What verifies the signatures of a private key."""
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def seal(private: bytes, header: Mapping[str, Any], payload: bytes) -> bytes:
    """One line of JSON header, one line with the signature over header and payload, the payload."""
    head = orjson.dumps(header)
    signature = Ed25519PrivateKey.from_private_bytes(private).sign(signed(head, payload))
    return b"\n".join((head, signature.hex().encode(), payload))


def unseal(public: Sequence[bytes], sealed: bytes) -> tuple[dict[str, Any], bytes]:
    """(header, payload) of what the private key of any of these public keys signed.

    Raises:
        ValueError: torn, or signed by another key; nothing of it may be used.
    """
    head, signature, payload = sealed.split(b"\n", 2)
    if len(signature) == OLD_LENGTH:
        raise ValueError("it is signed by HMAC, as older versions did; only Ed25519 signatures are trusted")
    if not verified(public, bytes.fromhex(signature.decode()), signed(head, payload)):
        raise ValueError("its signature is not by any of our keys")
    return orjson.loads(head), payload


def verified(public: Sequence[bytes], signature: bytes, message: bytes) -> bool:
    """Whether one of the keys made the signature."""
    for key in public:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except InvalidSignature:
            continue
        return True
    return False


def signed(head: bytes, payload: bytes) -> bytes:
    """The bytes that a signature covers."""
    digest = sha256(head)
    digest.update(b"\n")
    digest.update(payload)
    return PURPOSE + digest.digest()
