"""The verbs `agent bench`, `agent bench-baselines` and `agent audit`: signatures and help, as in agent/cli.py.

Limits: imports nothing but typer and the standard library.
"""

from pathlib import Path
from typing import Annotated

import typer

from agent.options import (
    CostOption,
    Device,
    DeviceOption,
    DevicesOption,
    EngineOption,
    GpuOption,
    JobsOption,
    JsonOption,
    PlainOption,
    Precision,
    PrecisionOption,
    ProblemOption,
    ProviderOption,
    RunsDirOption,
    Sandbox,
    SandboxOption,
    StagesOption,
    StrategyOption,
    TokensOption,
)

verbs = typer.Typer(rich_markup_mode=None)


@verbs.command(epilog="Example: agent bench examples/problems --gpu 4090 --max-attempts 4; agent bench --resume last")
def bench(
    source: Annotated[
        str | None, typer.Argument(metavar="[FOLDER|kernelbench:LEVEL]", help="The problems: KernelBench files.")
    ] = None,
    gpu: Annotated[str | None, typer.Option("--gpu", "-g", help="Target GPU (4090, h200, ...) or auto.")] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", help="Go on with this benchmark: its name, its beginning, or `last`.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="playbook, or a model's name at the endpoint.")
    ] = "playbook",
    provider: ProviderOption = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="OpenAI-compatible endpoint.")] = None,
    max_attempts: Annotated[
        int | None, typer.Option("--max-attempts", min=1, help="Attempts of each problem (default: 8).")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", min=0, help="Wall time of all problems, checked between attempts.")
    ] = None,
    max_cost: CostOption = None,
    max_tokens: TokensOption = None,
    strategy: StrategyOption = None,
    stages: StagesOption = None,
    engine: EngineOption = "local",
    jobs: JobsOption = None,
    devices: DevicesOption = None,
    at_once: Annotated[
        int | None, typer.Option("--at-once", min=1, help="Problems worked on at once (default: as many as judges).")
    ] = None,
    sandbox: SandboxOption = Sandbox.auto,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = Precision.reference,
    runs_dir: RunsDirOption = None,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Optimize many problems within one budget: one table, one page, resumable."""
    from agent.commands.bench import Request
    from agent.commands.bench import bench as run
    from agent.engines import Wish

    run(
        Request(
            source=source,
            resume=resume,
            gpu=gpu,
            model=model,
            provider=provider,
            base_url=base_url,
            strategy=strategy,
            stages_dir=stages,
            limits={
                "max_attempts": max_attempts,
                "max_seconds": max_seconds,
                "max_cost_usd": max_cost,
                "max_tokens": max_tokens,
            },
            engine=engine,
            wish=Wish(jobs=jobs, devices=devices, sandbox=sandbox.value, device=device.value),
            precision=precision.value,
            at_once=at_once,
            runs_dir=runs_dir,
            plain=plain,
            as_json=as_json,
        )
    )


@verbs.command(name="bench-baselines", epilog="Example: agent bench-baselines --problem convt3d-73")
def bench_baselines(problem: ProblemOption, as_json: JsonOption = False) -> None:
    """Measure the library at all its settings on this machine's GPU: what a kernel is compared with."""
    from agent.commands.bench_baselines import bench_baselines as run

    run(problem, as_json=as_json)


@verbs.command(epilog="Example: agent audit my_cheats/ --problem reference.py")
def audit(
    folder: Annotated[Path, typer.Argument(help="Folder of candidate files; a manifest.json there says what is owed.")],
    problem: ProblemOption,
    gpu: GpuOption = "4090",
    without_screen: Annotated[
        bool, typer.Option("--without-screen", help="Leave the static screen out: what holds without it?")
    ] = False,
    sandbox: SandboxOption = Sandbox.auto,
    as_json: JsonOption = False,
) -> None:
    """Judge a folder of candidates: which check decided about each."""
    from agent.commands.audit import audit as run

    run(folder, problem=problem, gpu=gpu, without_screen=without_screen, sandbox=sandbox.value, as_json=as_json)
