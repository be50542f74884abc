"""Clusters and labels in stages: each begins where the one before it ended."""

from functools import cache

import pytest
import torch
from small import SMALL, only

import aelab
from aelab.core.errors import AelabError

PLAIN = [o for o in SMALL if not o.startswith("model.")]


@pytest.fixture(scope="module")
def trained(train_once):
    @cache
    def run(*overrides, base=tuple(SMALL)):
        return train_once(*overrides, base=list(base))

    return run


STAGES = {
    "vade": (["variant=vae", "objective=reconstruction", "monitor.metric=null"], []),
    "dec": (["variant=ae"], ["prior=centres"]),
}


@pytest.mark.parametrize("variant", STAGES)
def test_clusters_begin_at_the_prior_of_the_codes_and_are_scored(trained, evaluate, variant):
    first, prior = STAGES[variant]
    start = f"start.run={trained(*first).path}"
    second = trained("variant=prior_of", *prior, "model.prior.components=10", start, base=tuple(PLAIN))
    last = trained(f"variant={variant}", f"start.run={second.path}", "optimizer.lr=1e-9", base=tuple(PLAIN))
    centres = [aelab.load(run.path).model.prior.loc for run in (second, last)]
    torch.testing.assert_close(*centres, atol=1e-6, rtol=0)
    found = evaluate(last, *only("representation"))["estimates"]
    assert 0.1 <= found["representation/model_accuracy"]["value"] <= 1
    assert {"representation/model_nmi", "representation/model_ari"} <= found.keys()


def test_m2_reads_the_features_of_a_trained_model_as_they_are(trained, evaluate):
    labels = ["data.labelled=50", "data.labelled_share=0.5"]
    first = trained("variant=vae")
    last = trained(
        "variant=m1_m2", f"start.run={first.path}", *labels, base=(*PLAIN, "model.decoder.widths=[16]")
    )
    before, after = (dict(aelab.load(run.path).model.encoder.named_parameters()) for run in (first, last))
    assert all(torch.equal(before[name], after[name]) for name in before)
    found = evaluate(last, *only("representation"))["estimates"]
    error, accuracy = (
        found[f"representation/{n}"]["value"] for n in ("classification_error", "model_accuracy")
    )
    assert 0 < error <= 1
    assert accuracy >= 1 - error  # clusters may be renamed, labels may not


@pytest.mark.parametrize("variant", ["dec", "m1_m2"])
def test_a_last_stage_without_the_first_is_refused(trained, variant):
    with pytest.raises(AelabError, match=r"start\.run=FOLDER"):
        trained(f"variant={variant}", base=tuple(PLAIN))
