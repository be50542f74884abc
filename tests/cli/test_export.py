"""An exported model computes what the original does, or is refused with nothing left behind."""

import json
import re

import pytest
import torch
import yaml

import aelab
from aelab.cli.export import main, save_weights
from aelab.config.compose import compose
from aelab.config.construct import construct_recorded
from aelab.core.errors import AelabError, RunError


@pytest.fixture(scope="module")
def run(train_once):
    return train_once()


def test_a_bundle_is_a_run_without_its_places_and_gives_the_same_bits(run, tmp_path):
    pytest.importorskip("safetensors")
    to, original = export(run, tmp_path / "to", "format=bundle", "license=mit"), aelab.load(run.path)
    moved = to.rename(tmp_path / "elsewhere")
    model = aelab.load(moved)
    assert torch.equal(model.encode(X), original.encode(X))
    assert torch.equal(model.sample(3, seed=0), original.sample(3, seed=0))
    texts = {
        path.name: path.read_text() for path in moved.iterdir() if path.suffix not in (".png", ".safetensors")
    }
    assert not [name for name, text in texts.items() if str(run.path.parents[1]) in text]
    _, front, card = texts["README.md"].split("---\n", 2)
    (index,) = yaml.safe_load(front)["model-index"]
    found = {each["name"]: each["value"] for each in index["results"][0]["metrics"]}
    assert found == run.read()["metrics"]
    assert yaml.safe_load(front)["license"] == "mit"
    assert all((moved / name).is_file() for name in re.findall(r"!\[.*\]\((.*)\)", card))
    weights = bytearray((moved / "model.safetensors").read_bytes())
    (moved / "model.safetensors").write_bytes(weights[:-9])
    with pytest.raises(RunError, match="is damaged"):
        aelab.load(moved)
    save_weights(aelab.load(run.path), moved / "model.safetensors")
    config = (moved / "config.yaml").read_text()
    (moved / "config.yaml").write_text(config.replace("seed: 0", "seed: 1"))
    with pytest.raises(RunError, match="belongs to another configuration"):
        aelab.load(moved)


@pytest.fixture(scope="module")
def labelled(train_once):
    return train_once("variant=cvae")


def export(folder, to, *overrides):
    main(compose([f"run={folder.path}", f"to={to}", *overrides], "export"))
    return to


X = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_graphs_of_torch_take_batches_of_any_size(run, tmp_path):
    to, model = export(run, tmp_path / "to", "format=torch_export"), aelab.load(run.path)
    codes = torch.export.load(to / "encoder.pt2").module()(X)
    torch.testing.assert_close(codes, model.encode(X), atol=1e-5, rtol=0)
    images = torch.export.load(to / "decoder.pt2").module()(codes)
    torch.testing.assert_close(images, model.reconstruct(X), atol=1e-5, rtol=0)


def test_onnx_takes_batches_of_any_size_and_labels(labelled, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    to, model, y = export(labelled, tmp_path / "to"), aelab.load(labelled.path), torch.arange(7)
    session = runtime.InferenceSession(to / "encoder.onnx")
    (found,) = session.run(["latent_mean"], {"x": X.numpy(), "y": y.numpy()})
    codes = model.encode(X, y=y)
    torch.testing.assert_close(torch.from_numpy(found), codes, atol=1e-5, rtol=0)
    session = runtime.InferenceSession(to / "decoder.onnx")
    (found,) = session.run(["reconstruction"], {"z": codes.numpy(), "y": y.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), model.decode(codes, y=y), atol=1e-5, rtol=0)


def test_onnx_files_name_their_inputs_and_outputs(run, tmp_path):
    onnx = pytest.importorskip("onnx")
    to = export(run, tmp_path / "to")
    graphs = [onnx.load(to / f"{part}.onnx").graph for part in ("encoder", "decoder")]
    named = [([each.name for each in graph.input], [each.name for each in graph.output]) for graph in graphs]
    assert named == [(["x"], ["latent_mean"]), (["z"], ["reconstruction"])]


def test_weights_carry_what_makes_a_model_of_them(run, tmp_path):
    safetensors = pytest.importorskip("safetensors")
    path = export(run, tmp_path / "to", "format=safetensors") / "model.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        metadata, weights = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    original = aelab.load(run.path)
    assert metadata["fingerprint"] == original.run.fingerprint
    model = construct_recorded(json.loads(metadata["configuration"])["model"], "model")
    model.load_state_dict(weights)
    assert all(torch.equal(w, weights[name]) for name, w in original.model.state_dict().items())


@pytest.mark.parametrize(
    ("variant", "overrides", "sentence"),
    [
        ("hvae", ["format=torch_export"], "follows a gradient"),
        ("hyperspherical_vae", ["format=torch_export"], "encoder of 'hyperspherical_vae_digits' cannot be"),
        ("vae condition=image", ["format=torch_export"], "decoder is shown a part of the observation"),
        ("vae", ["format=pickle"], "choose onnx"),
        ("vae", ["part=prior"], "choose all"),
        ("vae", ["format=safetensors", "part=encoder"], "part=all"),
        ("vae", ["license=mit"], "format=bundle"),
    ],
)
def test_what_cannot_be_exported_leaves_nothing(train, tmp_path, variant, overrides, sentence):
    run = train(*f"variant={variant}".split())
    with pytest.raises(AelabError, match=sentence) as refusal:
        export(run, tmp_path / "out" / "to", *overrides)
    assert len(str(refusal.value).splitlines()) == 1
    assert not list((tmp_path / "out").glob("*"))


def test_a_part_is_exported_alone_and_takes_what_the_model_is_told(train, tmp_path):
    hamiltonian = train("variant=hvae")
    alone = ["format=torch_export", "part=decoder"]
    to = export(hamiltonian, tmp_path / "to", *alone)
    assert [path.name for path in to.iterdir()] == ["decoder.pt2"]
    with pytest.raises(AelabError, match="overwrite=true"):
        export(hamiltonian, to, *alone)
    told = ["data=dsprites", "data.source.count=600", "data.validation=50", "condition=attributes"]
    attributed = train(*told)
    model = aelab.load(attributed.path)
    z, given = torch.randn(4, model.latent), torch.rand(4, model.model.conditioner.features)
    export(attributed, to, *alone, "overwrite=true")
    images = torch.export.load(to / "decoder.pt2").module()(z, given)
    torch.testing.assert_close(images, model.decode(z, attributes=given), atol=1e-5, rtol=0)


def test_weights_that_come_back_otherwise_are_not_kept(run, tmp_path, monkeypatch):
    safetensors = pytest.importorskip("safetensors.torch")
    load = safetensors.load_file
    monkeypatch.setattr(safetensors, "load_file", lambda path: {k: v + 1e-3 for k, v in load(path).items()})
    with pytest.raises(AelabError, match="is not kept"):
        export(run, tmp_path / "to", "format=safetensors")
    assert not list(tmp_path.glob("*to*"))


def test_what_comes_back_otherwise_is_not_kept(run, tmp_path, monkeypatch):
    load = torch.export.load

    def altered(path):
        program = load(path)
        next(iter(program.state_dict.values())).add_(1e-3)
        return program

    monkeypatch.setattr(torch.export, "load", altered)
    with pytest.raises(AelabError, match="is not kept"):
        export(run, tmp_path / "to", "format=torch_export", "part=encoder")
    assert not list(tmp_path.glob("*to*"))
