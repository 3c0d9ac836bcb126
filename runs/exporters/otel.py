"""A run as OpenTelemetry spans in OTLP JSON: what a collector takes as a file or at /v1/traces. Needs no library.

    invoke_agent kernel-agent > attempt N > chat MODEL, execute_tool evaluate_kernel

Ids follow from the run's id, so that sending a run twice gives the same spans. Texts of prompts and replies are left
out.

Limits: times are those of the journal: when an attempt began, how long it took, how long the judge took at its end.
"""

import hashlib
import json
import math
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

from evaluators.errors import MachineError, UsageError
from runs.exporters.fields import PROVIDER, call_fields, evaluation_fields, run_fields
from runs.nouns import Attempt
from runs.report.reading import Reading
from runs.store import write_durably

_WALL_S = 20.0
_INTERNAL, _CLIENT = 1, 3
_OK, _ERROR = 1, 2


def send(reading: Reading, *, output: Path | None, endpoint: str | None) -> str:
    """Write the spans to a file, send them to a collector, or return them; says what was done."""
    text = json.dumps(spans(reading))
    if endpoint:
        return _post(endpoint.rstrip("/") + "/v1/traces", text)
    if output:
        write_durably(output, text + "\n", option="-o")
        return f"wrote {output}"
    return text


def spans(reading: Reading) -> dict[str, Any]:
    """The whole run as one OTLP request."""
    attempts = reading.state.attempts
    first = _nanoseconds(reading.run.created_at if reading.run else attempts[0].started_at if attempts else "")
    ends = [_nanoseconds(attempt.started_at) + round(attempt.seconds * 1e9) for attempt in attempts]
    fields = run_fields(reading)
    times = (first, max([first, *ends]))
    root = _span(reading, "run", parent="", times=times, name=f"invoke_agent {PROVIDER}", fields=fields)
    below = [span for attempt in attempts for span in _attempt_spans(reading, attempt, root["spanId"])]
    scope = {"scope": {"name": PROVIDER}, "spans": [root, *below]}
    resource = {"attributes": _attributes({"service.name": PROVIDER})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def _attempt_spans(reading: Reading, attempt: Attempt, parent: str) -> list[dict[str, Any]]:
    start = _nanoseconds(attempt.started_at)
    end = start + round(attempt.seconds * 1e9)
    evaluation = attempt.evaluation
    judged_s = evaluation.duration_s if evaluation and attempt.reused_from is None else 0.0
    asked = max(start, end - round(judged_s * 1e9))
    name = f"attempt {attempt.number}"
    about: dict[str, str | int | float] = {"kernel.attempt": attempt.number, "kernel.stage": attempt.stage}
    if attempt.parent is not None:
        about["kernel.parent_attempt"] = attempt.parent
    whole = _span(reading, name, parent=parent, times=(start, end), name=name, fields=about)
    model = reading.run.config.model if reading.run else "unknown"
    call = _span(
        reading,
        f"{name} chat",
        parent=whole["spanId"],
        times=(start, asked),
        name=f"chat {model}",
        fields=call_fields(reading, attempt),
    )
    call["kind"] = _CLIENT
    tool = _span(
        reading,
        f"{name} tool",
        parent=whole["spanId"],
        times=(asked, end),
        name="execute_tool evaluate_kernel",
        fields=evaluation_fields(attempt),
    )
    tool["status"] = {"code": _ERROR if evaluation and evaluation.verdict == "failed" else _OK}
    return [whole, call, tool]


def _span(
    reading: Reading,
    key: str,
    *,
    parent: str,
    times: tuple[int, int],
    name: str,
    fields: dict[str, str | int | float],
) -> dict[str, Any]:
    return {
        "traceId": _id(reading.id, 32),
        "spanId": _id(f"{reading.id} {key}", 16),
        **({"parentSpanId": parent} if parent else {}),
        "name": name,
        "kind": _INTERNAL,
        "startTimeUnixNano": str(times[0]),
        "endTimeUnixNano": str(times[1]),
        "attributes": _attributes(fields),
    }


def _attributes(fields: dict[str, str | int | float]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in fields.items()]


def _value(value: str | int | float) -> dict[str, Any]:
    match value:
        case int():
            return {"intValue": str(value)}  # 64-bit integers are strings in JSON
        case float() if math.isfinite(value):
            return {"doubleValue": value}
        case _:
            return {"stringValue": str(value).encode("utf-8", "replace").decode()}


def _id(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def _nanoseconds(moment: str) -> int:
    try:
        return round(datetime.fromisoformat(moment).timestamp() * 1e3) * 1_000_000
    except ValueError:
        return 0


def _post(address: str, text: str) -> str:
    if not address.startswith(("http://", "https://")):
        raise UsageError(f"{address} is no address of a collector; e.g. --endpoint http://localhost:4318")
    request = urllib.request.Request(  # noqa: S310 - http(s) only, checked above
        address, text.encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_WALL_S) as answer:  # noqa: S310 - as above
            return f"sent to {address}: {answer.status}"
    except (urllib.error.URLError, TimeoutError) as error:
        raise MachineError(f"cannot send to {address}: {getattr(error, 'reason', error)}") from None
