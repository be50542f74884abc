"""One small training of every variant, and what holds for each: of its steps, its model, its evaluation."""

from typing import Any

import pytest
import torch
from findings import finite
from hydra.utils import instantiate
from omegaconf import OmegaConf
from small import GANS, TOLD, few_quick, of_numbers, small
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

import aelab
from aelab.config.construct import construct_recorded
from aelab.config.identity import fingerprint
from aelab.config.trusted import trusted_settings
from aelab.core.errors import InapplicableError
from aelab.models.distributions import has_density
from aelab.training.loop import EpochLoop

ATEN = torch.ops.aten
READS = {
    ATEN._local_scalar_dense.default,
    ATEN.nonzero.default,
    ATEN.masked_select.default,
    ATEN.equal.default,
    ATEN._unique2.default,
    ATEN.unique_dim.default,
}

CRITICS_ALONE = GANS | {"ali", "bigan"}
NO_BOUND = "no prior|no evidence lower bound"
# What a step has to know of its values, and how its operations follow from them.
BY_VALUES = {
    "cycle_gan",  # as many observations as the other domain has
    "flow_prior_vae",  # the masks of zuko's coupling, which stay the same
    "hyperspherical_vae",  # draws are rejected until all are accepted
    "m2_vae",  # as many rows as there are labels to sum over
    "ss_cvae",
}


class Reads(TorchDispatchMode):
    """Lists the operations whose result, or its size, the host has to know."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        masks = func is ATEN.index.Tensor and any(i is not None and i.dtype == torch.bool for i in args[1])
        if func in READS or masks:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module", params=few_quick(of_numbers("variant")))
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def reads():
    """Of each step of the run, what it read back."""
    return []


@pytest.fixture(scope="module")
def run(variant, train_once, reads):
    step, one_hot = EpochLoop._train, functional.one_hot

    def unwatched(*args):
        with _disable_current_modes():  # on a CPU alone it looks at its labels
            return one_hot(*args)

    def watched(self, batch, batch_idx):
        with Reads() as mode:
            result = step(self, batch, batch_idx)
        reads.append(mode.found)
        return result

    reads.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functional, "one_hot", unwatched)
        patch.setattr(EpochLoop, "_train", watched)
        return train_once(f"variant={variant}", base=small(variant))


@pytest.fixture(scope="module")
def model(run):
    return aelab.load(run.path)


@pytest.fixture(scope="module")
def told(variant):
    """What such a model is told of three observations."""
    return {"y": [1, 2, 3]} if variant in TOLD else {}


def test_between_two_windows_of_its_journal_a_step_reads_nothing_back(variant, run, reads):
    """For which an accelerator would be waited."""
    if variant not in BY_VALUES:
        assert reads == [[], [], []]


def test_what_is_read_is_seen():
    with Reads() as mode:
        x = torch.ones(3)
        bool(x.sum() > 1)
        x[x > 0]
        x.index_select(0, torch.tensor([0]))
    assert len(mode.found) == 2


def test_its_configuration_is_trusted_and_its_model_is_made_as_hydra_makes_it(run):
    config = trusted_settings(run.config)
    assert fingerprint(config) == run.read()["fingerprint"]
    torch.manual_seed(0)
    ours = construct_recorded(config.model, "model")
    torch.manual_seed(0)
    theirs = instantiate(config.model, _convert_="all")
    assert str(ours) == str(theirs)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, weights in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], weights)


def test_it_is_loaded_and_used(variant, model, told):
    x = (torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    if model.model.prior is None:
        with pytest.raises(InapplicableError, match="no prior"):
            model.sample(3)
    else:
        samples = model.sample(3, seed=0, **told)
        assert samples.shape == x.shape
        assert samples.isfinite().all()
    if variant in GANS:
        with pytest.raises(InapplicableError, match="no encoder"):
            model.encode(x, **told)
        return
    codes = model.encode(x, **told)
    assert codes.shape == (3, model.latent)
    outputs = model.reconstruct(x, **told)
    assert outputs.shape == x.shape
    torch.testing.assert_close(model.decode(codes, **told), outputs)
    if variant in CRITICS_ALONE:
        with pytest.raises(InapplicableError, match="no likelihood was fitted"):
            model.log_prob(x)
    elif model.model.prior is None or not has_density(model.posterior(x, **told)):
        with pytest.raises(InapplicableError, match=NO_BOUND):
            model.log_prob(x)
    else:
        assert model.log_prob(x, samples=3, **told).isfinite().all()


@pytest.fixture(scope="module")
def evaluated():
    """The models whose evaluation was looked at, by their configuration and their data's."""
    return set()


@pytest.mark.slow
def test_it_is_evaluated_by_every_part(variant, run, evaluate, evaluated):
    """It reads of a run the model, the data and whether critics alone trained it: once for each."""
    settings = trusted_settings(run.config)
    fitted = variant not in CRITICS_ALONE
    of = OmegaConf.to_yaml(settings.model), OmegaConf.to_yaml(settings.data), fitted
    if of in evaluated:
        return
    evaluated.add(of)
    encodes = variant not in GANS
    names = finite(evaluate(run), encodes)
    assert ("likelihood/distortion" in names) == fitted  # critics fit no likelihood
    assert ("reconstruction/mse" in names) == encodes
    assert ("representation/linear_probe" in names) == (encodes and variant not in TOLD)
