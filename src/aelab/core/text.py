"""Text for messages, files and terminals, harmless also where it quotes what may come from anywhere."""

import re
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

WIDTH = 120  # columns of what is no terminal

SECRET = re.compile(
    r"(?i)(api[_-]?key|passw(or)?d|secret|credential|(?<![a-z])(token|pat|key|auth)(?![a-z]))"
)
# The forms of services' keys, wherever they stand, and the queries of signed addresses.
_SERVICE = r"\b(?:gh[opsu]_|github_pat_|hf_|sk-|xox[bp]-|wandb_v\d_|AKIA)[\w-]{8,}"
_KEY = re.compile(rf"{_SERVICE}|(?<=Bearer )\S+|(?<=://)\S+\?\S+")
# https://user:password@host, and key=value or --key value of a command line or an error.
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@'\"]+@")
_ASSIGNED = re.compile(rf"(?P<key>{SECRET.pattern[4:]}[\w-]*['\"]?\s*[=:]\s*)['\"]?[^\s'\",;}}\]]+", re.I)
HIDDEN = "[hidden]"
SECRET_SETTING = re.compile(
    r"(?im)^\s*(export\s+)?[\"']?[\w.-]*(api[_-]?key|passw(or)?d|secret|token)[\"']?\s*[:=]\s*[\"']?"
    r"(?!null\b|none\b|\$)[^\s\"'#,{}\[\]()]{8,}"
)
"""A line of a file of settings that gives a secret."""
# A user in an address over HTTP, which is often a token, or a password in any; and secrets in its query.
_SECRET_ADDRESS = re.compile(
    r"(?i)https?://[^/\s@]+@|://[^/\s:@]*:[^/\s@]+@"
    r"|://\S+[?&;]([\w.-]*(api[_-]?key|token|secret|passw(or)?d|signature|credential)[\w.-]*|key|auth|sig|pat)=[^&\s]"
)


def has_secret_address(text: str) -> bool:
    """Whether a text holds an address with a password, or with a token as its user or in its query."""
    return bool(_SECRET_ADDRESS.search(text))


def has_key(text: str) -> bool:
    """Whether a text holds a service's key, by its form, or a private key."""
    return "PRIVATE KEY-----" in text or re.search(_SERVICE, text) is not None


def printable(text: object) -> str:
    """The text as one harmless line: what a terminal would obey, and bytes that are no text, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def sentence(error: object) -> str:
    """The message of an error on one line, its line breaks and indents replaced by single spaces."""
    return " ".join(str(error).split())


def first_line(error: object) -> str:
    """The first line of an error's message, where the others would repeat a call or a traceback."""
    return str(error).strip().partition("\n")[0]


def sizes(shape: Iterable[int]) -> str:
    """The sizes of a shape with "x" between them: 3x32x32."""
    return "x".join(map(str, shape))


def without_secrets(value: Any) -> Any:
    """The value, of plain containers, with all that looks like a password or a key hidden."""
    if isinstance(value, dict):
        return {
            key: HIDDEN
            if item and isinstance(item, str) and SECRET.search(str(key))
            else without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if isinstance(value, str):
        value = _KEY.sub(HIDDEN, value)
        return _ASSIGNED.sub(rf"\g<key>{HIDDEN}", _IN_ADDRESS.sub(f"{HIDDEN}@", value))
    return value


def columns() -> int:
    """How wide a text to be read is: the terminal, but no wider than lines are read well."""
    return min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH)


def hung(line: str, width: int) -> str:
    """A line, cut at words to lines of a width, of which the later ones leave the label's column free."""
    label = re.match(r"(\S+ {2,}|)", line)[0]  # type: ignore[index]
    return folded(line[len(label) :], width, label, " " * len(label)) if len(line) > width else line


def folded(text: str, width: int, first: str = "", later: str = "") -> str:
    """A text as lines of a width, cut at words alone."""
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=later,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def listed(names: Iterable[object], most: int = 3) -> str:
    """The names as `a, b, c and 4 more`; with semicolons where a name holds a comma."""
    shown = [printable(name) for name in names]
    rest = len(shown) - most
    between = "; " if any("," in name for name in shown[:most]) else ", "
    return between.join(shown[:most]) + (f" and {rest} more" if rest > 0 else "")


def shortest(keys: Sequence[str], among: Iterable[str] = ()) -> dict[str, str]:
    """Each dotted key with as few of its last parts as are unambiguous: `optimizer.lr` -> `lr`.

    among: further keys to be distinct from, as all of a configuration: `data.name` stays beside a `name`.
    """
    parts = {key: _parts(key) for key in keys}
    all_parts = set(parts.values()) | {_parts(key) for key in among}
    alike = Counter(parts.values())  # x and x._target_, of which one is a choice and the other none
    found = {}
    for key, names in parts.items():
        ends = (names[-n:] for n in range(1, len(names) + 1))
        end = next((e for e in ends if sum(p[-len(e) :] == e for p in all_parts) == 1), names)
        found[key] = ".".join(end) if alike[names] == 1 else key
    return found


def _parts(key: str) -> tuple[str, ...]:
    return tuple(part for part in key.split(".") if part != "_target_") or (key,)
