"""What a command line that cannot be read is answered with: one line, like every other error.

Limits: words only; the exit code and the JSON are agent/cli.py's. Imports nothing but typer.
"""

import sys
from typing import cast

import typer

# click's UsageError; typer brings a click of its own in some versions and imports it in others
WRONG_USAGE = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])


def tell(error: typer.BadParameter) -> str:
    """Print it, and return it for --json; the whole help is printed where a verb was given nothing at all."""
    said = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return said
    verb = error.ctx.command_path if error.ctx else "agent"
    hint = f"see {verb} --help"
    if "--resume" in sys.argv[2:] and sys.argv[1:2] == ["optimize"]:
        hint = "to go on with a run: agent resume RUN, or agent resume last"
    print(f"error: {said}; {hint}", file=sys.stderr)
    return said
