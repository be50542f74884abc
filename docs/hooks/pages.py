"""Pages of the reference, in Markdown: one for each configuration group, one for each room of the package."""

import string
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

from choices import Choice, Option

Describe = Callable[[str], "tuple[str, str] | None"]
_ENTITIES = {ord(sign): f"&#{ord(sign)};" for sign in string.punctuation}
COPIED = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}


def plain(text: str) -> str:
    """Text that Markdown and HTML show as it is, whatever signs it holds."""
    return text.translate(_ENTITIES).replace("\n", " ")


def code(text: str) -> str:
    """The same, as code."""
    return f"<code>{plain(text)}</code>" if text else ""


def prose(text: str) -> str:
    """Text that shows what stands between backticks as code, and all else as it is."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick of its own
        return plain(text)
    return "".join(code(part) if i % 2 else plain(part) for i, part in enumerate(parts))


def page_of(group: str) -> str:
    """The address of a group's page among those of the reference."""
    return f"{group.replace('/', '-')}.md"


def shown(group: str) -> str:
    """The group on whose page a folder's files stand: what choices share stands with them."""
    return group.removesuffix("/base")


def group_page(group: str, members: Iterable[Choice], known: Mapping[str, Choice], describe: Describe) -> str:
    """The page of a group: every choice, in the order of the alphabet, then what choices share."""
    ordered = sorted(members, key=lambda choice: (choice.group != group, choice.title))
    sections = [section(choice, known, describe) for choice in ordered]
    names = " · ".join(f"[{code(c.title)}](#{anchor(c)})" for c in ordered if c.group == group)
    return "\n\n".join([f"# {code(group)}", f"Choose by {code(f'{group}=NAME')}: {names}", *sections]) + "\n"


def root_page(choice: Choice, known: Mapping[str, Choice], describe: Describe) -> str:
    """The page of a command's own options, and the choices that it starts from."""
    return f"# {code(f'aelab {choice.name}')}\n\n{_body(choice, known, describe)}\n"


def section(choice: Choice, known: Mapping[str, Choice], describe: Describe) -> str:
    """A choice: what it is, what it builds on, its parts and its options."""
    shared = " (shared by choices)" if choice.group.endswith("/base") else ""
    title = f"## {code(choice.title)}{shared} {{ #{anchor(choice)} }}"
    return f"{title}\n\n{_body(choice, known, describe)}"


def anchor(choice: Choice) -> str:
    """Where on its page a choice stands."""
    return f"base-{choice.title}" if choice.group.endswith("/base") else choice.title


def _body(choice: Choice, known: Mapping[str, Choice], describe: Describe) -> str:
    parts = [
        prose(choice.about),
        _base(choice, known),
        *(_target(key, path, describe) for key, path in choice.targets),
        _options(choice.options),
    ]
    return "\n\n".join(part for part in parts if part)


def _base(choice: Choice, known: Mapping[str, Choice]) -> str:
    """What the choice starts from and what it chooses in other groups, with links."""
    links = [_link(choice, group, chosen, known) for group, chosen in choice.defaults]
    return f"Starts from {', '.join(links)}." if links else ""


def _link(choice: Choice, group: str, chosen: str, known: Mapping[str, Choice]) -> str:
    label = code(f"{group}={chosen}" if group else chosen)
    target = known.get(f"{group or choice.group}/{chosen}")
    return f"[{label}]({page_of(shown(target.group))}#{anchor(target)})" if target else label


def _target(key: str, path: str, describe: Describe) -> str:
    """A part: its class, linked to the Python reference, and what the class says of itself."""
    found = describe(path)
    where = f" in {code(key)}" if key else ""
    if found is None:
        return f"{code(path)}{where}"
    canonical, summary = found
    return f"[{code(path)}][{canonical}]{where}: {prose(summary)}"


def _options(options: list[Option]) -> str:
    if not options:
        return ""
    rows = [f"| {code(o.key)} | {code(o.value)} | {prose(o.comment)} |" for o in options]
    return "\n".join(["| option | default | |", "|---|---|---|", *rows])


def room_page(room: str, modules: Mapping[str, str]) -> str:
    """The page of a room: its modules, whose documentation mkdocstrings puts in.

    modules: by dotted path, the first paragraph of each one's docstring. A package passes on what its modules
    define: its own members would be there twice.
    """
    blocks = [f"# {code(f'aelab.{room}')}"]
    for path in modules:
        single = len(modules) == 1
        package = any(other.startswith(f"{path}.") for other in modules)
        options = (
            f"    options: {{heading_level: {2 if single else 3}, members: {'false' if package else 'null'}}}"
        )
        title = [] if single else [f"## {code(path)}"]
        blocks += [*title, f"::: {path}\n{options}"]
    return "\n\n".join(blocks) + "\n"


def index_page(groups: Mapping[str, list[Choice]], rooms: Mapping[str, str]) -> str:
    """The front page of the reference.

    groups: the choices on each group's page; those of "" are the commands.
    rooms: by name, what each says of itself.
    """
    commands = [f"[{code(f'aelab {c.name}')}]({page_of(c.name)})" for c in groups[""]]
    choosing = [_row(group, members) for group, members in groups.items() if group]
    python = [
        f"| [{code(f'aelab.{room}')}](python/{room}.md) | {prose(text)} |" for room, text in rooms.items()
    ]
    blocks = [
        "# Reference",
        "Read from the configuration files and the docstrings when this site is built.",
        f"The options of a command itself: {', '.join(commands)}; and of every choice:",
        "\n".join(["| group | choices |", "|---|---|", *choosing]),
        "## From Python",
        "\n".join(["| module | |", "|---|---|", *python]),
    ]
    return "\n\n".join(blocks) + "\n"


def _row(group: str, members: Iterable[Choice]) -> str:
    names = " ".join(code(choice.title) for choice in members if choice.group == group)
    return f"| [{code(group)}]({page_of(group)}) | {names} |"


def outside(link: str, known: Mapping[str, Choice]) -> str | None:
    """Where on the site a file of the repository is shown, None where it is not.

    link: the file's path from the repository's root, as `conf/variant` or `CONTRIBUTING.md`.
    """
    path = PurePosixPath(link)
    if link.startswith("docs/"):
        return link.removeprefix("docs/")
    for address, name in COPIED.items():
        if link == name:
            return address
    if path.parts[:1] != ("conf",):
        return None
    name = path.relative_to("conf").with_suffix("").as_posix()
    if name in known and known[name].group:
        return f"reference/{page_of(shown(known[name].group))}#{anchor(known[name])}"
    is_group = any(choice.group == name for choice in known.values())
    return f"reference/{page_of(name)}" if is_group or name in known else None
