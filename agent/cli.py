"""The command line: `agent VERB`.

Signatures and help only (of some verbs in agent/cli_*.py, of those that look at runs in agent/review_cli.py); each body
is agent/commands/<verb>.py and is imported when it runs.

Limits: imports nothing but typer and the standard library, so that `agent --help` stays under 0.3 s.

Exit codes: 0 passed or improved, 1 the candidate failed or nothing better was found, 2 wrong usage, 3 this machine
cannot, 4 unverified.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from agent.cli_author import verbs as author_verbs
from agent.cli_bench import verbs as bench_verbs
from agent.cli_catalogs import catalog_verbs
from agent.options import (
    AnalystOption,
    AttemptsOption,
    CostOption,
    Device,
    DeviceOption,
    DevicesOption,
    EngineOption,
    GpuOption,
    JsonOption,
    NoHintsOption,
    ParallelOption,
    PendingOption,
    PlainOption,
    Precision,
    PrecisionOption,
    ProblemOption,
    ProviderOption,
    RepairOption,
    RunArgument,
    RunsDirOption,
    Sandbox,
    SandboxOption,
    SecondsOption,
    StagesOption,
    StartOption,
    StrategyOption,
    TokensOption,
    TuneOption,
)
from agent.review_cli import review_verbs
from agent.usage import WRONG_USAGE, tell

app = typer.Typer(
    name="agent",
    help="Propose, compile, judge and keep faster GPU kernels for a PyTorch reference module.",
    epilog="Start here: agent optimize --problem convt3d --gpu 4090",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command(epilog="Example: agent optimize --problem convt3d-73 --gpu h200 --max-attempts 20")
def optimize(
    problem: ProblemOption,
    gpu: GpuOption,
    model: Annotated[
        str, typer.Option("--model", "-m", help="playbook, manual, replay:RUN, or a model's name at the endpoint.")
    ] = "playbook",
    provider: ProviderOption = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="OpenAI-compatible endpoint, e.g. http://localhost:8000/v1.")
    ] = None,
    code: Annotated[
        Path | None, typer.Option("--code", help="Start from this kernel file instead of from nothing.")
    ] = None,
    max_attempts: AttemptsOption = 8,
    max_seconds: SecondsOption = None,
    max_cost: CostOption = None,
    max_tokens: TokensOption = None,
    strategy: StrategyOption = None,
    stages: StagesOption = None,
    analyst_model: AnalystOption = None,
    repair_model: RepairOption = None,
    parallel: ParallelOption = None,
    tune_points: TuneOption = None,
    start: StartOption = None,
    no_playbook_hints: NoHintsOption = False,
    recorded_verdicts: Annotated[
        bool, typer.Option("--recorded-verdicts", help="With replay:RUN: repeat its verdicts too, execute nothing.")
    ] = False,
    sandbox: SandboxOption = Sandbox.auto,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = Precision.reference,
    engine: EngineOption = "local",
    devices: DevicesOption = None,
    runs_dir: RunsDirOption = None,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Search for a faster kernel; logs every attempt and exports the best that passed."""
    from agent.commands.optimize import Request
    from agent.commands.optimize import optimize as run

    run(
        Request(
            problem=problem,
            gpu=gpu,
            model=model,
            base_url=base_url,
            code=code,
            max_attempts=max_attempts,
            max_seconds=max_seconds,
            max_cost_usd=max_cost,
            max_tokens=max_tokens,
            strategy=strategy,
            stages_dir=stages,
            analyst_model=analyst_model,
            repair_model=repair_model,
            parallel=parallel,
            tune_points=tune_points,
            start=start.value if start else None,
            playbook_hints=not no_playbook_hints,
            provider=provider,
            recorded_verdicts=recorded_verdicts,
            sandbox=sandbox.value,
            device=device.value,
            precision=precision.value,
            engine=engine,
            devices=devices,
            runs_dir=runs_dir,
            plain=plain,
            as_json=as_json,
        )
    )


