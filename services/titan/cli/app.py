"""The command line ``titan``: names, flags and help. Each command imports its module only when it runs."""

from __future__ import annotations

import sys
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from titan.cli.local.state import DEFAULT, locate
from titan.cli.output import Output
from titan.cli.root import Commands, OutputOption, add_policy_files, add_verify_image, new_app, run_app

# kubectl runs a program of this name for `kubectl titan`.
CLUSTER_PROGRAM = "kubectl-titan"

app = new_app(
    "A crypto trading stack on this machine: start it, look at it, stop it. Exit codes: 0 done, 1 refused or a check "
    "failed, 2 bad input, 3 the stack cannot be reached. In a cluster the same words are `kubectl titan …`.",
    completion=True,
)
policy_app = Commands(help="Hash and verify risk policies.")
app.add_typer(policy_app, name="policy")


def _stack_equity() -> Decimal | None:
    from titan.cli.local.status import known_equity

    return known_equity(locate(None))


add_policy_files(policy_app, _stack_equity)
paper_app = Commands(help="Play money at the paper venue of this stack.")
app.add_typer(paper_app, name="paper")
db_app = Commands(help="The tables of a stack that does not run.")
app.add_typer(db_app, name="db")


def _complete_process(context: typer.Context, incomplete: str) -> list[str]:
    from titan.cli.local.logs import known_processes

    state = context.params.get("state")
    names = known_processes(locate(Path(state) if state else None))
    return [name for name in names if name.startswith(incomplete)]


class LogLevel(StrEnum):
    """Log levels of the processes."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


StateOption = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help=f"State directory of the stack; else TITAN_STATE, else {DEFAULT}."),
]
LimitOption = Annotated[
    int, typer.Option("--limit", "-n", min=1, max=10_000, help="Highest number of rows, newest first.")
]
AmountArgument = Annotated[str, typer.Argument(metavar="AMOUNT", help="USDT, like 100 or 12.5.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Reason, stored with the act.")]


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
        str | None,
        typer.Option("--speed", metavar="1|10|max", help="Market time by machine time; max: as fast as it can."),
    ] = None,
    duration: Annotated[
        int | None, typer.Option("--duration", metavar="S", help="End the market after S seconds of its own time.")
    ] = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop when the market has ended, and print the totals.")
    ] = False,
    output: OutputOption = Output.TABLE,
    port_offset: Annotated[
        int, typer.Option("--port-offset", metavar="N", help="Add N to every port: a second stack on this machine.")
    ] = 0,
    log_level: Annotated[
        LogLevel,
        typer.Option("--log-level", metavar="LEVEL", help="Detail of the logs: debug, info, warning or error."),
    ] = LogLevel.INFO,
    certificate_lifetime: Annotated[
        int,
        typer.Option(
            "--certificate-lifetime", metavar="S", help="Seconds a certificate lasts; replaced at half of it."
        ),
    ] = 86_400,
) -> None:
    """Run a whole stack on this machine, in the foreground; Ctrl-C stops it, a second one kills it."""
    from titan.cli.local.prepare import UpOptions
    from titan.cli.local.up import RunOptions
    from titan.cli.local.up import up as run_up

    options = UpOptions(
        files=tuple(files or ()),
        market_files=tuple(market or ()),
        seed=seed,
        speed=speed,
        duration_s=duration,
        port_offset=port_offset,
        log_level=log_level.value,
        certificate_lifetime_s=certificate_lifetime,
    )
    if code := run_up(options, RunOptions(arm=arm, until_end=until_end, output=output), locate(state)):
        raise typer.Exit(code)


@app.command()
def down(state: StateOption = None) -> None:
    """Stop the stack that another terminal runs."""
    from titan.cli.local.down import down as run_down

    run_down(locate(state))


@app.command()
def status(state: StateOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show every process, the posture, the equity, the orders and the last decision."""
    from titan.cli.local.status import status as run_status

    run_status(locate(state), output)


