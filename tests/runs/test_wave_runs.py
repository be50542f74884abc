"""Sounds, from the command line to a trained model that reads and writes them."""

import csv
import math

import pytest
import torch
from small import only

import aelab
from aelab.cli.export import main as export
from aelab.cli.reconstruct import main as reconstruct
from aelab.cli.sample import main as sample
from aelab.config.compose import compose
from aelab.core.errors import AelabError, ConfigurationError
from aelab.runs.build import build

soundfile = pytest.importorskip("soundfile")
DATA = [
    "data.source.count=120", "data.source.test=30", "data.validation=20", "data.batch_size=10",
    "data.kind.view.seconds=0.25", "data.kind.view.bands=16",
]  # fmt: skip
FEW = ["logger=[]", "threads=1", "trainer.max_epochs=1", *DATA]
CONV = [*FEW, "network.channels=[4,8]"]


@pytest.fixture(scope="module")
def run(train_once):
    return train_once("variant=speech_vae", "condition=label", base=CONV)


def test_a_speech_vae_reads_and_writes_sounds(run, tmp_path):
    model = aelab.load(run.path)
    x = 0.1 * torch.randn(2, 2000, generator=torch.Generator().manual_seed(0))
    codes = model.encode(x, y=["rising", "steady"])
    assert codes.shape == (2, model.latent)
    back = model.reconstruct(x, y=[1, 0])
    assert back.shape == (2, 1, 16, 16)
    assert model.kind.view.sounds(back).shape == (2, 2000)
    assert model.interpolate(x[:1], x[1:], steps=3, y=0).shape == (1, 3, 1, 16, 16)
    metrics = run.read()["metrics"]
    assert {"test/elbo", "test/log_mel_distance", "test/spectral_convergence"} <= set(metrics)
    assert {path.name for path in run.pictures.glob("*.wav")} == {"reconstructions.wav", "samples.wav"}
    common = ["device=cpu", f"run={run.path}"]
    sample(compose([*common, "each=2", f"to={tmp_path / 'new'}"], "sample"))
    files = sorted((tmp_path / "new").iterdir())
    assert [path.name for path in files[:3]] == ["falling_00000.wav", "falling_00001.wav", "rising_00000.wav"]
    assert [soundfile.info(path).frames for path in files] == [2000] * 6
    reconstruct(
        compose([*common, f"from={tmp_path / 'new'}", "label=0", f"to={tmp_path / 'back'}"], "reconstruct")
    )
    assert len(list((tmp_path / "back").glob("*.wav"))) == 6
    assert next(csv.reader((tmp_path / "back/errors.csv").open())) == ["file", "squared_error"]


def test_an_evaluation_measures_sounds(run, evaluate):
    found = evaluate(run, *only("likelihood", "reconstruction", "generation"))
    measured = found["estimates"]
    assert measured["reconstruction/log_mel_distance"]["unit"] == "dB"
    assert {"generation/precision", "likelihood/nll"} <= set(measured)
    assert {"reconstructions.wav", "generation_samples.wav"} <= set(found["sounds"])
    assert all((run.path / "evaluation" / "quick" / name).is_file() for name in found["sounds"])


@pytest.mark.parametrize("options", [["view=magnitude"], ["view=waveform", "network=mlp"]])
def test_every_view_is_trained(train, options):
    widths = ["model.encoder.widths=[8]", "model.decoder.widths=[8]"] if "network=mlp" in options else []
    small = [] if "network=mlp" in options else ["network.channels=[4,8]"]
    found = train("variant=speech_vae", *options, *widths, *small, base=FEW).read()["metrics"]
    assert ("test/si_sdr" in found) == ("view=waveform" in options)


def test_the_explorer_plays_what_it_shows(run):
    pytest.importorskip("gradio", reason="the page needs the extra [ui]")
    from aelab.cli.explore import explorer_of
    from aelab.cli.explorer.explorer import Choice
    from aelab.cli.explorer.page import page
    from aelab.cli.explorer.parts import shown
    from aelab.cli.explorer.shelf import Shelf

    config = compose(["device=cpu", f"run={run.path}"], "explore")
    shelf = Shelf({"it": run.path}, lambda path: explorer_of(path, config))
    explorer = shelf.first
    choice = Choice(3)
    _, (rate, heard) = shown(explorer.beside(choice, explorer.code(choice)), [None])
    assert (rate, heard.shape) == (8000, (2 * (2000 + 1200),))
    assert heard[:2000].any()
    played = [block for block in page(shelf).blocks.values() if type(block).__name__ == "Audio"]
    assert len(played) == 3


