"""Noise as a function of the position in a training: a run continued at any batch draws the same bits.

No random state is ever saved: before each batch the generators are seeded from
(seed, stage, epoch, batch, rank), and a resume needs only the position.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch


@cache
def _key(seed: int, stage: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{stage}".encode(), digest_size=8).digest(), "little")


def step_seed(seed: int, stage: str, epoch: int = 0, batch: int = 0, rank: int = 0) -> int:
    """A 63-bit seed for one step of one stage of a run; distinct positions give unrelated streams.

    The position is mixed by the finaliser of SplitMix64 (Steele, Lea and Flood 2014), a bijection of 64
    bits that costs under a microsecond.
    """
    value = _key(seed, stage)
    for part in (epoch, batch, rank):
        value = (value + 0x9E3779B97F4A7C15 * (part + 1)) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 31
    return value >> 1


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the default generators that a model on `device` draws from (about 2 us on a CPU)."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def drawn_from(seed: int | None, device: torch.device) -> Iterator[None]:
    """Draw what follows from `seed`, and leave the default generators as they were; None: from those."""
    if seed is None:
        yield
        return
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        seed_generators(seed, device)
        yield
