"""Vocabularies: from text to tokens and back. The tokens 0 and 1 fill sequences up and end them."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from aelab.core.errors import ConfigurationError, DataError

FIRST = 2  # the first token that says something, after PAD and END
BYTES = 256


class Vocabulary(ABC):
    """What text is cut into, and what each piece is called as a number from 2.

    It is made of plain values, which a run's configuration keeps, so that a trained model needs no text to
    read and write.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """How many tokens there are, PAD and END among them."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The tokens of a text; DataError where it holds what has none."""

    @abstractmethod
    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens from 2 on."""

    @abstractmethod
    def learn(self, texts: Iterable[str]) -> dict[str, Any]:
        """What this vocabulary leaves open, as it is for these texts, by the names of its arguments."""


class Characters(Vocabulary):
    """Every character is a token.

    symbols: all of them, in the order of their tokens; None: those of the texts.
    """

    def __init__(self, symbols: str | None = None) -> None:
        self.symbols = symbols

    @property
    def size(self) -> int:
        return FIRST + len(_known(self.symbols))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {character: place + FIRST for place, character in enumerate(_known(self.symbols))}

    def encode(self, text: str) -> list[int]:
        return _numbered(text, self._numbers, "character")

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(_known(self.symbols)[token - FIRST] for token in tokens)

    def learn(self, texts: Iterable[str]) -> dict[str, Any]:
        # With $ as the last, for ${ would begin an interpolation of the configuration that keeps it.
        found = sorted(set().union(*texts), key=lambda character: (character == "$", character))
        return {"symbols": self.symbols or "".join(found)}


class Words(Vocabulary):
    """Every word is a token, as spaces cut them.

    symbols: all of them with a space between two, in the order of their tokens; None: those of the texts.
    """

    def __init__(self, symbols: str | None = None) -> None:
        self.symbols = symbols

    @property
    def size(self) -> int:
        return FIRST + len(self._words)

    @cached_property
    def _words(self) -> list[str]:
        return re.sub(r"\\(.)", r"\1", _known(self.symbols)).split()

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: place + FIRST for place, word in enumerate(self._words)}

    def encode(self, text: str) -> list[int]:
        return _numbered(text.split(), self._numbers, "word")

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(self._words[token - FIRST] for token in tokens)

    def learn(self, texts: Iterable[str]) -> dict[str, Any]:
        words = " ".join(sorted({word for text in texts for word in text.split()}))
        # As it stands ${ would begin an interpolation of the configuration that keeps it.
        return {"symbols": self.symbols or words.replace("\\", r"\\").replace("${", r"$\{")}


class Bytes(Vocabulary):
    """The bytes of the text in UTF-8, which know every text there is."""

    @property
    def size(self) -> int:
        return FIRST + BYTES

    def encode(self, text: str) -> list[int]:
        return [byte + FIRST for byte in text.encode()]

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(token - FIRST for token in tokens).decode(errors="replace")

    def learn(self, texts: Iterable[str]) -> dict[str, Any]:
        return {}


class BytePairs(Vocabulary):
    """Bytes, and pairs of tokens that often stand side by side, merged again and again (Sennrich, Haddow and
    Birch 2016, https://arxiv.org/abs/1508.07909), by the library `tokenizers`.

    count: of tokens, at most. merges: the two numbers of each pair, a pair a line; None: learned from texts.
    """

    def __init__(self, count: int = 1000, merges: str | None = None) -> None:
        if count < FIRST + BYTES:
            raise ConfigurationError(
                f"data.kind.vocabulary.count={count}: the bytes alone are {FIRST + BYTES} tokens"
            )
        self.count, self.merges = count, merges

    @property
    def size(self) -> int:
        return FIRST + BYTES + len(_known(self.merges).splitlines())

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        pieces, merges = _alphabet(), []
        for line in _known(self.merges).splitlines():
            left, right = (pieces[int(number)] for number in line.split())
            merges.append((left, right))
            pieces.append(left + right)
        made = Tokenizer(models.BPE({piece: place for place, piece in enumerate(pieces)}, merges))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        return made

    def encode(self, text: str) -> list[int]:
        return [number + FIRST for number in self._tokenizer.encode(text).ids]

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode([token - FIRST for token in tokens]))

    def learn(self, texts: Iterable[str]) -> dict[str, Any]:
        if self.merges is not None:
            return {"merges": self.merges}
        import json

        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = _alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=self.count - FIRST, initial_alphabet=alphabet, show_progress=False
        )
        made.train_from_iterator(texts, trainer)
        numbers = {piece: place for place, piece in enumerate(alphabet)}
        lines = []
        for left, right in json.loads(made.to_str())["model"]["merges"]:
            lines.append(f"{numbers[left]} {numbers[right]}")
            numbers[left + right] = len(numbers)
        return {"merges": "\n".join(lines)}


def _alphabet() -> list[str]:
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


def _known(value: str | None) -> str:
    if value is None:
        raise ConfigurationError(
            "data.kind.vocabulary knows no tokens yet: data with data.inferred take them from their text"
        )
    return value


def _numbered(pieces: Iterable[str], numbers: dict[str, int], noun: str) -> list[int]:
    try:
        return [numbers[piece] for piece in pieces]
    except KeyError as error:
        raise DataError(
            f"the {noun} {error.args[0]!r} is none of the {len(numbers)} of the vocabulary: leave it out"
        ) from error
