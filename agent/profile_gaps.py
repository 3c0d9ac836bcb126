"""What a profiler was asked for and did not deliver, as warnings for whoever watches the run.

Limits: said when it changes, not at every attempt; the prompt says it every time (prompts/templates/parts/evidence).
"""

from evaluators.evaluation import Evaluation
from runs.state import RunState


def gaps(evaluation: Evaluation | None, before: RunState) -> list[str]:
    """One line for each reason that the last profile of the run did not give."""
    profiles = [attempt.evaluation.profile for attempt in before.attempts if attempt.evaluation]
    last = next((profile for profile in reversed(profiles) if profile), None)
    said = set(last.missing.items()) if last else set()
    profile = evaluation.profile if evaluation else None
    new = dict((profile.missing if profile else {}).items() - said)
    by_reason: dict[str, list[str]] = {}
    for name, reason in sorted(new.items()):
        by_reason.setdefault(reason, []).append(name)
    lines = [f"not measured: {', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    return [*lines[:-1], f"{lines[-1]} ({profile.note})"] if lines and profile and profile.note else lines
