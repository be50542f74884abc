"""What a measured number is: its name, its unit, and which direction is better."""

import re
from dataclasses import asdict, dataclass, replace
from typing import Any

ARROWS = {True: " ↑", False: " ↓", None: ""}
"""Behind a quantity's name: which direction is better."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity that models are measured by. Each estimator declares its own, and a run's folder keeps it
    with the number, so that who reads the number needs no estimator.

    unit: what belongs to one observation is "per observation". higher_is_better: None where neither direction
    is (a rate, a count of active units). of_likelihood: whether it depends on the family of the likelihood,
    so that it compares within one family only.
    """

    name: str
    unit: str
    higher_is_better: bool | None = None
    of_likelihood: bool = False

    def per(self, noun: str) -> "Quantity":
        """The same quantity where an observation has a noun of its own, as "nats per image"."""
        return replace(self, unit=self.unit.replace("per observation", f"per {noun}"))

    def facts(self) -> dict[str, Any]:
        """All but the name, as plain values."""
        found = asdict(self)
        del found["name"]
        return found


WORDS = {"frechet": "Fréchet", "beta": "β", "dim": "dimension"}
ABBREVIATED = re.compile(
    r"[a-z]{0,6}(vae|gan|ae)|elbo|kl|nll|mse|rmse|psnr|(ms)?ssim|cka|mig|dci|sap|irs|udr|auroc|aupr"
)


def title(name: str) -> str:
    """A name as people write it in a table's head.

    >>> title("elbo"), title("beta_vae"), title("bits_per_dim"), title("linear_probe")
    ('ELBO', 'β VAE', 'Bits per dimension', 'Linear probe')
    """
    words = [WORDS.get(w) or (w.upper() if ABBREVIATED.fullmatch(w) else w) for w in name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:] if words[0] != "β" else "β", *words[1:]])


def short(unit: str) -> str:
    """The unit as a narrow table has it: `nats/image` for nats per image."""
    return unit.replace(" per ", "/")
