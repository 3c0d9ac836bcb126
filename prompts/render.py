"""Render the text a model reads from a `Context`.

One template per role in prompts/templates/; what stays the same during a run stands first, what changes last, so that a
provider's prompt cache holds. AGENT_PROMPTS_DIR names a folder whose templates win over those of the same name.

Limits: words only. Model output and user code are inserted as values, never rendered as templates.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.errors import UsageError
from evaluators.gpu import GpuSpec
from evaluators.problem import Problem, ProblemFacts
from evaluators.roofline import position_of
from prompts.category import adapted, categories_in
from prompts.context import Base, Context, Metrics, TunedPoint, Tuning
from prompts.stage import Stage
from prompts.stages import missing_metrics, user_directory

if TYPE_CHECKING:
    from jinja2 import Environment

BUILT_IN_DIR = Path(__file__).parent / "templates"
_ONE_LINE_CHARS = 600
_SHOWN_POINTS = 12


def render(context: Context) -> str:
    """The prompt for this context. A broken template of the user's is a UsageError that names it."""
    from jinja2 import TemplateError, TemplateNotFound

    name = _template_name(context)
    try:
        return _environment(user_directory()).get_template(name).render(_variables(context))
    except TemplateNotFound as error:
        raise UsageError(f"prompt template {error.name} does not exist") from None
    except TemplateError as error:
        place = f"{getattr(error, 'filename', None) or name}:{getattr(error, 'lineno', None) or '?'}"
        raise UsageError(f"prompt template {place}: {error}") from None


def prompt_for(
    problem: Problem,
    gpu: GpuSpec,
    stage: Stage,
    *,
    facts: ProblemFacts | None = None,
    code: str | None = None,
    metrics: Metrics | None = None,
) -> str:
    """The prompt outside a run: `optimize` when there is code, else `propose`; without history."""
    profile, stage = metrics or {}, adapted(stage, facts)
    context = Context(
        role="propose" if code is None else "optimize",
        problem=problem,
        facts=facts,
        gpu=gpu,
        stage=stage,
        base=None if code is None else Base(number=None, source=code),
        metrics=profile,
        missing_metrics=missing_metrics(stage, profile) if code is not None else {},
    )
    return render(context)


def concise(prompt: str) -> str:
    """The same prompt with the request to answer briefly, for a reply that was cut at the token limit."""
    return prompt + _environment(user_directory()).get_template("concise.md.j2").render()


def fenced(text: str, language: str = "") -> str:
    """A fenced block whose fence is longer than any run of backticks inside, so that code cannot end it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    body = text if text.endswith("\n") else f"{text}\n"
    return f"{fence}{language}\n{body}{fence}"


def one_line(text: str) -> str:
    """Text on one line, shortened in the middle; its beginning and its end are what explains a failure."""
    flat = " ".join(text.split())
    if len(flat) <= _ONE_LINE_CHARS:
        return flat
    half = (_ONE_LINE_CHARS - 5) // 2
    return f"{flat[:half]} ... {flat[-half:]}"


def floors(facts: ProblemFacts, gpu: GpuSpec) -> list[tuple[str, float]]:
    """Times in ms below which no kernel can be, by vendor peaks: FLOP at each arithmetic, bytes at the bandwidth."""
    peaks = gpu.dense_peak_tflops
    rates = [("FP32 without tensor cores", peaks.fp32), ("TF32 tensor cores", peaks.tf32)]
    memory = ("bytes moved once at the memory bandwidth", facts.bytes_moved / gpu.memory_bandwidth_gb_s / 1e6)
    if facts.flop is None:
        return [memory]
    return [(f"useful FLOP, {label}", facts.flop / peak / 1e9) for label, peak in rates if peak] + [memory]


def tensor_peaks(gpu: GpuSpec) -> list[tuple[str, float | None]]:
    """Dense tensor core peaks by the name the vendor gives the format."""
    peaks = gpu.dense_peak_tflops
    return [("TF32", peaks.tf32), ("BFLOAT16", peaks.bf16), ("FP16", peaks.fp16)]


def _template_name(context: Context) -> str:
    return f"{context.role}.md.j2"


def _variables(context: Context) -> dict[str, Any]:
    """The fields of the context as they are (models, not dictionaries: templates use their properties), and which kinds
    of operators the problem has: advice about others misleads. Where nothing is known of it, all of them."""
    fields = {name: getattr(context, name) for name in type(context).model_fields}
    inside = categories_in(context.facts)
    transposes, convolves, multiplies = (
        context.facts is None or not kinds.isdisjoint(inside)
        for kinds in ({"transposed_conv"}, {"transposed_conv", "conv"}, {"matmul"})
    )
    return {**fields, "transposes": transposes, "convolves": convolves, "multiplies": multiplies}


@lru_cache(maxsize=4)
def _environment(user: Path | None) -> "Environment":
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

    folders = [BUILT_IN_DIR] if user is None else [user, BUILT_IN_DIR]
    environment = Environment(  # noqa: S701 - prompts are plain text for a model; escaping would damage code
        loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        fenced=fenced,
        one_line=one_line,
        floors=floors,
        tensor_peaks=tensor_peaks,
        pairs=_pairs,
        pretty_json=_pretty_json,
        roofline=position_of,
        short_float=_short_float,
        sizes=_sizes,
        tail=_tail,
        shown_points=_shown_points,
    )
    return environment


def _pairs(mapping: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key}={_short_float(value) if isinstance(value, float) else value}" for key, value in mapping.items()
    )


def _pretty_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _short_float(value: float) -> str:
    return f"{value:g}"


def _sizes(shape: Iterable[int]) -> str:
    return f"({', '.join(map(str, shape))})"


def _shown_points(tuning: Tuning) -> list[TunedPoint]:
    """The points a prompt lists, in the order they were tried: the first ones, and always the chosen one."""
    chosen = [point for point in tuning.points if point.candidate_id == tuning.chosen]
    shown = [*tuning.points[:_SHOWN_POINTS]]
    return shown if not chosen or chosen[0] in shown else [*shown[:-1], *chosen]


def _tail(text: str, lines: int) -> str:
    return "\n".join(text.splitlines()[-lines:])
