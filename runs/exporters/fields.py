"""What a run and its attempts are called in other tools: the names of OpenTelemetry GenAI, and ours where it has none.

Limits: recorded values; an estimated bound stays in a field of its own name and is never called a latency or a score.
The score of an evaluation is the measured speedup over eager, where there is one.
"""

from evaluators.evaluation import Evaluation
from runs.measured import timing_of
from runs.nouns import Attempt
from runs.report.reading import Reading

PROVIDER = "kernel-agent"


def run_fields(reading: Reading) -> dict[str, str | int | float]:
    """The run: who wrote the kernels, of what, for what."""
    config = reading.run.config if reading.run else None
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": PROVIDER,
        "gen_ai.conversation.id": reading.id,
        "gen_ai.request.model": config.model if config else "unknown",
        "kernel.problem": config.problem if config else "unknown",
        "kernel.gpu": config.gpu if config else "unknown",
        "kernel.attempts": len(reading.state.attempts),
        "kernel.best_attempt": reading.state.best.number if reading.state.best else 0,
    }


def call_fields(reading: Reading, attempt: Attempt) -> dict[str, str | int | float]:
    """The call of the model, or of the playbook."""
    usage = attempt.usage
    model = reading.run.config.model if reading.run else "unknown"
    fields: dict[str, str | int | float] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": model,
        "gen_ai.conversation.id": reading.id,
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_input_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "kernel.requests": usage.requests,
    }
    return fields if usage.cost_usd is None else {**fields, "kernel.cost_usd": usage.cost_usd}


def _timing_fields(evaluation: Evaluation) -> dict[str, str | int | float]:
    """What was measured, and on which device."""
    timing = timing_of(evaluation)
    if timing is None:
        return {}
    found = {
        "kernel.measured_ms": timing.latency.median_ms,
        "kernel.measured_p20_ms": timing.latency.p20_ms,
        "kernel.measured_p80_ms": timing.latency.p80_ms,
        "kernel.floor_share_pct": timing.floor_share_pct,
        "kernel.speedup_over_eager": timing.speedup_over_eager,
        "kernel.speedup_over_best_baseline": timing.speedup_over_best,
        "gen_ai.evaluation.score.value": timing.speedup_over_eager,
    }
    return {"kernel.device": timing.device, **{name: value for name, value in found.items() if value is not None}}


def evaluation_fields(attempt: Attempt) -> dict[str, str | int | float]:
    """The verdict, as a tool the agent called."""
    evaluation = attempt.evaluation
    fields: dict[str, str | int | float] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "evaluate_kernel",
        "gen_ai.evaluation.name": "verdict",
        "gen_ai.evaluation.score.label": evaluation.verdict if evaluation else "none",
        "kernel.decision": attempt.decision,
    }
    if evaluation is None:
        return fields
    if evaluation.kind:
        fields["error.type"] = evaluation.kind
    fields |= _timing_fields(evaluation)
    if evaluation.estimate:
        fields["kernel.estimated_bound_ms"] = evaluation.estimate.value_ms
    if evaluation.numeric_error:
        fields["kernel.relative_error"] = evaluation.numeric_error.worst
    if evaluation.kernels:
        fields["kernel.registers"] = max(kernel.registers for kernel in evaluation.kernels)
        fields["kernel.spills"] = max(kernel.spills for kernel in evaluation.kernels)
    return fields
