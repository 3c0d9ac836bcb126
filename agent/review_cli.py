"""The verbs that look at recorded runs and take kernels out of them: signatures and help; bodies in agent/commands/.

Limits: like agent/cli.py it imports nothing but typer and the standard library.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agent.options import (
    Device,
    DeviceOption,
    JsonOption,
    RunArgument,
    RunsDirOption,
    Sandbox,
    SandboxOption,
)


class Format(StrEnum):
    """What a kernel can be exported as: the files of runs/exports/."""

    standalone = "standalone"
    torch_op = "torch-op"
    hf = "hf"
    kernelbench = "kernelbench"


class Destination(StrEnum):
    """Where a record can be sent: the files of runs/exporters/."""

    otel = "otel"
    mlflow = "mlflow"
    wandb = "wandb"


AttemptOption = Annotated[int | None, typer.Option("--attempt", "-a", min=1, help="This attempt instead of the best.")]
NumberArgument = Annotated[int | None, typer.Argument(min=1, help="Number of an attempt.")]


def review_verbs(app: typer.Typer) -> None:
    """Add the verbs to the command line, in the order of its help."""
    app.command(epilog="Example: agent runs")(runs)
    app.command(epilog="Example: agent show last --attempt 3")(show)
    app.command(epilog="Example: agent diff last; agent diff last 2 5")(diff)
    app.command(epilog="Example: agent stats last")(stats)
    app.command(epilog="Example: agent report last -o report.html")(report)
    app.command(epilog="Example: agent view last")(view)
    app.command(epilog="Example: agent export last --format torch-op -o my_op/")(export)
    app.command(epilog="Example: agent verify kernel.py")(verify)
    app.command("export-run", epilog="Example: agent export-run last --to otel -o spans.json")(export_run)


def runs(runs_dir: RunsDirOption = None, as_json: JsonOption = False) -> None:
    """List the runs."""
    from agent.commands.review import list_runs

    list_runs(runs_dir, as_json=as_json)


def show(
    run: RunArgument = "last",
    attempt: Annotated[int | None, typer.Option("--attempt", "-a", min=1, help="One attempt in full.")] = None,
    runs_dir: RunsDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a run: its attempts; or one attempt: verdict, prompt, reply, diff to the parent, metrics."""
    from agent.commands.review import show as run_show

    run_show(run, attempt=attempt, runs_dir=runs_dir, as_json=as_json)


def diff(
    run: RunArgument = "last",
    before: NumberArgument = None,
    after: NumberArgument = None,
    runs_dir: RunsDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two attempts of a run: code, and figures with the largest change first.

    One number: that attempt with its parent; none: the best with its parent.
    """
    from agent.commands.diff import diff as run_diff

    run_diff(run, (before, after), runs_dir=runs_dir, as_json=as_json)


def stats(run: RunArgument = "last", runs_dir: RunsDirOption = None, as_json: JsonOption = False) -> None:
    """Count verdicts and failures, what each stage brought, and where time and money went."""
    from agent.commands.stats import stats as run_stats

    run_stats(run, runs_dir=runs_dir, as_json=as_json)


def report(
    run: RunArgument = "last",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write (default: report.html in the run).")
    ] = None,
    runs_dir: RunsDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a run: one HTML file that needs no network; also of a damaged run."""
    from agent.commands.report import report as run_report

    run_report(run, output=output, runs_dir=runs_dir, as_json=as_json)


def view(
    run: Annotated[str | None, typer.Argument(help="Run id, its beginning, or `last` (default: the list).")] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; beyond loopback only if given.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8321,
    runs_dir: RunsDirOption = None,
) -> None:
    """Serve the runs as live pages on this machine: list, report that follows the run, comparison of two."""
    from agent.commands.view import view as run_view

    run_view(run, host=host, port=port, runs_dir=runs_dir)


def export(
    run: RunArgument = "last",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File or folder to write (default: stdout, or a folder).")
    ] = None,
    kind: Annotated[Format, typer.Option("--format", "-f", help="What to write.")] = Format.standalone,
    attempt: AttemptOption = None,
    allow_unverified: Annotated[
        bool, typer.Option("--allow-unverified", help="Export a kernel that did not pass; its header says so.")
    ] = False,
    runs_dir: RunsDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export a kernel with its provenance: a standalone file, a torch operator, a Hugging Face kernel, KernelBench."""
    from agent.commands.export import Wish
    from agent.commands.export import export as run_export

    wish = Wish(
        output=output, format=kind.value, attempt=attempt, is_unverified_allowed=allow_unverified, as_json=as_json
    )
    run_export(run, wish, runs_dir)


def verify(
    file: Annotated[Path, typer.Argument(help="A file written by `agent export`.")],
    problem: Annotated[
        str | None, typer.Option("--problem", "-p", help="Built-in name or KernelBench file (default: the card's).")
    ] = None,
    gpu: Annotated[str | None, typer.Option("--gpu", "-g", help="Target GPU (default: that of the card).")] = None,
    sandbox: SandboxOption = Sandbox.auto,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Judge an exported kernel again and hold it against its card: exit code 1 where it got worse. Made for CI."""
    from agent.commands.verify import Place
    from agent.commands.verify import verify as run_verify

    place = Place(gpu=gpu, sandbox=sandbox.value, device=device.value)
    run_verify(file, place, problem=problem, as_json=as_json)


def export_run(
    run: RunArgument,
    to: Annotated[Destination, typer.Option("--to", help="What to write or send.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="otel: file of OTLP JSON (default: stdout).")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", help="otel: collector, e.g. http://localhost:4318; mlflow: tracking URI."),
    ] = None,
    runs_dir: RunsDirOption = None,
) -> None:
    """Hand a finished run to a tracing or experiment tool; field names follow OpenTelemetry GenAI."""
    from agent.commands.export_run import export_run as run_export

    run_export(run, to.value, output=output, endpoint=endpoint, runs_dir=runs_dir)
