"""What the tabs of the page share: the choice of an observation, and how calls and their errors are shown."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from aelab.cli.explorer.explorer import Choice
from aelab.cli.explorer.shelf import Shelf
from aelab.core.errors import AelabError
from aelab.figures.wav import frames_of, sound_of

QUIET: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}


def choice(shelf: Shelf, name: str = "", default: int = 0) -> list[Any]:
    """What a `Choice` is made of: the place in the test split, an upload, a label."""
    first, said = shelf.first, f"{name}: " * bool(name)
    last = first.examples - 1
    with gr.Column():
        with gr.Row(equal_height=True):
            place = gr.Slider(
                0, last, min(default, last), step=1, label=f"{said}in the test split", buttons=[], scale=4
            )
            another = gr.Button("Random", size="sm", scale=0, min_width=90)
        with gr.Accordion(f"{said}or a file of yours", open=False):
            upload = gr.File(show_label=False, height=120, file_types=sorted(first.trained.kind.suffixes))
        label: Any = gr.State(None)
        if first.subject.label_conditional:
            labels = [
                ("its own", -1),
                *((n, label) for label, n in enumerate(first.subject.data.class_names)),
            ]
            label = gr.Dropdown(labels, value=-1, label=f"{said}label that the model is told")
    another.click(lambda: random.randint(0, last), None, place, **QUIET)
    return [place, upload, label]


def chosen_of(values: Sequence[Any]) -> Choice:
    """The choice that the page's parts make."""
    place, upload, label = values
    return Choice(int(place or 0), upload, None if label is None or label < 0 else int(label))


def changes(blocks: gr.Blocks, inputs: Sequence[Any]) -> list[Any]:
    """The events after which something is drawn anew: the page's loading, and every change of an input."""
    return [blocks.load, *(part.change for part in inputs if not isinstance(part, gr.State))]


def player(shelf: Shelf) -> list[Any]:
    """What plays the sound of a picture, where observations have sounds: none or one."""
    if not shelf.first.trained.kind.audible:
        return []
    return [gr.Audio(show_label=False, interactive=False, buttons=[], elem_classes="heard")]


def shown(picture: Image.Image, players: Sequence[Any]) -> list[Any]:
    """A picture, and its sound for each of the players."""
    content = sound_of(picture)
    if content is None:
        return [picture, *(None for _ in players)]
    frames, rate = frames_of(content)
    return [picture, *((rate, np.frombuffer(frames, "<i2")) for _ in players)]


def told(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a user can mend is said on the page, in its own words."""
    try:
        return call(*arguments)
    except AelabError as error:
        raise gr.Error(str(error), print_exception=False) from error
