"""Docstrings give an argument a line; Markdown would run these lines together."""

import re
from typing import Any

import griffe


class ArgumentLines(griffe.Extension):
    """Keep the line breaks in front of `name: ...`."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for every module, class, function and attribute once it has been read."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"\n(?=[a-z_, ]+: )", "  \n", obj.docstring.value)
