"""The verbs `agent ask`, `agent tell` and `agent memory`: signatures and help, as in agent/cli.py.

Limits: imports nothing but typer and the standard library.
"""

from pathlib import Path
from typing import Annotated

import typer

from agent.options import JsonOption, RunArgument, RunsDirOption

verbs = typer.Typer(rich_markup_mode=None)


@verbs.command(epilog="Example: agent ask last > prompt.md")
def ask(run: RunArgument = "last", runs_dir: RunsDirOption = None, as_json: JsonOption = False) -> None:
    """Print the prompt of a run's next attempt, for a person or a program to answer; see `agent tell`."""
    from agent.commands.ask_tell import ask as print_next

    print_next(run, runs_dir=runs_dir, as_json=as_json)


@verbs.command(epilog="Example: agent tell last reply.md --author somebody")
def tell(
    run: RunArgument,
    file: Annotated[Path, typer.Argument(help="The reply to the prompt of `agent ask`; - reads standard input.")],
    author: Annotated[str, typer.Option("--author", help="Who wrote it, for the record.")] = "manual",
    later: Annotated[
        bool, typer.Option("--later", help="Only record it; `agent evaluate --pending` judges it, here or elsewhere.")
    ] = False,
    runs_dir: RunsDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the reply to the prompt of `agent ask`, judge it and record the attempt."""
    from agent.commands.ask_tell import tell as take

    take(run, file, author=author, later=later, runs_dir=runs_dir, as_json=as_json)


@verbs.command(epilog="Example: agent memory --operator conv_transpose3d --gpu 4090")
def memory(
    operator: Annotated[str | None, typer.Option("--operator", help="Only outcomes for this operator.")] = None,
    gpu: Annotated[str | None, typer.Option("--gpu", "-g", help="Only outcomes for this GPU.")] = None,
    forget: Annotated[str | None, typer.Option("--forget", help="Forget the outcomes of this run, or of all.")] = None,
    sync: Annotated[bool, typer.Option("--sync", help="Read every recorded run again first.")] = False,
    runs_dir: RunsDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what earlier runs found out, gains and failures; prompts are given the few that fit. --json exports."""
    from agent.commands.memory import memory as list_outcomes

    list_outcomes(operator=operator, gpu=gpu, forget=forget, sync=sync, runs_dir=runs_dir, as_json=as_json)
