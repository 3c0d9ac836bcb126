"""The verbs that list what there is, `agent problems` and `agent gpus`: signatures and help, as in agent/cli.py.

Limits: imports nothing but typer and the standard library.
"""

from typing import Annotated

import typer

from agent.options import JsonOption


def catalog_verbs(app: typer.Typer) -> None:
    """Add them to the command line."""

    @app.command(epilog="Example: agent problems --json")
    def problems(
        name: Annotated[str | None, typer.Argument(help="Show this one in full: a built-in name or a file.")] = None,
        as_json: JsonOption = False,
    ) -> None:
        """List the problems with FLOP, bytes and arithmetic intensity, and what the linter found."""
        from agent.commands.catalogs import list_problems

        list_problems(name, as_json=as_json)

    @app.command(epilog="Example: agent gpus 4090")
    def gpus(
        name: Annotated[str | None, typer.Argument(help="Show this one in full.")] = None,
        as_json: JsonOption = False,
    ) -> None:
        """List the known GPUs with their vendor figures and aliases."""
        from agent.commands.catalogs import list_gpus

        list_gpus(name, as_json=as_json)
