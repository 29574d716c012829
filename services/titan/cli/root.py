"""Start and end of both command lines, ``titan`` and ``kubectl titan``: flags in common, errors and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.models import CommandFunctionType as CommandFunction

from titan.cli.errors import BAD_INPUT, DONE, REFUSED, BadInput, CommandError
from titan.cli.output import Output, print_error
from titan.cli.usage import usage_message

# Exit code that a shell expects of a program that Ctrl-C ended.
INTERRUPTED = 130

OutputOption = Annotated[Output, typer.Option("-o", "--output", help="How to print.")]


class _Command(TyperCommand):
    """A command whose help names a required argument without braces, as the documentation does."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


class Commands(typer.Typer):
    """A command line or a group of commands, all of one form."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[CommandFunction], CommandFunction]:
        """Add a command, as typer does."""
        return super().command(name, **{"cls": _Command} | settings)


def new_app(about: str, *, completion: bool = False) -> Commands:
    """Make a command line with ``--debug``, ``--version`` and no command.

    Parameters
    ----------
    about
        The first paragraph of its help.
    completion
        Add ``--install-completion`` and ``--show-completion``. Not for a plugin: shells complete ``kubectl``.
    """
    made = Commands(
        name="titan",
        help=about,
        add_completion=completion,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @made.callback()
    def _root(
        debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an unexpected error.")] = False,
        version: Annotated[
            bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
        ] = False,
    ) -> None:
        if debug:
            os.environ["TITAN_DEBUG"] = "1"

    return made


def _print_version(context: typer.Context, asked: bool) -> None:
    if not asked or context.resilient_parsing:
        return
    from importlib.metadata import version

    typer.echo(f"{context.find_root().info_name} {version('titan')}")
    raise typer.Exit


def add_policy_files(commands: typer.Typer, stack_equity: Callable[[], Decimal | None] = lambda: None) -> None:
    """Add ``hash`` and ``verify``, which read files only.

    Parameters
    ----------
    stack_equity
        Equity in USDT of the stack at hand, which ``verify`` takes without ``--equity``; None where there is none.
    """

    @commands.command("hash")
    def policy_hash(
        file: Annotated[Path, typer.Argument(metavar="FILE", help="RiskPolicy YAML, or a .json file of rules.")],
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Print the hash of the rules in a file."""
        from titan.cli.policy import show_hashes

        show_hashes(file, output)

    @commands.command("verify")
    def policy_verify(
        file: Annotated[Path, typer.Argument(metavar="FILE", help="RiskPolicy YAML.")],
        equity: Annotated[
            str | None, typer.Option("--equity", metavar="USDT", help="Equity to trade; else the stack's, else 200.")
        ] = None,
        price: Annotated[
            list[str] | None, typer.Option("--price", metavar="BASE=PRICE", help="A price; may be repeated.")
        ] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Check a policy's hash and name, and print what it can trade; exit code 1 where they are not its rules'."""
        from titan.cli.policy import verify
        from titan.cli.policy_capacity import DEFAULT_EQUITY, parse_equity

        amount = parse_equity(equity) if equity is not None else stack_equity() or DEFAULT_EQUITY
        verify(file, output, amount, price or ())


def add_verify_image(commands: typer.Typer) -> None:
    """Add ``verify-image``, which calls an image registry only."""

    @commands.command("verify-image")
    def verify_image(
        image: Annotated[str, typer.Argument(metavar="REF", help="An image by digest: NAME@sha256:….")],
        policy: Annotated[
            Path,
            typer.Option("--policy", metavar="FILE", help="Trust policy: YAML as below trustPolicy of chart titan."),
        ],
        registry_config: Annotated[
            Path | None,
            typer.Option("--registry-config", metavar="FILE", help="Registries' logins, as docker login writes them."),
        ] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Check whether an operator under this trust policy admits an image; print the reason where it does not."""
        from titan.cli.verify_image import verify_image as run_verify_image

        run_verify_image(image, policy, registry_config, output)


def run_app(app: typer.Typer, program: str, arguments: list[str]) -> int:
    """Run one command and return the exit code. Errors are printed as sentences, never as a trace."""
    try:
        _refuse_empty(arguments)
        code = app(arguments or ["--help"], prog_name=program, standalone_mode=False)
    except CommandError as error:
        _print_failure(str(error))
        return error.exit_code
    except typer.TyperException as error:
        _print_failure(usage_message(error, program))
        return BAD_INPUT
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader closed the pipe. The rest of the buffer must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:  # noqa: BLE001 - the last line of defense: printed, stored and counted as a failure
        return _unexpected(error)
    return code if isinstance(code, int) else DONE


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse a flag whose value is the empty string: a variable of a script that is not set.

    As a path it would be the working directory, and as a namespace or context the default one.
    """
    for flag, following in pairwise((*arguments, None)):
        name, separator, value = str(flag).partition("=")
        empty = not value if separator else following == ""
        if name.startswith("-") and name != "--reason" and empty:
            raise BadInput(f"{name}: '' is not allowed; leave the flag out, or give it a value")


def _print_failure(text: str) -> None:
    for line in text.splitlines():
        print_error(f"titan: {line}")


def _unexpected(error: Exception) -> int:
    if os.environ.get("TITAN_DEBUG"):
        traceback.print_exception(error)
        return REFUSED
    import tempfile

    message = " ".join(str(error).split()) or "no message"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="titan-error-", suffix=".log", delete=False) as file:
            traceback.print_exception(error, file=file)
        where = f"the trace is in {file.name}"
    except OSError:
        where = "`titan --debug …` shows the trace"
    _print_failure(f"unexpected error, {type(error).__name__}: {message}; {where}")
    return REFUSED
