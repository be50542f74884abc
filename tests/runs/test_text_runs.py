"""Text, from the command line to a trained model that reads and writes it."""

import csv

import pytest
import torch
from small import only

import aelab
from aelab.cli.encode import main as encode
from aelab.cli.export import main as export
from aelab.cli.reconstruct import main as reconstruct
from aelab.cli.sample import main as sample
from aelab.config.compose import compose
from aelab.core.errors import AelabError, ConfigurationError, InapplicableError
from aelab.runs.build import build

FEW = [
    "logger=[]", "threads=1", "trainer.max_epochs=1", "trainer.limit_train_batches=3",
    "model.likelihood.width=12",
    "data.source.count=600", "data.source.test=100", "data.batch_size=16",
]  # fmt: skip
READS = [*FEW, "network.width=8"]


@pytest.fixture(scope="module")
def run(train_once):
    return train_once("variant=text_vae", base=READS)


@pytest.fixture(scope="module")
def model(run):
    return aelab.load(run.path)


def test_a_text_vae_reads_and_writes_text(model, tmp_path):
    lines = ["the dog sleeps", "these old cats see a ship"]
    codes = model.encode(lines)
    assert codes.shape == (2, model.latent)
    back = model.reconstruct(lines)
    assert back.shape == (2, *model.shape)
    assert torch.equal(model.decode(codes)[0] > 0, model.decode(codes)[0] != 0)
    assert all(
        set(text.split()) <= set(model.kind.vocabulary.symbols.split()) for text in model.kind.texts(back)
    )
    assert model.log_prob(lines, samples=3, seed=0).isfinite().all()
    assert torch.equal(model.sample(3, seed=1), model.sample(3, seed=1))
    assert model.interpolate(lines[:1], lines[1:], steps=3).shape == (1, 3, *model.shape)
    model.picture([back, back], ["input", "output"]).save(tmp_path / "pairs.png")


def test_what_has_no_meaning_for_text_is_said_in_a_sentence(model):
    with pytest.raises(InapplicableError, match="tokens are names"):
        model.error_map(["the dog sleeps"])


def test_the_commands_read_and_write_text(run, tmp_path):
    given = tmp_path / "given.txt"
    given.write_text("the dog sleeps\nthe cats sing\n")
    common = ["device=cpu", f"run={run.path}"]
    sample(compose([*common, "count=4", f"to={tmp_path / 'new'}"], "sample"))
    assert len((tmp_path / "new/texts.txt").read_text().splitlines()) == 4
    reconstruct(compose([*common, f"from={given}", f"to={tmp_path / 'back'}"], "reconstruct"))
    rows = list(csv.reader((tmp_path / "back/errors.csv").open()))
    assert rows[0] == ["file", "token_errors"]
    assert len(rows) == 3
    encode(compose([*common, f"from={given}", f"to={tmp_path / 'codes.npz'}"], "encode"))


def test_a_language_model_is_its_likelihood_alone(train, evaluate):
    run = train("variant=lm", base=FEW)
    found = run.read()["metrics"]
    assert {"test/nats_per_token", "test/token_perplexity", "test/token_accuracy"} <= set(found)
    assert "test/elbo" not in found
    told = evaluate(run, *only("likelihood", "reconstruction"))
    costs = {name: each["value"] for name, each in told["estimates"].items()}
    assert costs["likelihood/nll_effective_samples"] == 1
    # Codes say nothing: every one of them has the same likelihood, which is the evidence.
    assert costs["likelihood/nll_nats_per_token"] == pytest.approx(_first(run, 50), rel=1e-5)
    assert costs["likelihood/nats_per_token"] == pytest.approx(found["test/nats_per_token"], rel=1e-6)


def _first(run, count):
    """Nats per token of the first test sequences, by a user's own hands."""
    from aelab.runs.data import data_of

    model, x = aelab.load(run.path), data_of(run_of(run)).test_examples(count).x
    return float(-model.log_prob(x, samples=1).sum() / (x > 0).sum())


def run_of(folder):
    from aelab.runs.folder import Run

    return Run.open(folder.path)


