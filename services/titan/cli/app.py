"""The command line: names, flags and help. What a command does is in the modules beside, imported when it runs."""

from __future__ import annotations

import os
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from titan.cli.errors import BAD_INPUT, DONE, REFUSED, CommandError
from titan.cli.output import Output
from titan.cli.state import DEFAULT, locate

# What a shell expects of a program that a Ctrl-C ended.
INTERRUPTED = 130

app = typer.Typer(
    name="titan",
    help="A crypto trading stack: start it, look at it, stop it. Exit codes: 0 done, 1 refused or a check failed, "
    "2 bad input, 3 the stack cannot be reached.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
policy_app = typer.Typer(help="Hash and verify risk policies.")
app.add_typer(policy_app, name="policy")
db_app = typer.Typer(help="The tables of a stack that does not run.")
app.add_typer(db_app, name="db")


class LogLevel(StrEnum):
    """What a process may be told to log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


StateOption = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help=f"State directory of the stack; else TITAN_STATE, else {DEFAULT}."),
]
OutputOption = Annotated[Output, typer.Option("-o", "--output", help="How to print.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most so many, newest first.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept with the act.")]


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an unexpected error.")] = False,
) -> None:
    if debug:
        os.environ["TITAN_DEBUG"] = "1"


@app.command()
def up(
    files: Annotated[
        list[Path] | None,
        typer.Option("-f", "--file", metavar="FILE|DIR", help="Resources: RiskPolicy and TitanPhase YAML."),
    ] = None,
    state: StateOption = None,
    arm: Annotated[bool, typer.Option("--arm", help="Arm once, on paper, a state that was never armed.")] = False,
    market: Annotated[
        list[Path] | None, typer.Option("--market", metavar="FILE", help="A recording to replay; may be repeated.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the simulated market.")] = None,
    speed: Annotated[
        str | None, typer.Option("--speed", metavar="1|10|max", help="Market time by machine time; max: as it can.")
    ] = None,
    duration: Annotated[
        int | None, typer.Option("--duration", metavar="S", help="End the market after S seconds of its own time.")
    ] = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop when the market has ended, and print what came of it.")
    ] = False,
    output: OutputOption = Output.TABLE,
    port_offset: Annotated[
        int, typer.Option("--port-offset", metavar="N", help="Add N to every port: a second stack on this machine.")
    ] = 0,
    log_level: Annotated[LogLevel, typer.Option("--log-level", help="What the processes log.")] = LogLevel.INFO,
) -> None:
    """Run a whole stack on this machine, in the foreground; Ctrl-C stops it, a second one kills it."""
    from titan.cli.prepare import UpOptions
    from titan.cli.up import RunOptions
    from titan.cli.up import up as run_up

    options = UpOptions(
        files=tuple(files or ()),
        market_files=tuple(market or ()),
        seed=seed,
        speed=speed,
        duration_s=duration,
        port_offset=port_offset,
        log_level=log_level.value,
    )
    run_up(options, RunOptions(arm=arm, until_end=until_end, output=output), locate(state))


@app.command()
def down(state: StateOption = None) -> None:
    """Stop the stack that another terminal runs."""
    from titan.cli.down import down as run_down

    run_down(locate(state))


@app.command()
def status(state: StateOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show every process, the posture, the equity, the orders and the last decision."""
    from titan.cli.status import status as run_status

    run_status(locate(state), output)


@app.command()
def logs(
    process: Annotated[str, typer.Argument(metavar="PROCESS", help="marketdata, papervenue, execution, brain, …")],
    state: StateOption = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=1_000_000, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-F", help="Go on with what comes.")] = False,
) -> None:
    """Print what a process wrote."""
    from titan.cli.logs import logs as run_logs

    run_logs(locate(state), process, lines, follow)


@app.command()
def orders(
    state: StateOption = None,
    output: OutputOption = Output.TABLE,
    limit: LimitOption = 20,
    working: Annotated[bool, typer.Option("--working", help="Only those that are not final.")] = False,
) -> None:
    """List orders, newest first."""
    from titan.cli.listings import orders as run_orders

    run_orders(locate(state), output, limit, working)


@app.command()
def fills(state: StateOption = None, output: OutputOption = Output.TABLE, limit: LimitOption = 20) -> None:
    """List fills, newest first."""
    from titan.cli.listings import fills as run_fills

    run_fills(locate(state), output, limit)


@app.command()
def positions(state: StateOption = None, output: OutputOption = Output.TABLE) -> None:
    """List open positions with their stops."""
    from titan.cli.listings import positions as run_positions

    run_positions(locate(state), output)


@app.command()
def equity(state: StateOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show what the account is worth."""
    from titan.cli.listings import equity as run_equity

    run_equity(locate(state), output)


@app.command()
def explain(
    intent_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="An intent's id, or the beginning of one.")
    ] = None,
    state: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show every guard of a decision; without ID, of the latest taken and the latest refused."""
    from titan.cli.explain import explain as run_explain

    run_explain(locate(state), output, intent_id)


@app.command()
def why(state: StateOption = None, output: OutputOption = Output.TABLE) -> None:
    """Say what keeps the stack from trading now, and what to do about it."""
    from titan.cli.status import why as run_why

    run_why(locate(state), output)


@app.command()
def arm(state: StateOption = None, output: OutputOption = Output.TABLE, reason: ReasonOption = "") -> None:
    """Let the stack open new risk, up to the policy's ceiling."""
    from titan.cli.posture import arm as run_arm

    run_arm(locate(state), output, reason)


@app.command()
def halt(state: StateOption = None, output: OutputOption = Output.TABLE, reason: ReasonOption = "") -> None:
    """Stop opening and stop deciding, at once; stops and targets stay."""
    from titan.cli.posture import tighten
    from titan.v1 import common_pb2 as c

    tighten(locate(state), output, c.POSTURE_HALTED, reason)


@app.command()
def flatten(state: StateOption = None, output: OutputOption = Output.TABLE, reason: ReasonOption = "") -> None:
    """Close every position and cancel every order, then stay halted."""
    from titan.cli.posture import tighten
    from titan.v1 import common_pb2 as c

    tighten(locate(state), output, c.POSTURE_FLATTEN, reason)


@policy_app.command("hash")
def policy_hash(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="RiskPolicy YAML, or a .json file of rules.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Print the hash of the rules in a file."""
    from titan.cli.policy import show_hashes

    show_hashes(file, output)


@policy_app.command("verify")
def policy_verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="RiskPolicy YAML.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Check that a policy's hash and name are those of its rules; exit code 1 where they are not."""
    from titan.cli.policy import verify

    verify(file, output)


@db_app.command("upgrade")
def db_upgrade(state: StateOption = None) -> None:
    """Bring the tables to what this program knows; `titan up` does it by itself."""
    from titan.cli.db import upgrade

    upgrade(locate(state))


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code. Nothing but an answer or a sentence is printed, never a trace."""
    try:
        code = app(arguments or ["--help"], prog_name="titan", standalone_mode=False)
    except CommandError as error:
        _complain(str(error))
        return error.exit_code
    except typer.TyperException as error:
        _complain(f"{error.format_message()} (`titan --help` shows what there is)")
        return BAD_INPUT
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; what is left in the buffer must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:  # noqa: BLE001 - the last line of defence: said, kept and counted as a failure
        return _unexpected(error)
    return code if isinstance(code, int) else DONE


def _complain(text: str) -> None:
    for line in text.splitlines():
        sys.stderr.write(f"titan: {line}\n")


def _unexpected(error: Exception) -> int:
    if os.environ.get("TITAN_DEBUG"):
        traceback.print_exception(error)
        return REFUSED
    import tempfile

    said = " ".join(str(error).split()) or "no message"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="titan-error-", suffix=".log", delete=False) as file:
            traceback.print_exception(error, file=file)
        where = f"the trace is in {file.name}"
    except OSError:
        where = "`titan --debug …` shows the trace"
    _complain(f"unexpected error, {type(error).__name__}: {said}; {where}")
    return REFUSED


def main() -> None:
    """Entry point of ``titan`` and ``kubectl titan``."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
