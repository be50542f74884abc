"""test/nll from end to end: the estimate of the kept weights, of the images that were asked for."""

import pytest
import torch

from aelab.config.recorded import recorded_settings
from aelab.core.errors import ConfigurationError
from aelab.metrics.importance import NLL, log_evidence
from aelab.runs.build import build
from aelab.training.callbacks.likelihood import ImportanceSampling
from aelab.training.checkpoints import load

CALLBACK = "callbacks.importance_sampling"
PRIORLESS = ["prior=none", "objective=reconstruction", "monitor.metric=val/mse"]


@pytest.fixture
def sampled(train):
    def run(*overrides, samples=20):
        return train("callback=importance_sampling", f"{CALLBACK}.samples={samples}", *overrides)

    return run


def nll(run):
    metrics = run.read()["metrics"]
    names = ("nll", "nll_standard_error", "nll_effective_samples", "elbo")
    return [metrics[f"test/{name}"] for name in names]


@torch.no_grad()
def estimated(run, samples, seed=1):
    """-log p(x) of each test image and the effective number of codes, with the kept weights."""
    parts = build(recorded_settings(run.config))
    parts.training.load_state_dict(load(run.checkpoints / "best.ckpt")["state_dict"])
    model = parts.training.model.eval()
    torch.manual_seed(seed)
    found = [log_evidence([model(batch, samples)]) for batch in parts.data.test_dataloader()]
    log_p, effective = (torch.cat(values) for values in zip(*found, strict=True))
    return -log_p, effective


@pytest.mark.parametrize("memory", [5e7, 32 * 64 * 45, 1.0])
def test_the_estimate_is_that_of_all_test_images_however_the_codes_are_dealt_out(sampled, memory):
    run = sampled(f"{CALLBACK}.memory={memory}", "likelihood=gaussian")
    value, error, effective, elbo = nll(run)
    each, numbers = estimated(run, samples=20)
    count = len(each)
    again, _ = estimated(run, samples=400)
    noise = (each - again).std() / count**0.5
    assert abs(value - each.mean()) < 5 * 2**0.5 * noise
    assert error == pytest.approx(each.std().item() / count**0.5, rel=0.1)
    assert effective == pytest.approx(numbers.mean().item(), abs=5 * numbers.std().item() / count**0.5)
    assert 1 < effective < 20
    assert value < -elbo
    assert run.read()["quantities"]["test/nll"] == NLL.per("image").facts()


@pytest.mark.parametrize(("images", "others"), [(1, []), (7, [5, 6, 10]), (100_000, [10])])
def test_as_many_images_are_measured_as_are_asked_for(sampled, images, others):
    narrow = ("likelihood=gaussian", "model.likelihood.scale=0.3")  # so that images differ by nats
    run = sampled(f"{CALLBACK}.images={images}", "data.eval_batch_size=5", *narrow, samples=300)
    value, error, *_ = nll(run)
    each, again = (estimated(run, 300, seed)[0] for seed in (1, 2))
    asked, noise = each[:images], (each - again).std().item()
    close = 4 * noise / len(asked) ** 0.5
    assert value == pytest.approx(asked.mean().item(), abs=close)
    if images == 1:
        assert error == 0
    else:
        assert error == pytest.approx(asked.std().item() / len(asked) ** 0.5, rel=0.1)
    for count in others:
        assert abs(each[:count].mean() - asked.mean()) > close  # other images, another number


@pytest.mark.parametrize("overrides", [["variant=ae"], ["variant=wae_mmd"], PRIORLESS])
def test_a_model_without_densities_is_refused_before_it_is_trained(sampled, tmp_path, overrides):
    with pytest.raises(ConfigurationError, match=r"callback=importance_sampling .*leave the callback out"):
        sampled(*overrides)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "overrides",
    [
        ["condition=image"],
        ["variant=cvae"],
        ["variant=hvae"],
        ["variant=ladder_vae"],
        ["variant=gumbel_vae", "latent=20"],
        ["variant=planar_vae"],
    ],
    ids=" ".join,
)
def test_the_estimate_is_a_tighter_bound_for_every_kind_of_posterior(sampled, overrides):
    value, _, effective, elbo = nll(sampled(*overrides))
    assert value < -elbo
    assert 1 <= effective <= 20.001


def test_the_estimate_repeats_itself(sampled):
    overrides = (f"{CALLBACK}.images=10",)
    assert nll(sampled(*overrides)) == nll(sampled(*overrides))


@pytest.mark.parametrize("options", [{"samples": 0}, {"images": 0}, {"memory": 0}])
def test_a_measure_of_nothing_is_refused(options):
    with pytest.raises(ConfigurationError, match="above 0"):
        ImportanceSampling(**options)