def test_it_is_exported(run, tmp_path):
    pytest.importorskip("safetensors")
    export(compose([f"run={run.path}", f"to={tmp_path / 'to'}", "format=bundle"], "export"))
    model, moved = aelab.load(run.path), aelab.load(tmp_path / "to")
    assert torch.equal(moved.sample(3, y=1, seed=0), model.sample(3, y=1, seed=0))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["view=waveform"], "choose network=mlp"),
        (["data.shape=[1,40,40]"], "leave it out"),
        (["data.kind.view.hop=300"], "half a window"),
        (["values=grey"], "values=plain would work"),
        (["values=standardised"], "data.bounds says"),
        (["data=waves", "data.root=/nowhere"], "must name a folder or an archive of recordings"),
    ],
)
def test_what_does_not_fit_sounds_is_refused(overrides, sentence):
    given = [
        *(o for o in FEW if "waves" not in str(overrides) or not o.startswith("data.source")),
        *overrides,
    ]
    with pytest.raises((AelabError, ConfigurationError), match=sentence) as refusal:
        build(compose([*given[:2], "variant=speech_vae", *given[2:]]))
    assert len(str(refusal.value).splitlines()) == 1


def test_a_codec_of_waves_has_codes_for_every_step(train, tmp_path):
    run = train(
        "variant=waveform_rvq", "network.channels=[4,8]", "network.strides=[4,8]", "latent=4",
        "model.posterior.quantiser.codes=8", "model.posterior.quantiser.depth=2",
        "data.kind.view.seconds=0.128",
        base=FEW,
    )  # fmt: skip
    model, metrics = aelab.load(run.path), run.read()["metrics"]
    assert model.model.posterior.symbols == (1, 32, 2)
    assert metrics["test/kl"] == pytest.approx(32 * 2 * math.log(8), rel=1e-6)  # in nats: the bits of a file
    assert {"test/si_sdr", "test/log_mel_distance"} <= set(metrics)
    wave = 0.1 * torch.randn(1, 1024, generator=torch.Generator().manual_seed(0))
    assert model.reconstruct(wave).shape == (1, 1, 1024)


@pytest.mark.slow
def test_recurrent_networks_are_graphs(train, tmp_path):
    """Each is compared with the model, on a batch of another size, before it is kept."""
    run = train("variant=vae_rnn", "network.width=4", "model.prior.width=4", base=FEW)
    export(compose([f"run={run.path}", f"to={tmp_path / 'to'}", "format=torch_export"], "export"))
    assert {path.name for path in (tmp_path / "to").iterdir()} == {"encoder.pt2", "decoder.pt2"}


def test_a_recurrent_vae_has_a_code_for_every_frame_given_those_before(train):
    run = train("variant=vae_rnn", "condition=label", "network.width=8", "model.prior.width=8", base=FEW)
    model = aelab.load(run.path)
    assert model.model.posterior.layout == (4, 1, 16)
    assert model.sample(3, y=0, seed=0).shape == (3, 1, 16, 16)
    assert run.read()["metrics"]["test/kl"] > 0


def test_a_variational_recurrent_network_is_trained_sampled_and_evaluated(train, evaluate):
    run = train(
        "variant=vrnn", "condition=label", "network.width=8", "model.prior.width=8",
        "model.posterior.width=8", "model.likelihood.width=8", "model.likelihood.told=4", base=FEW,
    )  # fmt: skip
    model, metrics = aelab.load(run.path), run.read()["metrics"]
    assert model.sample(3, y=0, seed=0).shape == (3, 1, 16, 16)
    assert metrics["test/elbo"] == pytest.approx(-metrics["test/distortion"] - metrics["test/kl"])
    assert {"test/log_mel_distance", "test/active_units"} <= set(metrics)
    found = evaluate(run, *only("likelihood"))["estimates"]
    assert found["likelihood/nll"]["value"] < -metrics["test/elbo"] + 1


def test_a_wave_is_written_sample_by_sample(train):
    run = train(
        "variant=wavenet_vae", "network.channels=[4,8]", "network.strides=[4,8]", "latent=2",
        "model.likelihood.width=8", "model.likelihood.network.layers=4", "data.kind.view.seconds=0.032",
        base=FEW,
    )  # fmt: skip
    model, metrics = aelab.load(run.path), run.read()["metrics"]
    samples = model.sample(2, seed=0)
    assert samples.shape == (2, 1, 256)
    assert bool(((samples + 1) / 2 * 65535 - ((samples + 1) / 2 * 65535).round()).abs().max() < 0.02)
    assert metrics["test/distortion"] < 256 * math.log(65536)  # of noise of all levels alike
    assert "test/si_sdr" in metrics