@app.command()
def why(state: StateOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show what keeps the stack from trading now, and the next step."""
    from titan.cli.local.status import why as run_why

    run_why(locate(state), output)


@app.command()
def explain(
    intent_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="An intent's id, or the beginning of one.")
    ] = None,
    state: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show every guard of a decision; without ID, of the latest approved and the latest refused."""
    from titan.cli.local.explain import explain as run_explain

    run_explain(locate(state), output, intent_id)


@app.command()
def orders(
    state: StateOption = None,
    output: OutputOption = Output.TABLE,
    limit: LimitOption = 20,
    working: Annotated[bool, typer.Option("--working", help="Only orders that are not final.")] = False,
) -> None:
    """List orders, newest first."""
    from titan.cli.local.listings import orders as run_orders

    run_orders(locate(state), output, limit, working)


@app.command()
def positions(state: StateOption = None, output: OutputOption = Output.TABLE) -> None:
    """List open positions with their stops."""
    from titan.cli.local.listings import positions as run_positions

    run_positions(locate(state), output)


@app.command()
def fills(state: StateOption = None, output: OutputOption = Output.TABLE, limit: LimitOption = 20) -> None:
    """List fills, newest first."""
    from titan.cli.local.listings import fills as run_fills

    run_fills(locate(state), output, limit)


@app.command()
def equity(state: StateOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show the account's equity and its parts."""
    from titan.cli.local.listings import equity as run_equity

    run_equity(locate(state), output)


@app.command()
def logs(
    process: Annotated[
        str,
        typer.Argument(
            metavar="PROCESS", help="marketdata, papervenue, execution, brain, …", autocompletion=_complete_process
        ),
    ],
    state: StateOption = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=1_000_000, help="Number of lines, counted from the end.")
    ] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-F", help="Continue with new lines.")] = False,
) -> None:
    """Print the log of a process."""
    from titan.cli.local.logs import logs as run_logs

    run_logs(locate(state), process, lines, follow)


@app.command()
def arm(state: StateOption = None, output: OutputOption = Output.TABLE, reason: ReasonOption = "") -> None:
    """Let the stack open new risk, up to the policy's ceiling."""
    from titan.cli.local.acts import arm as run_arm

    run_arm(locate(state), output, reason)


@app.command()
def halt(state: StateOption = None, output: OutputOption = Output.TABLE, reason: ReasonOption = "") -> None:
    """Stop opening and stop deciding, at once; stops and targets stay."""
    from titan.cli.local.acts import tighten
    from titan.v1 import common_pb2 as c

    tighten(locate(state), output, c.POSTURE_HALTED, reason)


@app.command()
def flatten(state: StateOption = None, output: OutputOption = Output.TABLE, reason: ReasonOption = "") -> None:
    """Close every position and cancel every order, then stay halted."""
    from titan.cli.local.acts import tighten
    from titan.v1 import common_pb2 as c

    tighten(locate(state), output, c.POSTURE_FLATTEN, reason)


@app.command()
def rebase(
    reason: Annotated[str, typer.Option("--reason", help="Reason, journalled with the act.")],
    state: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Measure drawdown from the present equity on: an act of the risk officer on a flat account that is not armed."""
    from titan.cli.local.acts import rebase as run_rebase

    run_rebase(locate(state), output, reason)


add_verify_image(app)


@paper_app.command("deposit")
def paper_deposit(amount: AmountArgument, state: StateOption = None, output: OutputOption = Output.TABLE) -> None:
    """Add play money: no profit, and the drawdown stays as it is."""
    from titan.cli.local.paper import read_amount, transfer

    transfer(locate(state), output, read_amount(amount))


@paper_app.command("withdraw")
def paper_withdraw(amount: AmountArgument, state: StateOption = None, output: OutputOption = Output.TABLE) -> None:
    """Take play money out, as far as it is free: no loss, and the drawdown stays as it is."""
    from titan.cli.local.paper import read_amount, transfer

    transfer(locate(state), output, -read_amount(amount))


@db_app.command("upgrade")
def db_upgrade(state: StateOption = None) -> None:
    """Upgrade the tables to the schema of this program; `titan up` does it by itself."""
    from titan.cli.local.db import upgrade

    upgrade(locate(state))


def run(arguments: list[str]) -> int:
    """Run one command of ``titan`` and return the exit code."""
    return run_app(app, "titan", arguments)


def main() -> None:
    """Entry point of ``titan``, and of ``kubectl titan`` for clusters."""
    if Path(sys.argv[0]).name.startswith(CLUSTER_PROGRAM):
        from titan.cli.cluster.app import app as cluster_app

        sys.exit(run_app(cluster_app, "kubectl titan", sys.argv[1:]))
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
