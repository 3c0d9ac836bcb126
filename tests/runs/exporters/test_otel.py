"""A run as spans: well formed, linked, the same each time, and taken by a collector's address."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from evaluators.errors import MachineError, UsageError
from runs.exporters import otel
from runs.report.reading import read_run


@pytest.fixture
def reading(recorded):
    return read_run(recorded.path)


def spans_of(document):
    return document["resourceSpans"][0]["scopeSpans"][0]["spans"]


def fields(span):
    return {item["key"]: next(iter(item["value"].values())) for item in span["attributes"]}


def test_attempts_are_below_the_run_and_calls_below_attempts(reading):
    spans = spans_of(otel.spans(reading))
    by_id = {span["spanId"]: span for span in spans}
    assert len(by_id) == len(spans) == 1 + 3 * 4
    root, *below = spans
    assert "parentSpanId" not in root and all(span["parentSpanId"] in by_id for span in below)
    assert {span["traceId"] for span in spans} == {root["traceId"]} and len(root["traceId"]) == 32
    for span in below:
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
    calls = [fields(span) for span in spans if span["name"] == "chat a-model"]
    assert calls[0]["gen_ai.usage.input_tokens"] == "100" and calls[0]["kernel.cost_usd"] == 0.0125
    verdicts = [fields(span) for span in spans if "evaluate_kernel" in span["name"]]
    assert [fields["gen_ai.evaluation.score.label"] for fields in verdicts] == ["failed", "passed", "none", "passed"]
    assert verdicts[1]["kernel.estimated_bound_ms"] == 3.25 and verdicts[0]["error.type"] == "incorrect_numerical"
    assert otel.spans(reading) == otel.spans(reading)


def test_it_goes_to_a_file_or_to_a_collector(reading, tmp_path):
    taken = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            taken.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words):
            pass

    otel.send(reading, output=tmp_path / "spans.json", endpoint=None)
    assert json.loads((tmp_path / "spans.json").read_text()) == otel.spans(reading)
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.handle_request).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert "200" in otel.send(reading, output=None, endpoint=address)
    assert taken == [("/v1/traces", otel.spans(reading))]
    with pytest.raises(MachineError, match=address):
        otel.send(reading, output=None, endpoint=address)
    with pytest.raises(UsageError, match="endpoint"):
        otel.send(reading, output=None, endpoint="file:///etc")
