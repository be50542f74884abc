"""Which of a source's training observations are held out for validation."""

from dataclasses import dataclass

import torch

from aelab.core.errors import ConfigurationError
from aelab.data.splits import Observations, cut


@dataclass(frozen=True)
class HeldOut:
    """A number or a share of the training observations, one of several folds of them, or what was published.

    validation: how many observations, or which share in (0, 1); None: the published split, or a fold.
    folds: into how many equal parts the training split is cut, of which one is validation; None: into none.
    fold: which of them, from 0.
    seed: the order in which they are dealt out.

    Raises ConfigurationError for folds that are none, and for two answers at once.
    """

    validation: int | float | None
    folds: int | None = None
    fold: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds is None:
            if self.fold != 0:
                raise ConfigurationError(f"data.fold={self.fold} is one of data.folds: give both")
            return
        if type(self.folds) is not int or self.folds < 2:
            raise ConfigurationError(f"data.folds={self.folds} must be a whole number from 2")
        if type(self.fold) is not int or not 0 <= self.fold < self.folds:
            raise ConfigurationError(
                f"data.fold={self.fold} must be a whole number from 0 to {self.folds - 1}, as data.folds is "
                f"{self.folds}"
            )
        if self.validation is not None:
            raise ConfigurationError(
                f"data.validation={self.validation} and data.folds={self.folds} both say what validation is: "
                "leave one out"
            )

    def cut(
        self, train: Observations, published: Observations | None, name: str, nouns: str
    ) -> tuple[Observations, Observations]:
        """Those of training and those of validation, of data that errors call `name`, and its `nouns`.

        Raises ConfigurationError where a split would be empty, or is there already, or is not there.
        """
        if published is not None:
            self._check_none_asked(f"{len(published):,} validation {nouns}", name)
            return train, published
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(self.seed))
        where = f"{len(train):,} training {nouns} of {name}"
        kept, held_out = self._dealt(order, where) if self.folds else self._first(order, where, name)
        return train.take(kept), train.take(held_out)

    def _dealt(self, order: torch.Tensor, where: str) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.folds is not None
        if self.folds > len(order):
            raise ConfigurationError(f"data.folds={self.folds} is more than the {where}")
        parts = list(order.tensor_split(self.folds))
        held_out = parts.pop(self.fold)
        return torch.cat(parts), held_out

    def _first(self, order: torch.Tensor, where: str, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        if self.validation is None:
            raise ConfigurationError(
                f"data.validation=null asks for a published validation split, and {name} has none; "
                f"a number or a share of the {where}, such as 0.1, would work"
            )
        held_out, kept = order.tensor_split([cut(self.validation, len(order), "data.validation", where)])
        return kept, held_out

    def _check_none_asked(self, published: str, name: str) -> None:
        if self.folds is not None:
            raise ConfigurationError(
                f"data.folds={self.folds}, but {name} was published with {published} of "
                "its own, which results are compared on: data.folds=null would use them"
            )
        if self.validation is not None:
            raise ConfigurationError(
                f"data.validation={self.validation}, but {name} was published with {published}; "
                "data.validation=null would use them"
            )
