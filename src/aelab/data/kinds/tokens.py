"""Text, as sequences of tokens."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.quantity import Quantity
from aelab.core.records import Trace
from aelab.data.kinds.base import BLOCK, Bounds, Kind
from aelab.data.sources.text import filled
from aelab.data.texts import pieces_of, text_files, too_long
from aelab.data.vocabulary import FIRST, Vocabulary
from aelab.figures.text import lines_of_text
from aelab.models.distributions import Autoregressive
from aelab.models.distributions.sequences import END, PAD, lengths, padded

ACCURACY = Quantity("token_accuracy", "share of tokens", True)
ERRORS = Quantity("token_errors", "tokens per observation", False)
TEXTS = "texts.txt"


class Tokens(Kind):
    """Sequences of at most T tokens (T,), stored as int32: text in the tokens of a vocabulary from 2 on, an
    end, 1, and padding, 0.

    vocabulary: what text is cut into.
    """

    noun, nouns = "sequence", "sequences"
    stored = torch.int32
    suited = "values=tokens"
    quantities = (ACCURACY,)
    difference = ERRORS
    learns_features = False
    measurable = in_columns = False
    suffixes = frozenset({".txt"})

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def check(self, shape: tuple[int, ...], bounds: Bounds) -> None:
        if len(shape) != 1 or shape[0] < 2:
            raise ConfigurationError(f"data.shape={list(shape)}: sequences are of [tokens], 2 at least")
        if bounds is not None:
            raise ConfigurationError(f"data.bounds={bounds}: tokens have none, null would work")

    def describes(self, likelihood: Distribution) -> bool:
        return isinstance(likelihood, Autoregressive)

    def errors(self, trace: Trace) -> dict[str, Tensor]:
        """Also of a model without a posterior: what its likelihood predicts needs no codes."""
        return self.measure(trace)

    def measure(self, trace: Trace) -> dict[str, Tensor]:
        """token_accuracy: of the tokens of a sequence, the share that is the most likely one given the true
        tokens before it."""
        likelihood: Any = trace.likelihood
        found = likelihood.predicted(trace.x).argmax(-1) + 1
        right = (found == trace.x[:, : found.shape[-1]]).double().mean(0)
        return {"token_accuracy": right.sum(-1) / lengths(trace.x)}

    def back(self, likelihood: Distribution) -> Tensor:
        """The most likely token at each place given those before it, one after the other."""
        return likelihood.mode

    def differences(self, x: Tensor, back: Tensor) -> Tensor:
        """At how many places two sequences differ, the padding of the shorter one among them: (N,)."""
        return (x != back).double().sum(-1)

    def texts(self, tokens: Tensor) -> list[str]:
        """The text of each of the sequences (N, T)."""
        rows = padded(tokens).cpu().tolist()
        return [self.vocabulary.decode([token for token in row if token >= FIRST]) for row in rows]

    def drawn(self, rows: Sequence[Tensor], captions: Sequence[str]) -> Image.Image:
        """Text, line by line: of each place in the rows one after the other."""
        return lines_of_text([self.texts(row) for row in rows], captions)

    def parse(self, given: Any, shape: tuple[int, ...], resize: bool = False) -> Tensor:
        """Texts, one or several, or whole numbers (N, T) or (T,), as a tensor, an array or a list."""
        if isinstance(given, str):
            given = [given]
        if isinstance(given, Sequence) and given and all(isinstance(one, str) for one in given):
            return self._encoded([(f"text {place}", text) for place, text in enumerate(given)], shape[0])
        try:
            found = torch.as_tensor(np.asarray(given))
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"sequences are texts, or whole numbers [N, {shape[0]}], and not these ({error})"
            ) from error
        found = found if found.dim() > 1 else found[None]
        if found.is_floating_point() or tuple(found.shape[1:]) != shape or not found.numel():
            raise DataError(
                f"the sequences are {list(found.shape)} of {found.dtype}, and the model takes texts, or "
                f"whole numbers [N, {shape[0]}]"
            )
        low, high = int(found.min()), int(found.max())
        if low < PAD or high >= self.vocabulary.size or not bool((lengths(found) > 0).all()):
            raise DataError(
                f"tokens are {low} to {high}: 0 to {self.vocabulary.size - 1} exist, and each sequence has "
                "one above 0"
            )
        return found.to(torch.int32)

    def _encoded(self, texts: Sequence[tuple[str, str]], length: int) -> Tensor:
        rows = []
        for where, text in texts:
            try:
                rows.append([*self.vocabulary.encode(text), END])
            except DataError as error:
                raise DataError(f"{where}: {error}") from error
            if len(rows[-1]) > length + 1:
                raise too_long(where, len(rows[-1]), length)
        return filled((row[:length] for row in rows), length)  # a text that fills the length has no end

    def example(self, count: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        return torch.randint(END, self.vocabulary.size, (count, *shape), generator=generator)

    def read(
        self, place: str, shape: tuple[int, ...], resize: bool = False
    ) -> tuple[list[str], Iterator[Tensor]]:
        """The lines of a text file, or of all files *.txt of a folder, without the empty ones."""
        pieces = [piece for file in text_files(place) for piece in pieces_of(file, "lines")]
        rows = self._encoded([(piece.where, piece.text) for piece in pieces], shape[0])
        return [Path(piece.where).name for piece in pieces], iter(rows.split(BLOCK))

    def write(
        self, folder: Path, blocks: Iterable[Tensor], names: Iterable[str], reserved: Iterable[str] = ()
    ) -> None:
        """One file, texts.txt: a line for each sequence, or, where one holds line breaks, under its name."""
        texts = [text for block in blocks for text in self.texts(block)]
        if any("\n" in text for text in texts):
            texts = [f"--- {name}\n{text}\n" for name, text in zip(names, texts, strict=False)]
        (folder / TEXTS).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
