"""An objective is a sum of weighted terms; each term is a cost in nats per sample."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.core.schedules import Schedule, scheduled
from aelab.models import Autoencoder


class Term(nn.Module, ABC):
    """forward: (trace, model) -> the unweighted cost, a scalar in nats per sample.

    weight: a number, or a schedule that is called with the optimisation step.
    reads_codes: whether it is a function of the trace, not of the weights alone.
    alone: whether it changes the codes' gradient, so that no other term may read them.
    """

    reads_codes = True
    alone = False

    def __init__(self, weight: float | Schedule = 1.0) -> None:
        super().__init__()
        self.weight = scheduled(weight)

    @abstractmethod
    def forward(self, trace: Trace, model: Autoencoder) -> Tensor: ...

    def bind(self, critics: Mapping[str, "Critic"]) -> None:
        """Receive the objective's critics, of which the term may read some; by default it reads none."""

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


class Objective(nn.Module):
    """The training criterion: `samples` codes for each observation, and a weighted sum of `terms`.

    critics: networks that terms read, by name; each is trained by a cost of its own.
    """

    def __init__(
        self, terms: Mapping[str, Term], samples: int = 1, critics: Mapping[str, Critic] | None = None
    ) -> None:
        super().__init__()
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
        self.terms: Mapping[str, Term] = nn.ModuleDict(dict(terms))  # type: ignore[assignment]
        self.critics: Mapping[str, Critic] = nn.ModuleDict(dict(critics or {}))  # type: ignore[assignment]
        self.samples = samples
        for term in terms.values():
            term.bind(self.critics)

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

    def total(self, values: Mapping[str, Tensor], step: int) -> Tensor:
        """The weighted sum: what is differentiated."""
        weighted = [values[name] if w == 1 else w * values[name] for name, w in self.weights(step).items()]
        return sum(weighted[1:], start=weighted[0])
