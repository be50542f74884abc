"""What differs between two environments, and what of it can change bits."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from aelab.core.environment import Environment, differences
from aelab.core.errors import RunError
from aelab.core.text import printable
from aelab.reproduction.environment import check_machine
from aelab.runs.provenance import hardware, packages

HERE = Environment(packages(), hardware(), 1, {"train": "md5:1"}, "highest")


def changed(field, **values):
    return replace(HERE, **{field: {**getattr(HERE, field), **values}})


def test_nothing_differs_from_itself():
    assert differences(HERE, HERE) == []


@pytest.mark.parametrize(
    ("recorded", "what", "matters"),
    [
        (changed("packages", torch="1.0"), "torch", True),
        (changed("packages", **{"NVIDIA_cudnn.cu12": "9"}), "nvidia-cudnn-cu12", True),
        (changed("packages", rich="1.0"), "rich", False),
        (changed("packages", **{"not-installed": "1"}), "not-installed", False),
        (changed("hardware", cpu="another"), "cpu", True),
        (changed("hardware", gpus=["NVIDIA H100"]), "gpus", True),
        (changed("hardware", memory=1), "memory", False),
        (changed("hardware", python="3.1.0"), "python", True),
        (changed("hardware", platform="Darwin-1-arm64"), "platform", True),
        (changed("checksums", train="md5:2"), "data: train", True),
        (replace(HERE, threads=7), "threads", True),
        (replace(HERE, matmul="medium"), "float32_matmul_precision", True),
    ],
)
def test_each_thing_that_differs_is_named_and_weighed(recorded, what, matters):
    (found,) = differences(recorded, HERE)
    assert (found.what, found.matters) == (what, matters)


def test_names_of_packages_are_compared_as_indices_do():
    respelled = {name.replace("-", "_").upper(): version for name, version in HERE.packages.items()}
    assert differences(replace(HERE, packages=respelled), HERE) == []


def test_the_code_is_told_by_its_commit_alone():
    assert differences(changed("packages", aelab="0.0.0"), HERE) == []


def test_what_is_not_known_is_no_difference():
    assert differences(HERE, replace(HERE, checksums=None, matmul=None)) == []


def test_a_kernel_is_no_other_machine():
    first, second = (
        changed("hardware", platform=f"Linux-{version}-x86_64-with-glibc2.36") for version in ("5.1", "6.2")
    )
    (found,) = differences(first, second)
    assert not found.matters


@given(st.text())
def test_text_of_a_record_is_one_harmless_line(text):
    assert printable(text).isprintable()


@pytest.mark.skipif(torch.accelerator.is_available(), reason="this machine has an accelerator")
@pytest.mark.parametrize(
    ("trainer", "gpus", "sentence"),
    [
        ({"accelerator": "gpu", "devices": 1, "num_nodes": 1}, ["NVIDIA H100"], "trained on NVIDIA H100"),
        ({"accelerator": "auto", "devices": "auto", "num_nodes": 1}, ["NVIDIA H100"], "no accelerator here"),
        ({"accelerator": "cpu", "devices": 1, "num_nodes": 2}, [], "several machines"),
    ],
)
def test_hardware_that_is_not_there_is_named(trainer, gpus, sentence):
    with pytest.raises(RunError, match=sentence):
        check_machine(OmegaConf.create({"trainer": trainer}), {"gpus": gpus})


def test_processes_on_a_cpu_need_no_accelerator():
    settings = OmegaConf.create({"trainer": {"accelerator": "cpu", "devices": 2, "num_nodes": 1}})
    check_machine(settings, {"gpus": ["NVIDIA H100"]})
