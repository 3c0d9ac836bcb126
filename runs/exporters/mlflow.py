"""A run as one MLflow run: parameters, one step of metrics per attempt. Needs the extra `mlflow`.

Limits: figures only; an estimated bound is logged under that name.
"""

from pathlib import Path

from evaluators.errors import UsageError
from runs.exporters.fields import call_fields, evaluation_fields, run_fields
from runs.report.reading import Reading


def send(reading: Reading, *, output: Path | None, endpoint: str | None) -> str:
    """Log the run to the tracking server at `endpoint`, or to the one MLflow is configured for."""
    try:
        import mlflow
    except ImportError:
        raise UsageError("--to mlflow needs mlflow: pip install 'kernel-agent[mlflow]'") from None
    if output is not None:
        raise UsageError("--to mlflow writes no file; give a tracking URI with --endpoint")
    if endpoint:
        mlflow.set_tracking_uri(endpoint)
    mlflow.set_experiment("kernel-agent")
    with mlflow.start_run(run_name=reading.id):
        mlflow.log_params(run_fields(reading))
        for attempt in reading.state.attempts:
            fields = {**call_fields(reading, attempt), **evaluation_fields(attempt)}
            numbers = {name: float(value) for name, value in fields.items() if not isinstance(value, str)}
            mlflow.log_metrics(numbers, step=attempt.number)
    return f"logged {len(reading.state.attempts)} attempts to {mlflow.get_tracking_uri()}"
