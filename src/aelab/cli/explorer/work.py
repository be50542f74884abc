"""The tabs of what a trained model is for: restoration, detection and compression."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from aelab.cli.explorer.explorer import damages
from aelab.cli.explorer.parts import choice, chosen_of, told
from aelab.cli.explorer.shelf import Shelf

MOST = 200  # observations that are compressed at once


def work(shelf: Shelf, names: list[Any]) -> None:
    """A tab for each job, whose button starts it in every column."""
    known = damages(shelf.first.trained.shape)
    with gr.Tab("Restore"):
        gr.Markdown("### Damage an observation, and restore it")
        chosen = choice(shelf)
        with gr.Row():
            damage = gr.Dropdown(list(known), value=next(iter(known), None), label="damage")
            seed = gr.Number(0, label="seed", precision=0, minimum=0)
        _job(shelf, names, "Restore", [*chosen, damage, seed], lambda explorer, *values: explorer.restored(
            chosen_of(values[:3]), known[values[3]], int(values[4] or 0)
        ))  # fmt: skip
    with gr.Tab("Detect"):
        gr.Markdown("### How unlike the training data an observation is, and where")
        chosen = choice(shelf)
        _job(shelf, names, "Score", chosen, lambda explorer, *values: explorer.detected(chosen_of(values)))
    with gr.Tab("Compress"):
        gr.Markdown("### Test observations in one file, without loss")
        with gr.Row():
            start = gr.Slider(0, shelf.first.examples - 1, 0, step=1, label="from", buttons=[])
            count = gr.Slider(1, MOST, 50, step=1, label="how many", buttons=[])
        _job(shelf, names, "Compress", [start, count], lambda explorer, start, count: (
            None, explorer.compressed(chosen_of((start, None, None)), int(count))
        ))  # fmt: skip


def _job(shelf: Shelf, names: list[Any], verb: str, inputs: list[Any], call: Callable[..., Any]) -> None:
    """A button, and below it in the column of each run a picture and a sentence."""
    start = gr.Button(verb, variant="primary")

    def done(name: str, *values: Any) -> Any:
        picture, sentence = told(call, shelf[name], *values)
        return gr.Image(picture, visible=picture is not None), sentence

    with gr.Row():
        for name in names:
            with gr.Column():
                picture = gr.Image(
                    show_label=False, interactive=False, buttons=[], visible=False, elem_classes="shown"
                )
                sentence = gr.Markdown()
            start.click(done, [name, *inputs], [picture, sentence])
