"""What is never retried: one request, the right family of error, one line that says what to do - and no key anywhere."""

import io
import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from scripted_llm import Step

from agent.proposers import Caller
from agent.proposers.errors import (
    BadEndpoint,
    ContentFiltered,
    ContextTooLong,
    KeyRefused,
    ProposerError,
    QuotaExhausted,
    RequestRefused,
    UnknownModel,
)
from agent.proposers.openai import OpenAIProposer
from agent.proposers.retries import Retries
from evaluators.errors import MachineError, UsageError

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"
QUICK = Retries(attempts=3, first_wait_s=0.005, longest_wait_s=0.01)


def error(status: int, message: str, **fields: Any) -> Step:
    return Step(status=status, error={"message": message, **fields})


@pytest.fixture
def proposer(server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIProposer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    one = OpenAIProposer("gpt-9", server.url, caller=Caller(), retries=QUICK)
    yield one
    one.close()


def failure_of(proposer: OpenAIProposer) -> ProposerError:
    with pytest.raises(ProposerError) as caught:
        proposer.propose(None, "write a kernel")  # type: ignore[arg-type]
    assert str(caught.value).isprintable() and len(str(caught.value)) < 700
    assert isinstance(caught.value, UsageError | MachineError)
    return caught.value


QUOTA = "You exceeded your current quota, please check your plan and billing details."
PAGE = "<!DOCTYPE html><html><head><style>p {}</style></head><body><h1>Sign in</h1></body></html>"
REFUSALS = {
    "quota": (error(429, QUOTA, type="insufficient_quota", code="insufficient_quota"), QuotaExhausted, "add credit"),
    "billing limit": (
        error(429, "Billing hard limit", code="billing_hard_limit_reached"),
        QuotaExhausted,
        "add credit",
    ),
    "payment required": (
        error(402, "Insufficient Balance", code="invalid_request_error"),
        QuotaExhausted,
        "add credit",
    ),
    "anthropic credit": (
        error(400, "Your credit balance is too low to access the Anthropic API.", type="invalid_request_error"),
        QuotaExhausted,
        "add credit",
    ),
    "wrong key": (
        error(401, f"Incorrect API key provided: {KEY}.", code="invalid_api_key"),
        KeyRefused,
        "OPENAI_API_KEY",
    ),
    "forbidden": (error(403, "Country, region, or territory not supported"), KeyRefused, "OPENAI_API_KEY"),
    "unknown model": (
        error(404, "The model `gpt-9` does not exist or you do not have access to it.", code="model_not_found"),
        UnknownModel,
        "'gpt-9'",
    ),
    "unknown model, ollama": (error(404, "model 'gpt-9' not found", type="not_found_error"), UnknownModel, "pull"),
    "unknown model, openrouter": (error(400, "gpt-9 is not a valid model ID", code=400), UnknownModel, "/v1/models"),
    "no such path": (error(404, "Not Found"), BadEndpoint, "check --base-url"),
    "no such path, page": (Step(status=404, raw="<h1>404 page not found</h1>"), BadEndpoint, "404 page not found"),
    "page with 200": (Step(raw=PAGE), BadEndpoint, "text/html instead of a completion (Sign in)"),
    "page with 403": (Step(status=403, raw=PAGE), BadEndpoint, "a proxy or firewall?"),
    "proxy login": (Step(status=407, raw=""), BadEndpoint, "asks for a login (407)"),
    "json of something else": (
        Step(raw='{"status": "ok"}', content_type="application/json"),
        BadEndpoint,
        "--base-url",
    ),
    "not json": (Step(raw="hello", content_type="application/json"), BadEndpoint, "(hello)"),
    "filtered prompt": (
        error(400, "The response was filtered", code="content_filter"),
        ContentFiltered,
        "another model",
    ),
    "filtered reply": (Step(text="I", finish_reason="content_filter"), ContentFiltered, "another model"),
    "invalid request": (error(400, "messages: at least one message is required"), RequestRefused, "--model"),
    "invalid, detail list": (
        Step(status=422, raw='{"detail": [{"msg": "field required"}]}', content_type="application/json"),
        RequestRefused,
        "field required",
    ),
}
CONTEXT = {
    "openai": (
        400,
        {"message": "This model's maximum context length is 8192 tokens.", "code": "context_length_exceeded"},
    ),
    "vllm": (
        400,
        {
            "message": "You passed 1015 input tokens and requested 10 output tokens. However, the model's context length is "
            "only 1024 tokens, resulting in a maximum input length of 1014 tokens.",
            "type": "BadRequestError",
            "param": "input_tokens",
            "code": 400,
        },
    ),
    "llama.cpp": (
        400,
        {
            "code": 400,
            "message": "the request exceeds the available context size. try increasing the context size",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 14429,
            "n_ctx": 8192,
        },
    ),
    "llama.cpp 500": (500, {"code": 500, "message": "context size exceeded", "type": "exceed_context_size_error"}),
    "anthropic": (
        400,
        {"type": "invalid_request_error", "message": "prompt is too long: 200534 tokens > 200000 maximum"},
    ),
    "anthropic, sum": (400, {"message": "input length and `max_tokens` exceed context limit: 199900 + 64000 > 200000"}),
    "bedrock": (400, {"message": "Input is too long for requested model.", "type": None, "code": None}),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_are_told_apart_and_not_retried(server: Any, proposer: OpenAIProposer, name: str) -> None:
    step, kind, words = REFUSALS[name]
    server.play(step, then="repeat")
    failure = failure_of(proposer)
    assert type(failure) is kind and isinstance(failure, UsageError), failure
    assert words in str(failure)
    assert len(server.requests) == 1 == failure.usage.requests
    assert KEY not in str(failure) + repr(failure)


@pytest.mark.parametrize("name", CONTEXT)
def test_context_overflow_is_recognised_in_every_dialect(server: Any, proposer: OpenAIProposer, name: str) -> None:
    status, body = CONTEXT[name]
    server.play(Step(status=status, error=body), then="repeat")
    assert type(failure_of(proposer)) is ContextTooLong
    assert len(server.requests) == 1


def test_context_overflow_inside_a_stream(server: Any, proposer: OpenAIProposer) -> None:
    server.play(Step(error_in_stream={"message": "prompt is too long: 9 tokens > 8 maximum"}), then="repeat")
    assert type(failure_of(proposer)) is ContextTooLong
    server.play(
        Step(raw='{"error": {"message": "prompt is too long"}}', content_type="application/json"), then="repeat"
    )
    assert type(failure_of(proposer)) is ContextTooLong
    assert len(server.requests) == 1


def test_a_long_page_is_cut_to_one_short_line(server: Any, proposer: OpenAIProposer) -> None:
    server.play(Step(raw="<html>\x1b[31m" + "word\n" * 5000))
    assert len(str(failure_of(proposer))) < 500


LIMITS = {
    "gpt-4": "max_tokens is too large: 16384. This model supports at most 4096 completion tokens.",
    "deepseek": "Invalid max_tokens value, the valid range of max_tokens is [1, 4096]",
    "anthropic": "max_tokens: 16384 > 4096, which is the maximum allowed number of output tokens for claude",
    "vllm": "'max_tokens' is too large: 16384. This model's maximum context length is 8192 tokens and your request has "
    "4096 input tokens (16384 > 8192 - 4096).",
    "openai": "This model's maximum context length is 8192 tokens. However, you requested 20480 tokens (4096 in the "
    "messages, 16384 in the completion).",
    "anthropic, context": "input length and `max_tokens` exceed context limit: 195904 + 16384 > 200000",
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_reply_limit_the_model_cannot_keep_is_lowered_to_what_it_says(
    server: Any, proposer: OpenAIProposer, name: str
) -> None:
    server.play(error(400, LIMITS[name]), Step(text="x"), Step(text="y"))
    for _ in range(2):
        proposer.propose(None, "p")  # type: ignore[arg-type]
    assert [request["body"]["max_tokens"] for request in server.requests] == [16384, 4096, 4096]


def test_the_other_name_of_the_reply_limit_is_tried_once_and_kept(server: Any, proposer: OpenAIProposer) -> None:
    told = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    refused = error(400, told, code="unsupported_parameter", param="max_tokens", type="invalid_request_error")
    server.play(refused, Step(text="x"), Step(text="y"))
    for _ in range(2):
        proposer.propose(None, "p")  # type: ignore[arg-type]
    names = [sorted(set(request["body"]) & {"max_tokens", "max_completion_tokens"}) for request in server.requests]
    assert names == [["max_tokens"], ["max_completion_tokens"], ["max_completion_tokens"]]
    server.play(error(400, "Unknown parameter: max_completion_tokens", param="max_completion_tokens"), then="repeat")
    assert type(failure_of(proposer)) is RequestRefused
    assert len(server.requests) == 1


def test_stream_options_are_left_out_where_they_are_refused(server: Any, proposer: OpenAIProposer) -> None:
    server.play(error(422, "Extra inputs are not permitted: stream_options"), Step(text="x"))
    assert proposer.propose(None, "p").reply == "x"  # type: ignore[arg-type]
    assert "stream_options" not in server.requests[1]["body"]


def test_the_key_is_sent_and_shown_nowhere(
    server: Any, proposer: OpenAIProposer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Everything a failure leaves behind - messages, causes, tracebacks with locals' reprs, logs, output - is searched."""
    caplog.set_level(logging.DEBUG)
    told = f"bad key {KEY}, Authorization: Bearer {KEY}, and sk-other-abcdefgh12345678"
    seen = io.StringIO()
    steps = [
        error(401, told),
        error(500, told),
        Step(raw=told),
        Step(error_in_stream={"message": told}),
        Step(text=" "),
    ]
    for step in steps:
        server.play(step, then="repeat")
        failure = failure_of(proposer)
        assert failure.__cause__ is None and failure.__context__ is None
        frames = traceback.TracebackException.from_exception(failure, capture_locals=True)
        seen.write("".join(frames.format()) + repr(failure) + repr(failure.usage))
    assert all(request["headers"]["authorization"] == f"Bearer {KEY}" for request in server.requests)
    seen.write(repr(proposer) + repr(proposer.endpoint) + caplog.text + "".join(capfd.readouterr()))
    assert "bad key [key]" in seen.getvalue()
    assert KEY not in seen.getvalue() and "sk-other-abcdefgh12345678" not in seen.getvalue()
