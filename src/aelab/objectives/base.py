"""An objective is a sum of weighted terms; each term is a cost in nats per sample."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes, Trace
from aelab.core.schedules import Scheduled, scheduled
from aelab.models import Autoencoder


class Term(nn.Module, ABC):
    """forward: (trace, model) -> the unweighted cost, a scalar in nats per sample.

    weight: a number, or a schedule that is called with the optimisation step.
    reads_codes: whether it is a function of the trace, not of the weights alone.
    alone: whether it changes the codes' gradient, so that no other term may read them.
    like: the name of a term that its own is scaled by, or None.
    """

    reads_codes = True
    alone = False
    like: str | None = None

    def __init__(self, weight: Scheduled = 1.0) -> None:
        super().__init__()
        self.weight = scheduled(weight)

    @abstractmethod
    def forward(self, trace: Trace, model: Autoencoder) -> Tensor: ...

    def bind(self, critics: Mapping[str, "Critic"]) -> Collection[str]:
        """Receive the objective's critics; the names of those that the term reads, by default of none."""
        return ()

    def scale(self, values: Mapping[str, Tensor], own: Tensor, model: Autoencoder) -> Tensor | float:
        """What its weight is multiplied by, in view of the other terms' values: by default 1."""
        return 1.0

    def after_step(self, trace: Trace, model: Autoencoder) -> None:
        """Move what no gradient trains, once an optimisation step is taken: by default nothing.

        Buffers of the term or of the model, that is: nothing is differentiated here, mixed precision is off,
        and floating-point buffers are averaged over the processes afterwards. trace: of the last batch.
        """


class Critic(nn.Module, ABC):
    """A network with an optimiser of its own, that terms read (Goodfellow et al. 2014,
    https://arxiv.org/abs/1406.2661)."""

    @abstractmethod
    def cost(self, trace: Trace, model: Autoencoder) -> Tensor:
        """What the critic's own steps lower, a scalar."""

    def readings(self) -> dict[str, Tensor]:
        """What of its last cost is logged beside it, scalars by name: by default nothing."""
        return {}

    def after_step(self) -> None:
        """Move what no gradient trains, once the critic has stepped: by default nothing.

        Buffers and its own weights; floating-point buffers are averaged over the processes afterwards.
        """


Part = TypeVar("Part", bound=nn.Module)
Known = Mapping[str, Part | Callable[[Sizes], Part]]
"""Parts by name, or what makes one from the model's sizes."""


class Objective(nn.Module):
    """The training criterion: `samples` codes for each observation, and a weighted sum of `terms`.

    critics: networks that terms read, by name; each is trained by a cost of its own.
    sizes: of the model, for terms and critics that are built with them.
    """

    def __init__(
        self,
        terms: Known[Term],
        samples: int = 1,
        critics: Known[Critic] | None = None,
        sizes: Sizes = Sizes(),  # noqa: B008
    ) -> None:
        super().__init__()
        terms, critics = _built(terms, sizes), _built(critics or {}, sizes)
        if samples < 1:
            raise ConfigurationError(f"objective.samples={samples}: at least 1 code for each observation")
        if not terms:
            raise ConfigurationError("objective.terms is empty: an objective needs at least one term")
        readers = [name for name, term in terms.items() if term.reads_codes]
        if any(terms[name].alone for name in readers) and len(readers) > 1:
            raise ConfigurationError(
                f"objective.terms {', '.join(readers)}: one of them rescales the gradient of the codes, so "
                "it must be the only one that reads them; penalties on the weights may stand beside it"
            )
        for name, term in terms.items():
            if term.like not in (None, *terms):
                raise ConfigurationError(
                    f"objective.terms.{name}.like={term.like} is no term: name one of {', '.join(terms)}"
                )
        self.terms: Mapping[str, Term] = nn.ModuleDict(terms)  # type: ignore[assignment]
        self.critics: Mapping[str, Critic] = nn.ModuleDict(critics)  # type: ignore[assignment]
        self.samples = samples
        self.scaled = any(type(term).scale is not Term.scale for term in terms.values())
        read = {name for term in terms.values() for name in term.bind(self.critics)}
        if unread := [name for name in critics if name not in read]:
            raise ConfigurationError(
                f"objective.critics.{unread[0]} is trained for nothing, as no term reads it: add a term with "
                f"critic={unread[0]}, or leave the critic out"
            )

    def forward(self, trace: Trace, model: Autoencoder) -> dict[str, Tensor]:
        """The unweighted terms by name; ConfigurationError naming one that the model cannot serve."""
        values = {}
        for name, term in self.terms.items():
            try:
                values[name] = term(trace, model)
            except ConfigurationError as error:
                raise ConfigurationError(f"{error} (in objective.terms.{name})") from error
        return values

    def weights(self, step: int) -> dict[str, float]:
        """The terms' weights at an optimisation step."""
        return {name: term.weight(step) for name, term in self.terms.items()}

    def total(self, values: Mapping[str, Tensor], step: int, model: Autoencoder | None = None) -> Tensor:
        """The weighted sum: what is differentiated. model: for terms that scale themselves by the others."""
        weights: Mapping[str, float | Tensor] = self.weights(step)
        if model is not None and self.scaled:
            weights = {name: self._scaled(name, w, values, model) for name, w in weights.items()}
        weighted = [
            values[name] if not isinstance(w, Tensor) and w == 1 else w * values[name]
            for name, w in weights.items()
        ]
        return sum(weighted[1:], start=weighted[0])

    def _scaled(
        self, name: str, weight: float | Tensor, values: Mapping[str, Tensor], model: Autoencoder
    ) -> float | Tensor:
        return weight * self.terms[name].scale(values, values[name], model) if weight else weight


def _built(parts: Known[Part], sizes: Sizes) -> dict[str, Part]:
    return {name: part if isinstance(part, nn.Module) else part(sizes) for name, part in parts.items()}  # type: ignore[misc]
