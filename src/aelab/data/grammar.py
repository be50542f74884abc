"""A small grammar of English, whose sentences have a known entropy."""

import math
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

Rule = Sequence[tuple[float, str]]
"""The alternatives of a symbol, each with its probability: symbols and words, with spaces between them."""

NUMBERS = {
    "S": ("dog cat bird child ship", "sees finds follows likes", "sleeps waits sings", "the a this"),
    "P": ("dogs cats birds children ships", "see find follow like", "sleep wait sing", "the some these"),
}


def alike(words: str) -> Rule:
    """Words of which each is as probable."""
    return [(1 / len(words.split()), word) for word in words.split()]


def english() -> dict[str, Rule]:
    """Sentences of a subject and a verb that agree in number, also across a clause between them."""
    rules: dict[str, Rule] = {
        "SENTENCE": [
            (0.2, "SUBJECT-S INTRANSITIVE-S"), (0.2, "SUBJECT-P INTRANSITIVE-P"),
            (0.3, "SUBJECT-S TRANSITIVE-S OBJECT"), (0.3, "SUBJECT-P TRANSITIVE-P OBJECT"),
        ],
        "OBJECT": [(0.5, "PHRASE-S"), (0.5, "PHRASE-P")],
        "ADJECTIVE": alike("old small red quiet"),
    }  # fmt: skip
    for number, (nouns, transitive, intransitive, articles) in NUMBERS.items():
        rules |= {
            f"SUBJECT-{number}": [
                (0.75, f"PHRASE-{number}"),
                (0.25, f"ARTICLE-{number} NOUN-{number} that TRANSITIVE-{number} OBJECT"),
            ],
            f"PHRASE-{number}": [
                (0.6, f"ARTICLE-{number} NOUN-{number}"),
                (0.4, f"ARTICLE-{number} ADJECTIVE NOUN-{number}"),
            ],
            f"ARTICLE-{number}": alike(articles),
            f"NOUN-{number}": alike(nouns),
            f"TRANSITIVE-{number}": alike(transitive),
            f"INTRANSITIVE-{number}": alike(intransitive),
        }
    return rules


@dataclass(frozen=True)
class Grammar:
    """A probabilistic grammar that derives every sentence in one way alone, and no symbol from itself.

    rules: the alternatives of each symbol; what has none is a word. start: what a sentence is derived from.
    """

    rules: Mapping[str, Rule]
    start: str = "SENTENCE"

    @cached_property
    def entropy(self) -> float:
        """Of a sentence, in nats: the sum of what each choice tells (Grenander 1967; Soule 1974,
        https://doi.org/10.1016/S0019-9958(74)90799-2)."""
        return self._expected(self.start, lambda p: -math.log(p), 0.0)

    @cached_property
    def length(self) -> float:
        """The mean number of words of a sentence."""
        return self._expected(self.start, lambda _: 0.0, 1.0)

    @cached_property
    def longest(self) -> int:
        """The most words that a sentence has."""
        return self._longest(self.start)

    @cached_property
    def words(self) -> list[str]:
        """All words, in order."""
        every = {word for rule in self.rules.values() for _, made in rule for word in made.split()}
        return sorted(every - set(self.rules))

    def draw(self, random: np.random.RandomState) -> tuple[str, int]:
        """A sentence, and which alternative of the start it began with."""
        label = self._choose(self.start, random)
        made = self.rules[self.start][label][1]
        return " ".join(word for symbol in made.split() for word in self._derived(symbol, random)), label

    def _choose(self, symbol: str, random: np.random.RandomState) -> int:
        ends = list(accumulate(p for p, _ in self.rules[symbol]))
        return min(bisect(ends, random.random_sample()), len(ends) - 1)

    def _derived(self, symbol: str, random: np.random.RandomState) -> list[str]:
        if symbol not in self.rules:
            return [symbol]
        made = self.rules[symbol][self._choose(symbol, random)][1]
        return [word for part in made.split() for word in self._derived(part, random)]

    def _expected(self, symbol: str, of_choice: Callable[[float], float], of_word: float) -> float:
        if symbol not in self.rules:
            return of_word
        return sum(
            p * (of_choice(p) + sum(self._expected(part, of_choice, of_word) for part in made.split()))
            for p, made in self.rules[symbol]
        )

    def _longest(self, symbol: str) -> int:
        if symbol not in self.rules:
            return 1
        return max(sum(map(self._longest, made.split())) for _, made in self.rules[symbol])
