"""Why options of a config are invalid, in one line that names the option."""

import contextlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from panorax.core.ranges import ConfigError

NUMBERS = {
    "invalid literal for int() with base 10:": "a whole number",
    "could not convert string to float:": "a number",
}
"""errors of Python for texts that are no numbers"""


def of_parser(box: str, options: Sequence[str]) -> str:
    """The message inside the box that tyro draws around an error.

    It ends before the second line that is drawn, in Unicode or, on an ASCII terminal, with dashes.
    options: names such as `--run.steps`.
    """
    _, *lines = [line.strip("│ ") for line in box.splitlines()]
    if lines and not lines[0].strip("-"):
        del lines[0]
    message = itertools.takewhile(lambda line: line.strip("─╰╯-"), lines)
    text = " ".join(message)
    if text.startswith("Unrecognized options: "):
        return f"unknown argument {text.split()[2].rstrip(',')}; an option is --NAME VALUE"
    if missing := re.match(r"Missing value for argument '(--\S+)'", text):
        return f"{missing[1]} needs a value"
    if parsed := re.fullmatch(r"Error parsing (\S+): (.*)", text):
        return _with_option(*parsed.groups(), options)
    return text or "invalid options"


def _with_option(where: str, reason: str, options: Sequence[str]) -> str:
    """The reason why an option, or the config at the path `where`, is invalid, with the option.

    Python's errors for numbers become the accepted values.
    """
    if where in options:
        for error, accepted in NUMBERS.items():
            reason = reason.replace(error, f"expected {accepted}, got")
        return f"{where}: {reason}"
    name, _, rest = reason.partition(" ")
    names = (f"--{where}.{name}", f"--{name}")
    return next((f"{option} {rest}" for option in names if option in options), reason)


@contextlib.contextmanager
def naming(options: Mapping[str, object]) -> Iterator[None]:
    """Adds the option to a ConfigError of the block that has no more than the field.

    options: values by name, such as {"optim.warmup": 4}.
    `warmup must be at most 3, got 4` becomes `--optim.warmup must be at most 3, got 4`.
    """
    try:
        yield
    except ConfigError as error:
        found = re.search(r"(?<![\w.-])([\w-]+) must be .*, got (\S+)$", str(error))
        field, got = found.groups() if found else ("", "")
        named = [
            name
            for name, value in options.items()
            if name.rpartition(".")[2] == field and str(value) == got
        ]
        if len(named) != 1:
            raise
        before, after = str(error)[: found.start(1)], str(error)[found.end(1) :]
        raise ConfigError(f"{before}--{named[0]}{after}") from error
