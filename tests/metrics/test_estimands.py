import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import undecoded
from torch import distributions as td
from torch import nn
from torchmetrics.image import PeakSignalNoiseRatio
from torchmetrics.regression import MeanSquaredError

from aelab.core.records import Batch, Trace
from aelab.data.kinds import Pixels
from aelab.data.values import Grey
from aelab.metrics.estimands import (
    EVIDENCE,
    Means,
    bits_per_dim,
    estimands,
    evidence,
)
from aelab.metrics.units import Units
from aelab.models.distributions import Bernoulli, Gaussian, PointMass, StandardGaussian
from aelab.models.likelihoods import ContinuousBernoulli

EVENT, LATENT, COUNT = (1, 4, 3), 3, 24


def every():
    return estimands(LATENT, Pixels(), bits=8.0)


few = settings(max_examples=20, deadline=None)


def traces(sizes=(COUNT,), samples=2, likelihood="bernoulli", prior="standard", point=False):
    """The same observations, cut into batches of the given sizes."""
    draw = {"generator": torch.Generator().manual_seed(0), "dtype": torch.float64}
    x = torch.rand(COUNT, *EVENT, **draw)
    loc, log_variance = torch.randn(2, COUNT, LATENT, **draw)
    z = torch.randn(samples, COUNT, LATENT, **draw)
    params = torch.randn(samples, COUNT, *EVENT, **draw)
    means = torch.tensor([[-1.0], [1.0]]).double().expand(2, LATENT)
    mixture = td.MixtureSameFamily(
        td.Categorical(torch.ones(2).double()), td.Independent(td.Normal(means, 1.0), 1)
    )
    priors = {"standard": StandardGaussian(x.new_zeros(LATENT)), "mixture": mixture, "none": None}
    densities = {
        "bernoulli": lambda p: Bernoulli(p, len(EVENT)),
        "gaussian": lambda p: Gaussian(p, p.new_zeros(()), len(EVENT)),
    }
    for part in torch.arange(COUNT).split(list(sizes)):
        yield Trace(
            batch=Batch(x[part]),
            corrupted=x[part],
            context=None,
            posterior=PointMass(loc[part]) if point else Gaussian(loc[part], log_variance[part]),
            prior=priors[prior],
            z=z[:, part],
            decode=partial(densities[likelihood], params[:, part]),
        )


def evidences():
    return Means(partial(evidence, bits=8.0), EVIDENCE)


def reconstructions():
    return Means(Pixels().errors, Pixels.quantities)


def measured(metric, parts):
    for part in parts:
        metric.update(part)
    return {name: value.item() for name, value in metric.compute().items()}


@st.composite
def cuts(draw):
    inner = sorted(draw(st.sets(st.integers(1, COUNT - 1), max_size=8)))
    return [b - a for a, b in zip([0, *inner], [*inner, COUNT], strict=True)]


