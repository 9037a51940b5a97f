"""Integers that stand for names in the large tables."""

from hashlib import blake2b


def key_of(name: str) -> int:
    """The key of a model or version: 31 bits of a hash of its name, so that no two writers need agree on a number."""
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest()) >> 1
