"""Completion of command lines in bash, zsh and fish: commands, groups and their choices, options."""

from collections.abc import Iterator, Sequence

from aelab.cli.flags import flags
from aelab.cli.overview import commands
from aelab.config.folders import choices, chosen_groups, groups, searched_first
from aelab.core.errors import ConfigurationError

BASH = """\
_aelab() {
    local line=${COMP_LINE:0:COMP_POINT}
    local word=${line##* }
    mapfile -t COMPREPLY < <("$1" --complete "$line" 2> /dev/null)
    # Readline puts in what stands behind the last sign that ends a word.
    if [[ $word == *=* && $COMP_WORDBREAKS == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*=}"}"}")
    fi
}
complete -o nospace -o default -F _aelab aelab
"""
ZSH = """\
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -u; }
_aelab() {
    local -a found=("${(@f)$("$words[1]" --complete "$LBUFFER" 2> /dev/null)}")
    compadd -Q -S '' -- "${(@)found:#}" || _files
}
compdef _aelab aelab
"""
FISH = """\
complete -c aelab -a '(aelab --complete (commandline -cp) 2> /dev/null | string trim -r)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def script(shell: str = "bash") -> str:
    """What a shell evaluates once, as `eval "$(aelab --completion bash)"` in ~/.bashrc."""
    if shell not in SCRIPTS:
        raise ConfigurationError(f"--completion {shell}: there is one for {', '.join(SCRIPTS)}")
    return SCRIPTS[shell]


def candidates(line: str) -> str:
    """What can stand in the place of the last word of a command line up to the cursor, one a line."""
    *words, word = line.split(" ")
    given = [other for other in words[1:] if other]
    found = _of_command(given[0], given[1:], word) if given else [f"{name} " for name in commands()]
    return "".join(f"{candidate}\n" for candidate in found if candidate.startswith(word))


def _of_command(command: str, given: Sequence[str], word: str) -> list[str]:
    name = "train" if command == "sweep" else command
    own, overrides = flags(name, given)
    with searched_first(own.config_dir):
        key, equals, _ = word.partition("=")
        if not equals:
            return list(_keys(name, [o for o in overrides if "=" in o], word))
        return [f"{key}={choice} " for choice in choices(key)] if key in groups() else []


def _keys(name: str, overrides: Sequence[str], word: str) -> Iterator[str]:
    """Groups and options, of which nodes are completed as far as their dot."""
    from aelab.config.mistakes import valid_keys

    chosen = chosen_groups(name)
    known = dict.fromkeys(valid_keys(overrides, name))
    nodes = {key.rpartition(".")[0] for key in known}
    for key in known:
        if key.count(".") == word.count("."):
            yield from [f"{key}="] if key in chosen or key not in nodes | groups() else []
            yield from [f"{key}."] if key in nodes else []
