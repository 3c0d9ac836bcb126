"""One model behind a real socket: what is sent, what is read, what it cost, and when the next request is made."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from scripted_llm import Step, serving

from agent.proposers import Caller, Proposal
from agent.proposers.errors import BrokenReply, EmptyReply, KeyRefused, Overloaded, ProposerError, Unreachable
from agent.proposers.openai import OpenAIProposer
from agent.proposers.retries import Retries

QUICK = Retries(attempts=4, first_wait_s=0.005, longest_wait_s=0.01)
BUSY = Step(status=503)


class Asking:
    """A proposer at the scripted server, with everything it told its caller."""

    def __init__(self, server: Any, *, remaining_s: float | None = None, **options: Any) -> None:
        self.waits: list[tuple[float, str]] = []
        caller = Caller(remaining_s=lambda: remaining_s, on_wait=lambda *told: self.waits.append(told))
        options.setdefault("retries", QUICK)
        self.proposer = OpenAIProposer("scripted", server.url, caller=caller, **options)

    def __call__(self, prompt: str = "write a kernel") -> Proposal:
        return self.proposer.propose(None, prompt)  # type: ignore[arg-type]


Opener = Callable[..., Asking]


@pytest.fixture
def asking() -> Iterator[Opener]:
    """`asking(server, ...)` gives an Asking whose connections are closed after the test."""
    opened: list[Asking] = []

    def open_one(server: Any, **options: Any) -> Asking:
        opened.append(Asking(server, **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.proposer.close()


def test_reply_reasoning_and_usage_are_read(server: Any, asking: Opener) -> None:
    usage = {
        "prompt_tokens": 1000,
        "prompt_tokens_details": {"cached_tokens": 600},
        "completion_tokens": 50,
        "completion_tokens_details": {"reasoning_tokens": 30},
        "cost": 0.0125,
    }
    server.play(Step(text="a  reply\nin two lines ", reasoning="because", usage=usage, model="scripted-2026"))
    proposal = asking(server)()
    assert (proposal.reply, proposal.reasoning, proposal.model) == (
        "a  reply\nin two lines ",
        "because",
        "scripted-2026",
    )
    told = proposal.usage
    assert (told.input_tokens, told.cached_input_tokens, told.output_tokens, told.reasoning_tokens) == (
        1000,
        600,
        50,
        30,
    )
    assert (told.cost_usd, told.cost_source, told.requests) == (0.0125, "provider", 1)
    assert proposal.finish_reason == "stop" and proposal.request_ids == ("req-1",)
    body = server.requests[0]["body"]
    assert body["messages"] == [{"role": "user", "content": "write a kernel"}]
    assert body["stream"] is True and body["stream_options"] == {"include_usage": True} and body["max_tokens"] == 16384


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_under_either_name(server: Any, asking: Opener, field: str) -> None:
    server.play(Step(text="code", reasoning="thought", reasoning_field=field))
    assert asking(server)().reasoning == "thought"


def test_a_price_nobody_states_is_unknown_and_not_zero(server: Any, asking: Opener) -> None:
    server.play(Step(text="x"), Step(text="x", omits_usage=True))
    ask = asking(server)
    priced, bare = ask().usage, ask().usage
    assert (priced.cost_usd, priced.cost_source) == (None, "unknown") and priced.output_tokens == 1
    assert (bare.cost_usd, bare.cost_source) == (None, "unknown (the endpoint sent no usage)")


def test_server_that_ignores_streaming_is_read(server: Any, asking: Opener) -> None:
    server.play(Step(text="whole answer", reasoning="r", ignores_stream=True, usage={"prompt_tokens": 7, "cost": 0.5}))
    proposal = asking(server)()
    assert (proposal.reply, proposal.reasoning, proposal.finish_reason) == ("whole answer", "r", "stop")
    assert (proposal.usage.input_tokens, proposal.usage.cost_usd) == (7, 0.5)


def test_truncated_reply_is_a_proposal_that_says_so(server: Any, asking: Opener) -> None:
    server.play(Step(text="half a ker", finish_reason="length"), Step(text="", reasoning="hm", finish_reason="length"))
    ask = asking(server)
    assert (ask().finish_reason, ask().reply, len(server.requests)) == ("length", "", 2)


def test_surrogates_in_prompt_and_reply_become_valid_text(server: Any, asking: Opener) -> None:
    event = '{"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\ndata: {"choices":[{"index":0,"delta":{"content":"\\ude00\\ud800"}}]}'
    server.play(Step(event_in_stream=event))
    assert asking(server)("lone \ud800 half").reply == "\N{GRINNING FACE}\N{REPLACEMENT CHARACTER}"
    assert server.requests[0]["body"]["messages"][0]["content"] == "lone ? half"


def test_cut_stream_then_rate_limit_then_good_is_three_requests(server: Any, asking: Opener) -> None:
    server.play(
        Step(text="a b c", cut_after_chunks=1), Step(status=429, headers={"retry-after-ms": "20"}), Step(text="good")
    )
    ask = asking(server)
    proposal = ask()
    assert (proposal.reply, len(server.requests), proposal.usage.requests) == ("good", 3, 3)
    assert [seconds for seconds, _ in ask.waits][1] == 0.02
    assert "broke off" in ask.waits[0][1] and "limits the request rate (429" in ask.waits[1][1]
    assert proposal.usage.cost_source == "unknown (1 without usage not counted)"
    assert server.requests[2]["at"] - server.requests[1]["at"] >= 0.02
    assert proposal.request_ids == ("req-1", "req-2", "req-3")


def test_usage_of_a_broken_reply_is_counted_where_the_provider_sent_it(server: Any, asking: Opener) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "cost": 0.25}
    broken = Step(text="a b c", cut_after_chunks=2, usage=usage, usage_in_chunks=True)
    server.play(broken, Step(text="good", usage=usage))
    total = asking(server)().usage
    assert (total.cost_usd, total.input_tokens, total.requests, total.cost_source) == (0.5, 20, 2, "provider")
    server.play(broken, then="repeat")
    with pytest.raises(BrokenReply) as caught:
        asking(server)()
    assert (caught.value.usage.cost_usd, caught.value.usage.requests) == (1.0, 4)


TRANSIENT = {
    "no finish reason": (Step(text="x", finish_reason=None), BrokenReply, "without a finish reason"),
    "error event": (
        Step(text="x", error_in_stream={"message": "engine died", "code": 502}),
        BrokenReply,
        "engine died",
    ),
    "event that is not JSON": (Step(text="x", event_in_stream="{broken"), BrokenReply, "not JSON"),
    "finish reason error": (Step(text="x", finish_reason="error"), BrokenReply, "an error of the model's server"),
    "empty choices": (Step(text="x", empty_choices=True), EmptyReply, "without any choice"),
    "empty choices, whole": (Step(empty_choices=True, ignores_stream=True), EmptyReply, "without any choice"),
    "blank text": (Step(text=" \n"), EmptyReply, "no text"),
    "proxy's 502 page": (
        Step(status=502, raw="<html><h1>502 Bad Gateway</h1></html>"),
        Overloaded,
        "502: 502 Bad Gateway",
    ),
    "overloaded": (
        Step(status=529, error={"message": "Overloaded", "type": "overloaded_error"}),
        Overloaded,
        "Overloaded",
    ),
    "conflict": (Step(status=409), Overloaded, "cannot answer now"),
}


@pytest.mark.parametrize("name", TRANSIENT)
def test_transient_failures_are_retried_and_end_in_one_clear_error(server: Any, asking: Opener, name: str) -> None:
    step, kind, words = TRANSIENT[name]
    server.play(step, Step(text="recovered"))
    assert asking(server)().reply == "recovered"
    assert len(server.requests) == 2
    server.play(step, then="repeat")
    with pytest.raises(kind) as caught:
        asking(server)()
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert len(server.requests) == QUICK.attempts == caught.value.usage.requests


@pytest.mark.parametrize("headers", [{"retry-after": "300"}, {"retry-after-ms": "300000"}, {"retry-after": "DATE"}])
def test_a_wait_beyond_the_limit_is_not_begun(server: Any, asking: Opener, headers: dict[str, str]) -> None:
    in_an_hour = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))
    headers = {name: value.replace("DATE", in_an_hour) for name, value in headers.items()}
    server.play(Step(status=429, headers=headers))
    started = time.monotonic()
    with pytest.raises(Overloaded, match=r"more than the 120 s waited at most.*agent resume") as caught:
        asking(server)()
    assert time.monotonic() - started < 5 and len(server.requests) == 1
    assert caught.value.usage.cost_usd == 0.0


def test_a_wait_beyond_the_end_of_the_run_is_not_begun(server: Any, asking: Opener) -> None:
    server.play(Step(status=429, headers={"retry-after": "30"}))
    with pytest.raises(Overloaded, match="the run has 4 s left"):
        asking(server, remaining_s=4.0)()
    assert len(server.requests) == 1


def test_x_should_retry_false_is_obeyed(server: Any, asking: Opener) -> None:
    server.play(Step(status=503, headers={"x-should-retry": "false"}))
    with pytest.raises(Overloaded):
        asking(server)()
    assert len(server.requests) == 1


def test_a_silent_server_is_given_up_and_asked_again(server: Any, asking: Opener) -> None:
    server.play(Step(text="late", delay_s=0.6), Step(text="in time"))
    ask = asking(server, silence_timeout_s=0.2)
    proposal = ask()
    assert proposal.reply == "in time" and "nothing in time" in ask.waits[0][1]
    assert proposal.usage.cost_source.endswith("(1 without usage not counted)")


@pytest.mark.parametrize(("script", "tries"), [([], 1), ([Step(text="x")], 4), ([Step(status=401)], 4)])
def test_a_refused_connection_is_retried_only_where_the_endpoint_has_answered(
    asking: Opener, script: list[Step], tries: int
) -> None:
    with serving(script) as server:
        ask = asking(server)
        for _ in script:
            with suppress(KeyRefused):
                ask()
    with pytest.raises(Unreachable, match=r"no connection to http://127\.0\.0\.1:.*start the server there") as caught:
        ask()
    assert len(ask.waits) == tries - 1 and caught.value.usage.requests == tries


def test_loopback_is_reached_past_a_proxy_of_the_environment(
    server: Any, asking: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.play(Step(text="direct"))
    assert asking(server)().reply == "direct"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dead_proxy_is_named_without_its_login(asking: Opener, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    class Somewhere:
        url = f"{scheme}://models.invalid/v1"

    monkeypatch.setenv(f"{scheme.upper()}_PROXY", "http://user:hunter2@127.0.0.1:9")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-something")
    with pytest.raises(Unreachable, match=r"through the proxy 127.0.0.1:9: check HTTPS_PROXY") as caught:
        asking(Somewhere)()
    assert "hunter2" not in str(caught.value)


def test_eight_threads_share_one_client(server: Any, asking: Opener) -> None:
    server.play(Step(text="x", delay_s=0.2), then="repeat")
    ask, replies = asking(server), list[str]()
    threads = [threading.Thread(target=lambda: replies.append(ask().reply)) for _ in range(8)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == ["x"] * 8 and time.monotonic() - started < 1.4  # one after the other would take 1.6 s


def test_close_ends_a_wait(server: Any, asking: Opener) -> None:
    server.play(Step(status=429, headers={"retry-after": "60"}))
    ask, ended = asking(server), list[ProposerError]()

    def propose() -> None:
        try:
            ask()
        except ProposerError as error:
            ended.append(error)

    thread = threading.Thread(target=propose)
    thread.start()
    while not ask.waits:
        time.sleep(0.01)
    ask.proposer.close()
    thread.join(5)
    assert not thread.is_alive() and len(ended) == 1 and len(server.requests) == 1


def test_requests_are_the_log_of_the_server(server: Any, asking: Opener) -> None:
    server.play(BUSY, Step(text="x"))
    asking(server)()
    assert json.dumps(server.requests) and [request["body"]["model"] for request in server.requests] == ["scripted"] * 2