@pytest.mark.parametrize("prior", ["standard", "mixture", "none"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@few
@given(sizes=cuts())
def test_measures_do_not_depend_on_the_batch_size(prior, likelihood, sizes):
    options = {"prior": prior, "likelihood": likelihood}
    whole = measured(every(), traces(**options))
    assert measured(every(), traces(sizes, **options)) == pytest.approx(whole, rel=1e-9)


@few
@given(sizes=cuts())
def test_measures_do_not_depend_on_how_processes_share_the_work(sizes):
    for build in (evidences, reconstructions, lambda: Units(LATENT)):
        processes = [build() for _ in sizes]
        for process, part in zip(processes, traces(sizes), strict=True):
            process.update(part)
        shared = processes.pop()
        for process in processes:
            shared.merge_state(process)
        values = {name: value.item() for name, value in shared.compute().items()}
        assert values == pytest.approx(measured(build(), traces()), rel=1e-9)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_evidence_is_its_formula(likelihood):
    (trace,) = traces(likelihood=likelihood)
    loc, variance = trace.posterior.loc.numpy(), trace.posterior.variance.numpy()
    x, params = trace.x.numpy(), trace.likelihood.mean.numpy()
    cost = {
        "bernoulli": lambda: -(x * np.log(params) + (1 - x) * np.log1p(-params)),
        "gaussian": lambda: 0.5 * ((x - params) ** 2 + np.log(2 * np.pi)),
    }[likelihood]()
    distortion = cost.sum((2, 3, 4)).mean()
    kl = 0.5 * (loc**2 + variance - 1 - np.log(variance)).sum(1).mean()
    bits = (distortion + kl) / np.log(2) / x[0].size + (8 if likelihood == "gaussian" else 0)
    crossed = 0.5 * (trace.z.numpy() ** 2 + np.log(2 * np.pi)).sum(-1).mean()
    expected = {"elbo": -distortion - kl, "distortion": distortion, "kl": kl, "bits_per_dim": bits}
    expected["code_nll"] = crossed
    assert measured(evidences(), [trace]) == pytest.approx(expected, rel=1e-5)


def test_evidence_without_a_closed_form_is_estimated_from_the_codes():
    (trace,) = traces(prior="mixture", samples=5)
    kl = (trace.posterior.log_prob(trace.z) - trace.prior.log_prob(trace.z)).mean().item()
    assert measured(evidences(), [trace])["kl"] == pytest.approx(kl, rel=1e-5)


def test_a_density_is_charged_what_makes_it_a_probability_of_the_levels():
    levels = torch.arange(-255, 511)[:, None] / 255  # the tails too
    density = Gaussian(torch.full((1,), 0.4), torch.tensor(-6.0))
    bits = bits_per_dim(-density.log_prob(levels), density, Grey().bits)
    assert float((-bits * np.log(2)).exp().sum()) == pytest.approx(1, rel=1e-5)


def test_a_uniform_density_costs_the_eight_bits_of_a_grey_level():
    x = torch.rand(5, *EVENT)
    standard = torch.zeros(5, LATENT)
    trace = Trace(
        batch=Batch(x),
        corrupted=x,
        context=None,
        posterior=Gaussian(standard, standard),
        prior=StandardGaussian(x.new_zeros(LATENT)),
        z=standard[None],
        decode=lambda: ContinuousBernoulli()(torch.zeros(1, 5, *EVENT)),
    )
    values = measured(evidences(), [trace])
    assert values["bits_per_dim"] == pytest.approx(8, abs=1e-5)
    assert values["elbo"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_values_that_no_number_of_bits_describes_have_none_for_each_dimension(likelihood):
    values = measured(estimands(LATENT, Pixels(), bits=None), traces(likelihood=likelihood))
    assert "bits_per_dim" not in values
    assert values == {
        k: v for k, v in measured(every(), traces(likelihood=likelihood)).items() if k in values
    }


def test_fair_coins_cost_one_bit_each():
    (trace,) = traces(likelihood="bernoulli")
    trace.likelihood.logits.zero_()
    trace.posterior.loc.zero_()
    trace.posterior.log_variance.zero_()
    assert measured(evidences(), [trace])["bits_per_dim"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("options", [{"prior": "none"}, {"point": True}, {"prior": "none", "point": True}])
def test_what_is_undefined_is_absent_and_the_rest_is_there(options):
    values = measured(every(), traces(**options))
    crossed = set() if "prior" in options else {"code_nll"}  # which needs no density of the codes
    assert set(values) == {"distortion", "mse", "squared_error", "psnr", "active_units"} | crossed
    whole = measured(every(), traces())
    assert values == pytest.approx({name: whole[name] for name in values})


def test_reconstruction_is_that_of_torchmetrics():
    (trace,) = traces()
    shown = trace.likelihood.mean.mean(0)
    values = measured(reconstructions(), [trace])
    mse = MeanSquaredError()(shown.flatten(), trace.x.flatten()).item()
    psnr = [PeakSignalNoiseRatio(data_range=1.0)(a, b).item() for a, b in zip(shown, trace.x, strict=True)]
    assert values["mse"] == pytest.approx(mse, rel=1e-5)
    assert values["squared_error"] == pytest.approx(mse * math.prod(EVENT), rel=1e-5)
    assert values["psnr"] == pytest.approx(sum(psnr) / COUNT, rel=1e-5)


def test_perfect_images_have_a_hundred_decibels():
    (trace,) = traces(samples=1)
    trace.x.copy_(trace.likelihood.mean[0])
    values = measured(reconstructions(), [trace])
    assert values == pytest.approx({"mse": 0, "squared_error": 0, "psnr": 100})


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.floats(-1e3, 1e3))
def test_active_units_are_the_dimensions_whose_mean_varies(active, shift):
    mean = torch.where(torch.tensor(active), 0.11, 0.09) * torch.tensor([[-1.0], [1.0]]).repeat(50, 1)
    x = torch.zeros(100, 1)
    trace = Trace(Batch(x), x, None, PointMass(mean.double() + shift), None, mean[None], undecoded)
    assert measured(Units(len(active)), [trace]) == {"active_units": sum(active)}


@pytest.mark.parametrize("threshold", [0.001, 0.5, 2.0])
def test_active_units_are_counted_as_numpy_would(threshold):
    (trace,) = traces()
    variance = trace.posterior.mean.numpy().var(0)
    values = measured(Units(LATENT, threshold), [trace])
    assert values == {"active_units": (variance > threshold).sum()}


def test_nothing_of_the_measures_enters_a_checkpoint():
    metric = every()
    measured(metric, traces())
    assert not metric.state_dict()
    assert not list(metric.parameters())


@pytest.mark.parametrize(
    "cast",
    [
        nn.Module.half,
        nn.Module.float,
        *(
            (lambda module, dtype=dtype: module.to(dtype))
            for dtype in (torch.bfloat16, torch.float16, torch.float32)
        ),
    ],
)
def test_the_sums_stay_in_double_precision_whatever_the_model_is_cast_to(cast):
    model = nn.ModuleDict({"network": nn.Linear(1, 1), "measures": every()})
    cast(model)
    for _ in range(2):
        values = measured(model["measures"], traces([1] * COUNT))
        assert values == pytest.approx(measured(every(), traces()), rel=1e-9)
        model["measures"].reset()


def test_a_measure_begins_anew_after_its_reset():
    metric = every()
    first = measured(metric, traces())
    metric.reset()
    assert measured(metric, traces([5, COUNT - 5])) == pytest.approx(first, rel=1e-9)