def test_an_evaluation_measures_text_and_says_what_it_cannot(run, evaluate):
    found = evaluate(run)
    assert not [why for why in found["left_out"].values() if why.startswith("failed")]
    measured = found["estimates"]
    assert measured["likelihood/nats_per_token"]["value"] == pytest.approx(
        run.read()["metrics"]["test/nats_per_token"], rel=1e-6
    )
    assert {"likelihood/token_perplexity", "likelihood/nll_nats_per_token"} <= set(measured)
    assert {"generation/distinct_4grams", "generation_floor/known_4grams"} <= set(measured)
    assert "generation_samples.png" in found["figures"]
    assert "reconstructions.png" in found["figures"]


@pytest.mark.slow
def test_text_of_ones_own_is_trained_and_conditional_models_and_other_bounds_hold(train, tmp_path):
    text = tmp_path / "mine.txt"
    text.write_text("\n".join(f"line {i} of my text" for i in range(60)))
    few = [option for option in READS if not option.startswith("data.")]
    own = [*few, "data=text", f"data.root={text}", "data.eval_batch_size=7"]
    nats = {
        name: train("variant=vae", *options, base=own).read()["metrics"]["test/nats_per_token"]
        for name, options in {
            "characters": [],
            "longer": ["data.shape=[40]"],
            "pairs": ["vocabulary=byte_pairs", "data.kind.vocabulary.count=270"],
            "windows": ["vocabulary=bytes", "data.source.unit=windows", "data.shape=[16]"],
        }.items()
    }
    assert nats["characters"] == nats["longer"]  # padding never changes a bit
    assert len(set(nats.values())) == 3
    train("variant=iwae", "condition=label", "network=lstm", "prior=realnvp", base=[*READS, "data=grammar"])


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["variant=lm", "data=digits"], "val/distortion|model.likelihood.width"),
        (["data.source.count=600", "data.source.test=50", "variant=text_vae", "network=mlp"], "network=gru"),
        (
            ["data.source.count=600", "data.source.test=50", "variant=text_vae", "data.vocabulary=9"],
            "data.vocabulary=",
        ),
        (
            ["data.source.count=600", "data.source.test=50", "variant=text_vae", "values=grey"],
            "values=tokens",
        ),
        (
            [
                "data.source.count=600",
                "data.source.test=50",
                "variant=text_vae",
                "model.likelihood.dropout=2",
            ],
            "a share from 0 to 1",
        ),
        (
            ["data=grammar", "data.source.count=600", "data.source.test=50", "corruption=gaussian"],
            "corruption=none",
        ),
        (["data=grammar", "data.source.count=600", "data.source.test=50", "prior=vamp"], "prior=exemplar"),
        (["likelihood=recurrent"], "data=grammar"),
        (["data=text", "data.root=/nowhere.txt"], "must name a file of text"),
    ],
)
def test_what_does_not_fit_text_is_refused(overrides, sentence):
    with pytest.raises((AelabError, ConfigurationError), match=sentence) as refusal:
        build(compose([*FEW[:5], *overrides]))
    assert len(str(refusal.value).splitlines()) == 1


def test_exemplars_are_sentences_of_the_training_split(train):
    run = train("variant=text_vae", "prior=exemplar", "model.prior.components=5", base=READS)
    model = aelab.load(run.path)
    assert all(model.kind.texts(model.model.prior.exemplars))
    assert len(model.kind.texts(model.sample(3, seed=0))) == 3


def test_it_is_bundled_and_its_encoder_is_a_graph_of_sentences_of_any_length(run, model, tmp_path):
    pytest.importorskip("safetensors")
    export(compose([f"run={run.path}", f"to={tmp_path / 'whole'}", "format=bundle"], "export"))
    moved = aelab.load(tmp_path / "whole")
    assert moved.kind.texts(moved.sample(3, seed=0)) == model.kind.texts(model.sample(3, seed=0))
    part = ["format=torch_export", f"to={tmp_path / 'graph'}"]
    export(compose([f"run={run.path}", "part=encoder", *part], "export"))
    graph = torch.export.load(tmp_path / "graph" / "encoder.pt2").module()
    tokens = model.kind.parse(["the dog sleeps", "these old cats see a ship"], model.shape).long()
    torch.testing.assert_close(graph(tokens), model.encode(tokens), rtol=1e-4, atol=1e-5)
    with pytest.raises(InapplicableError, match=r"part=encoder, or format=bundle"):
        export(compose([f"run={run.path}", "part=decoder", f"to={tmp_path / 'no'}"], "export"))
