"""A user's encoded pictures, decoded once into a memory map, with what was done to them."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aelab.core.text import listed
from aelab.data.kinds.pixels import Pixels
from aelab.data.sources.cache import memory_map, noted
from aelab.data.splits import Observations, Splits, checksum, checksums_of_rows
from aelab.figures.decoding import VERSION, Encoded, Notes, check_shape, decoded


@dataclass(frozen=True)
class Pictures:
    """Pictures as pixels of one shape, in the cache's folder `name`.

    skip_damaged: whether those that cannot be decoded are left aside instead of an error.
    """

    name: str
    shape: tuple[int, ...]
    kind: Pixels
    skip_damaged: bool = False

    def decoded(
        self, key: str, count: int, pictures: Callable[[], Iterable[tuple[Encoded, str]]]
    ) -> tuple[Tensor, str, dict[str, Any]]:
        """The pixels of `count` pictures, each given with its place for messages; their checksum; notes.

        key: what changes with any of them.
        """
        check_shape(self.shape)
        decoder, notes = self.kind.decoder, Notes()
        rule = repr((key, self.shape, VERSION, decoder.range, decoder.background, self.skip_damaged))
        key = hashlib.sha256(rule.encode()).hexdigest()[:32]
        pixels, digest = memory_map(
            self.name,
            key,
            (count, *self.shape),
            lambda: decoded(pictures, count, self.shape, self.name, decoder, notes, self.skip_damaged),
            notes.facts,
        )
        return pixels, digest, noted(self.name, key)

    def splits(
        self,
        found: tuple[Tensor, str, Mapping[str, Any]],
        places: Mapping[str, Tensor],
        labels: Tensor | None,
    ) -> Splits:
        """What was decoded, as views of one memory map; places: of each split. labels: of all, or None."""
        pixels, digest, notes = found
        damaged = torch.tensor([int(row) for row in notes.get("damaged", {})], dtype=torch.int64)
        kept = {split: rows[~torch.isin(rows, damaged)] for split, rows in places.items()}
        every = Observations(pixels, labels, rows=torch.arange(len(pixels)), mapped=True)
        checksums = {"x": digest, **checksums_of_rows(**kept)}
        if labels is not None:
            checksums["y"] = checksum(labels.numpy().tobytes())
        val = every.take(kept["val"]) if "val" in kept else None
        return Splits(every.take(kept["train"]), every.take(kept["test"]), checksums, val, _said(notes))


def _said(notes: Mapping[str, Any]) -> list[str]:
    """What was noted, in words."""
    changes = [f"{change} {count:,}" for change, count in notes.get("changes", {}).items()]
    damaged = notes.get("damaged", {})
    said = [f"changed: {', '.join(changes)}"] if changes else []
    return (
        [*said, f"damaged, and left aside: {len(damaged):,} ({listed(damaged.values())})"]
        if damaged
        else said
    )
