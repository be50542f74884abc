"""A user's own text as sequences of tokens."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.text import printable
from aelab.data.splits import Observations, Splits, checksum, cut
from aelab.data.texts import File, Piece, encoded, noted, pieces_of, text_files, too_long
from aelab.data.vocabulary import Vocabulary
from aelab.models.distributions.sequences import END, PAD

LONGER = ("refuse", "cut")


class Text:
    """Sequences of tokens from a text file, or from all files *.txt of a folder.

    vocabulary: what text is cut into. shape: (tokens of a sequence, its end included,).
    unit: "lines", "sentences", or "windows" of so many tokens one after the other, which have no end.
    test: how many sequences, or which share in (0., 1.), at the end of the text are the test split, where no
        file is called test. longer: "refuse" what is longer than that, or "cut" it.
    encoding: of the files; UTF-8 with or without a mark at its front by default.
    """

    def __init__(
        self,
        root: str | Path,
        vocabulary: Vocabulary,
        shape: Sequence[int],
        unit: str = "lines",
        test: int | float = 0.1,
        longer: str = "refuse",
        encoding: str = "utf-8-sig",
    ) -> None:
        if longer not in LONGER:
            raise ConfigurationError(f"data.source.longer={longer}: choose {' or '.join(LONGER)}")
        self.root, self.vocabulary, self.length = root, vocabulary, shape[0]
        self.unit, self.test, self.longer, self.encoding = unit, test, longer, encoding

    def prepare(self) -> None:
        """DataError where there is no text."""
        text_files(self.root, self.encoding)

    def load(self) -> Splits:
        """Read the text, and cut it."""
        files = text_files(self.root, self.encoding)
        notes: list[str] = []
        found = {
            split: self._tokens([file for file in files if file.split == split], notes)
            for split in ("train", "test", "val")
            if any(file.split == split for file in files)
        }
        if "train" not in found:
            raise DataError(
                f"{printable(self.root)}: every file is a test or validation split: one for training is "
                "needed"
            )
        train = found["train"]
        if "test" not in found:
            size = cut(self.test, len(train), "data.source.test", f"{len(train):,} {self.unit}")
            train, found["test"] = train.split([len(train) - size, size])
        val = Observations(found["val"]) if "val" in found else None
        checksums = {file.path.name: checksum(file.text.encode()) for file in files}
        return Splits(Observations(train.clone()), Observations(found["test"].clone()), checksums, val, notes)

    def _tokens(self, files: Sequence[File], notes: list[str]) -> Tensor:
        pieces = [piece for file in files for piece in pieces_of(file, self.unit)]
        if self.unit == "windows":
            return self._windows(pieces, notes)
        longer: list[Piece] = []
        rows = [self._row(piece, longer) for piece in pieces]
        notes.extend(noted(longer, self.length))
        return filled(rows, self.length)

    def _row(self, piece: Piece, longer: list[Piece]) -> list[int]:
        tokens = [*encoded(piece, self.vocabulary), END]
        if len(tokens) > self.length:
            if self.longer == "refuse":
                raise too_long(piece.where, len(tokens), self.length)
            longer.append(piece)
        return tokens[: self.length]

    def _windows(self, pieces: Sequence[Piece], notes: list[str]) -> Tensor:
        tokens = torch.tensor(
            [t for piece in pieces for t in encoded(piece, self.vocabulary)], dtype=torch.int32
        )
        count, rest = divmod(len(tokens), self.length)
        if not count:
            raise DataError(
                f"{printable(self.root)}: holds {len(tokens)} tokens, and a window has {self.length}: "
                f"data.shape=[{max(1, len(tokens) // 10)}] would work"
            )
        if rest:
            notes.append(f"left aside: the last {rest} tokens, which fill no window")
        return tokens[: count * self.length].view(count, self.length)


def filled(rows: Iterable[Sequence[int]], length: int) -> Tensor:
    """Rows of tokens with padding behind them: (N, length), int32."""
    given = list(rows)
    found = torch.full((len(given), length), PAD, dtype=torch.int32)
    for place, row in enumerate(given):
        found[place, : len(row)] = torch.tensor(row, dtype=torch.int32)
    return found
