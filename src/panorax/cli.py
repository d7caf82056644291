"""The command line: parses, dispatches to `panorax.commands`, and reports errors in one line."""

import argparse
import errno
import os
import sys

import panorax
from panorax.commands import (
    bench,
    chat,
    check,
    experiment,
    export,
    generate,
    plan,
    play,
    process,
    records,
    run,
    show,
)
from panorax.commands import list as list_
from panorax.core import files
from panorax.core.errors import Interrupted, UserError
from panorax.core.names import nearest, nearest_option

COMMANDS = {
    "list": list_,
    "show": show,
    "run": run,
    "generate": generate,
    "chat": chat,
    "play": play,
    "export": export,
    "plan": plan,
    "bench": bench,
    "check": check,
    "records": records,
}
TAKE_OPTIONS_OF_A_CONFIG = (run, plan)
WITHOUT_JAX = (list_, show)
STARTS_COMPETITORS = (bench,)  # with the number of threads that they choose


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    0 means success, 1 a failed check, 2 wrong input, and 128 + n a stop by signal n (129 SIGHUP,
    130 SIGINT, 143 SIGTERM). Training saves everything before it stops.
    """
    parser = make_parser()
    typed = [_dashed(arg) for arg in (sys.argv[1:] if argv is None else argv)]
    args, args.overrides = parser.parse_known_args(typed)
    args.speaks = True
    if argv is None:
        process.without_display()
        if args.command not in STARTS_COMPETITORS:
            process.one_thread()
    if args.overrides and args.command not in TAKE_OPTIONS_OF_A_CONFIG:
        unknown = args.overrides[0].partition("=")[0]
        hint = nearest_option(unknown, experiment.flags(args.parser))
        args.parser.error(f"unknown argument {unknown}{hint}")
    if args.command in TAKE_OPTIONS_OF_A_CONFIG and _is_value(args.system, args.overrides, typed):
        args.parser.error(f"CONFIG comes before its options, got {' '.join(typed[1:])!r}")
    try:
        if argv is None and args.command not in WITHOUT_JAX:
            process.check_xla_flags()
        return args.command.main(args)
    except UserError as error:
        return _stopped(args, 2, str(error))
    except ModuleNotFoundError as error:
        return _stopped(
            args, 2, f"the package {error.name!r} is missing; README.md lists the extras with it"
        )
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = str(error).strip().partition("\n")[0][:200]
        return _stopped(args, 2, f"not enough memory: {reason}; try a smaller size")
    except Interrupted as stop:
        return _stopped(args, 128 + stop.signal, _with_notes(stop, str(stop)))
    except KeyboardInterrupt as stop:
        code = _stopped(args, 130, _with_notes(stop, "interrupted"))
        if argv is None:
            process.end(code)
        return code
    except OSError as error:
        if error.errno not in (errno.EPIPE, *files.CANNOT_WRITE):
            raise
        if error.filename is None:  # the output: a closed pipe, a full disk
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            return 0
        return _stopped(args, 2, f"{error.filename or 'the output'}: {error.strerror}")


def _is_value(system: str | None, overrides: list[str], typed: list[str]) -> bool:
    """True if `system` is the value of an option of a config, and another argument is the config.

    The parser does not know these options: in `run --batch 4 lm/llama` it takes 4 as the config.
    """
    strays = [arg for arg in overrides if not arg.startswith("-")]
    before = typed[typed.index(system) - 1] if system else ""
    return bool(strays) and before in overrides and "=" not in before


def _with_notes(stop: BaseException, reason: str) -> str:
    """`reason` with the command that continues, which `panorax run` adds as a note."""
    return "; to continue: ".join([reason, *getattr(stop, "__notes__", [])])


def _stopped(args, code: int, reason: str) -> int:
    """Prints why the command stopped, on process 0 only, and returns `code`."""
    if args.speaks:
        print(f"panorax: {reason}", file=sys.stderr)
    return code


def _dashed(arg: str) -> str:
    """Replaces underscores in the name of an option: `--init_from` becomes `--init-from`.

    In `--data.path=~/texts`, where shells leave `~`, it becomes the home folder.
    """
    name, equals, value = arg.partition("=")
    if not arg.startswith("--"):
        return arg
    name = name.replace("_", "-")
    return name + equals + (os.path.expanduser(value) if name.endswith("path") else value)


class _Parser(argparse.ArgumentParser):
    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            accepted = ", ".join(map(str, action.choices))
            hint = nearest(str(value), map(str, action.choices))
            raise argparse.ArgumentError(action, f"unknown {value!r}{hint}; one of {accepted}")

    def error(self, message):
        print(f"panorax: {message}; see `{self.prog} --help`", file=sys.stderr)
        sys.exit(2)


class _Commands:
    """Adds the parsers of commands by `add_parser(name, text)`; `text` is the help."""

    def __init__(self, parser: argparse.ArgumentParser):
        self.parsers = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def add_parser(self, name: str, text: str, **options) -> argparse.ArgumentParser:
        sub = self.parsers.add_parser(
            name, help=text, description=text, allow_abbrev=False, **options
        )
        sub.set_defaults(command=COMMANDS[name], parser=sub)
        return sub

    def add_parser_with_config(self, name: str, text: str) -> argparse.ArgumentParser:
        """Adds a command that also takes the options of a config, which its help includes."""
        usage = f"panorax {name} CONFIG|FILE.py [OPTIONS] [OPTIONS OF THE CONFIG]"
        sub = self.add_parser(name, text, usage=usage, add_help=False)
        sub.add_argument(
            "system",
            nargs="?",
            metavar="CONFIG",
            help="an entry of `panorax list` such as lm/llama, or a Python file with get_config()",
        )
        sub.add_argument(
            "-h",
            "--help",
            action="store_true",
            help="show this text; after the name of a config, also every option of the config",
        )
        return sub


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands, which sets `args.command` to the module of the command."""
    parser = _Parser(
        prog="panorax", description="The AI stack as pure functions in JAX.", allow_abbrev=False
    )
    version = f"panorax {panorax.__version__}"
    parser.add_argument("--version", action="version", version=version, help="print the version")
    commands = _Commands(parser)
    for module in COMMANDS.values():
        module.add(commands)
    return parser