@app.command(epilog="Example: agent resume last --max-attempts 16")
def resume(
    run: RunArgument,
    max_attempts: AttemptsOption = None,
    max_seconds: SecondsOption = None,
    max_cost: CostOption = None,
    max_tokens: TokensOption = None,
    engine: EngineOption = "local",
    devices: DevicesOption = None,
    runs_dir: RunsDirOption = None,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go on with a run after a crash, Ctrl-C, or with a larger budget; nothing finished or paid for is repeated."""
    from agent.commands.optimize import Extension
    from agent.commands.optimize import resume as go_on

    go_on(
        Extension(
            run=run,
            max_attempts=max_attempts,
            max_seconds=max_seconds,
            max_cost_usd=max_cost,
            max_tokens=max_tokens,
            engine=engine,
            devices=devices,
            runs_dir=runs_dir,
            plain=plain,
            as_json=as_json,
        )
    )


@app.command(epilog="Example: agent evaluate kernel.py --problem convt3d --gpu 4090 --json")
def evaluate(
    file: Annotated[
        Path | None, typer.Argument(help="Python file with ModelNew, or a model's reply that holds one.")
    ] = None,
    problem: Annotated[
        str | None,
        typer.Option("--problem", "-p", help="Built-in name, KernelBench file, or 1/68 with KERNELBENCH_DIR."),
    ] = None,
    gpu: GpuOption = "4090",
    pending: PendingOption = None,
    sandbox: SandboxOption = Sandbox.auto,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = Precision.reference,
    runs_dir: RunsDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge one kernel file: screen, build for the target, correctness, estimate; on a GPU also timing."""
    if pending is not None:
        if file is not None or problem is not None:
            raise typer.BadParameter("--pending judges the reply that waits in a run: leave out FILE and --problem")
        from agent.commands.ask_tell import evaluate_pending

        evaluate_pending(pending, runs_dir=runs_dir, as_json=as_json)
        return
    from agent.commands.evaluate import Setting
    from agent.commands.evaluate import evaluate as run

    setting = Setting(gpu=gpu, sandbox=sandbox.value, device=device.value, precision=precision.value)
    run(file, setting, problem=problem, as_json=as_json)


catalog_verbs(app)


@app.command(
    epilog="Example: agent prompt --problem convt3d --gpu 4090 --stage memory --code kernel.py --metrics ncu.json"
)
def prompt(
    problem: ProblemOption,
    gpu: GpuOption,
    stage: Annotated[str, typer.Option("--stage", help="algorithm, grid, tiling, memory or tuning.")] = "algorithm",
    code: Annotated[Path | None, typer.Option("--code", help="Current kernel file.")] = None,
    metrics: Annotated[
        Path | None, typer.Option("--metrics", help="JSON: kernel name -> Nsight metric -> value.")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="Take the last attempts from this run.")] = None,
    no_playbook_hints: NoHintsOption = False,
    runs_dir: RunsDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the exact text a model would be sent."""
    from agent.commands.prompt import Moment, print_prompt

    moment = Moment(stage=stage, code=code, metrics=metrics, run=run, playbook_hints=not no_playbook_hints)
    print_prompt(problem, gpu, moment, runs_dir=runs_dir, as_json=as_json)


@app.command(epilog="Example: agent extract reply.md --json")
def extract(
    file: Annotated[Path, typer.Argument(help="A model's reply, any text.")],
    as_json: JsonOption = False,
) -> None:
    """Show which code of a reply would be judged, and why."""
    from agent.commands.extract import extract as run

    run(file, as_json=as_json)


review_verbs(app)


@app.command(epilog="Example: agent doctor --model qwen3:32b --provider ollama")
def doctor(
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Also make one tiny call to this model and say what works.")
    ] = None,
    provider: ProviderOption = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="OpenAI-compatible endpoint.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what works on this machine and what that limits."""
    if model is not None:
        from agent.commands.doctor_model import doctor_model

        doctor_model(model, provider=provider, base_url=base_url, as_json=as_json)
        return
    from agent.commands.doctor import doctor as run

    run(as_json=as_json)


app.add_typer(bench_verbs)
app.add_typer(author_verbs)


def main() -> None:
    """Entry point: errors of the user or the machine are one line and an exit code, never a traceback.

    With --json they are an object on stdout besides.
    """
    from evaluators.errors import AgentError, MachineError

    try:
        code = app(standalone_mode=False)
    except WRONG_USAGE as error:
        _end(type(error).__name__, tell(error), 2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except (AgentError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        _end(type(error).__name__, str(error), 3 if isinstance(error, MachineError | OSError) else 2)
    if code == 130:  # what typer makes of Ctrl-C
        print("interrupted", file=sys.stderr)
        _end("Interrupted", "interrupted", code)
    sys.exit(code)


def _end(kind: str, message: str, code: int) -> NoReturn:
    if "--json" in sys.argv:
        print(json.dumps({"error": {"kind": kind, "message": message}, "exit_code": code}))
    sys.exit(code)
