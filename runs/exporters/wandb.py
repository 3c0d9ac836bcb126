"""A run as one Weights & Biases run: configuration, one step per attempt. Needs the extra `wandb`.

Limits: figures and verdicts, no texts. Where it goes and whether it goes out at all is wandb's own configuration
(WANDB_MODE=offline keeps it here).
"""

from pathlib import Path

from evaluators.errors import UsageError
from runs.exporters.fields import call_fields, evaluation_fields, run_fields
from runs.report.reading import Reading


def send(reading: Reading, *, output: Path | None, endpoint: str | None) -> str:
    """Log the run."""
    try:
        import wandb
    except ImportError:
        raise UsageError("--to wandb needs wandb: pip install 'kernel-agent[wandb]'") from None
    if output is not None or endpoint is not None:
        raise UsageError("--to wandb takes neither -o nor --endpoint; see WANDB_MODE and WANDB_BASE_URL")
    run = wandb.init(project="kernel-agent", name=reading.id, config=run_fields(reading))
    for attempt in reading.state.attempts:
        run.log({**call_fields(reading, attempt), **evaluation_fields(attempt)}, step=attempt.number)
    run.finish()
    return f"logged {len(reading.state.attempts)} attempts"
