"""What the page is not served for."""

import re
import socket

import pytest
import torch

from aelab.cli.explore import answered, explorer_of, free_port, main
from aelab.cli.explorer.explorer import Choice, damages
from aelab.cli.explorer.shelf import Shelf
from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError


def test_a_port_that_is_taken_is_refused_and_0_finds_a_free_one():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=rf"port={taken} cannot be served \(.* in use\): give another"
        ):
            free_port("127.0.0.1", taken)
        assert free_port("127.0.0.1", 0) != taken
    with pytest.raises(ConfigurationError, match="port=99999 cannot be served"):
        free_port("127.0.0.1", 99999)


def test_runs_of_different_data_do_not_stand_side_by_side(train, tmp_path):
    one = train()
    other = train("data.name=others")
    with pytest.raises(
        ConfigurationError, match=r"share their data, and these are of digits \[1, 8, 8\] and others"
    ):
        main(compose([f"runs=[{one.path},{other.path}]", "device=cpu"], "explore"))


def test_the_jobs_answer_as_the_commands_do(train_once):
    run = train_once("values=threshold", "posterior=diagonal_gaussian")
    explorer = explorer_of(run.path, compose([f"run={run.path}", "device=cpu"], "explore"))
    known = damages(explorer.trained.shape)
    assert {"additive", "blur", "missing"} <= known.keys()
    assert "mask" not in known  # which is of a file
    picture, said = explorer.restored(Choice(1), known["missing"], 0)
    assert picture.width > 4 * picture.height / 2
    assert re.fullmatch(r"Squared error of a value: [\d.]+ damaged, [\d.]+ restored\.", said)
    _, said = explorer.detected(Choice(1))
    score = explorer.trained.anomaly(explorer.chosen(Choice(1))).item()
    share = (1 + (explorer.normal >= score).sum().item()) / (1 + len(explorer.normal))
    assert f"{score:.4g}. {share:.1%} of validation's images" in said
    said = explorer.compressed(Choice(3), 5)
    x = explorer.trained.seen(explorer.subject.data.observations("test").at(torch.arange(3, 8)).x)
    assert said.startswith(f"5 images: {len(explorer.trained.compress(x)):,} bytes by the model")


def test_a_run_is_opened_when_it_is_chosen(tmp_path):
    opened = []
    shelf = Shelf({"a": tmp_path / "1", "b": tmp_path / "2"}, lambda path: opened.append(path.name) or path)
    assert shelf["b"] is shelf["b"]
    assert (shelf.names, opened) == (["a", "b"], ["2"])


def test_only_its_own_names_are_answered():
    assert "127.0.0.1" in answered("localhost")
    assert "*" not in answered("127.0.0.1")
    assert answered("0.0.0.0") == ["*"]
