"""Sentences drawn from a grammar whose entropy is known: no network, no files."""

from collections.abc import Sequence

import numpy as np
import torch

from aelab.core.checks import at_least
from aelab.data.grammar import Grammar, english
from aelab.data.sources.text import filled
from aelab.data.splits import Observations, Splits, checksum, cut
from aelab.data.vocabulary import Vocabulary
from aelab.models.distributions.sequences import END


class Sentences:
    """Sentences of `english`, with the form that each began as for a label, the same in all runs.

    vocabulary: what they are cut into. shape: (tokens of the longest, its end included,). count: of all
    sentences. test: how many of them, or which share, are the test split.
    """

    def __init__(
        self, vocabulary: Vocabulary, shape: Sequence[int], count: int = 12_000, test: int | float = 2000
    ) -> None:
        at_least(2, count=count)
        self.vocabulary, self.length, self.count, self.test = vocabulary, shape[0], count, test

    def prepare(self) -> None:
        """Nothing to do: they are drawn."""

    def load(self) -> Splits:
        """Draw them, with the entropy that no model can be better than."""
        # numpy freezes RandomState's stream for all versions, which neither torch nor default_rng promises.
        grammar, random = Grammar(english()), np.random.RandomState(0)
        drawn = [grammar.draw(random) for _ in range(self.count)]
        rows = [[*self.vocabulary.encode(text), END] for text, _ in drawn]
        every = Observations(filled(rows, self.length), torch.tensor([label for _, label in drawn]))
        size = cut(self.test, self.count, "data.source.test", f"{self.count:,} sentences")
        train, test = torch.arange(self.count).split([self.count - size, size])
        tokens = sum(map(len, rows)) / len(rows)
        notes = [
            f"their entropy is {grammar.entropy:.4f} nats for each, {grammar.entropy / tokens:.4f} for each "
            "token"
        ]
        checksums = {"sentences": checksum("\n".join(text for text, _ in drawn).encode())}
        return Splits(every.take(train), every.take(test), checksums, notes=notes)
