"""What a user may have meant by a name that there is not."""

import difflib
import re
from collections.abc import Sequence


def nearest(key: str, valid: Sequence[str]) -> str:
    """`did you mean ...`: alike as a whole, or in the last part, wherever that stands; else what there is."""
    last = key.rsplit(".", 1)[-1]
    others = [k for k in valid if not key.startswith(f"{k}.")]
    alike = difflib.get_close_matches(key, others, 3, 0.7)
    alike += [k for k in others if k.rsplit(".", 1)[-1] == last and k not in alike]
    ends = {k.rsplit(".", 1)[-1]: k for k in reversed(others)}
    alike += [ends[e] for e in difflib.get_close_matches(last, list(ends), 3, 0.7) if ends[e] not in alike]
    if alike:
        return f"did you mean {' or '.join(list(dict.fromkeys(alike))[:3])}?"
    return _existing(key, valid)


def _existing(key: str, valid: Sequence[str]) -> str:
    """The options beside a key that there is not: those of the innermost node around it that there is."""
    around = [key[: dot.start()] for dot in re.finditer(r"\.", key)]
    node = next((name for name in reversed(around) if name in valid), "")
    depth = len(node) + 1 if node else 0
    beside = dict.fromkeys(k[depth:] for k in valid if k.rpartition(".")[0] == node)
    if node and not beside:
        return f"{node} is one value: give {node}=..."
    return f"{node + ' has' if node else 'there are'} {', '.join(beside)}"
