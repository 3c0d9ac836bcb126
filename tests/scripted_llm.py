"""A scripted OpenAI-compatible server on loopback: real sockets, real bytes, one scripted step per request.

As test support:   with serving([Step(status=429), Step(text="hello")]) as server: ... server.url, server.requests
As a program:      python tests/scripted_llm.py SCRIPT.json [--port N] [--log REQUESTS.jsonl]
                   prints its base URL as the first line, serves until it is ended

SCRIPT.json is a list of steps, or {"steps": [...], "then": "fail" | "repeat", "models": [...]}; the fields of a step are those
of `Step`. `then` says what follows the last step: a loud error (default) or the last step again. GET /requests returns the log.

Limits: a stream is cut between chunks (the connection closes without its end); a connection is never refused - use a free
port for that.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


@dataclass(frozen=True)
class Step:
    """What one request is answered with."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    error: dict[str, Any] | None = None  # body {"error": ...}; from status 400 on there always is one
    raw: str | None = None  # the whole body, verbatim, as `content_type`
    content_type: str = "text/html"
    delay_s: float = 0.0  # before the first byte
    chunk_delay_s: float = 0.0  # between chunks
    reasoning: str = ""
    reasoning_field: str = "reasoning_content"
    usage: dict[str, Any] | None = None  # None: counted in words
    omits_usage: bool = False
    usage_in_chunks: bool = False  # every chunk carries the usage so far, as vLLM can
    finish_reason: str | None = "stop"
    cut_after_chunks: int | None = None  # close the connection after this many text chunks
    error_in_stream: dict[str, Any] | None = None  # sent as an event in place of the finish
    event_in_stream: str | None = None  # a raw `data:` line in place of the finish
    empty_choices: bool = False
    ignores_stream: bool = False  # answers one JSON object although a stream was asked for
    model: str | None = None  # as named in the answer; None: as asked for


EXHAUSTED = Step(status=400, error={"message": "the script holds no further step", "type": "script_exhausted"})


class ScriptedLLM:
    """The application and its log; `script` may be replaced between tests by `play`."""

    def __init__(self, steps: list[Step], then: Literal["fail", "repeat"] = "fail", log: Path | None = None) -> None:
        self.url = ""
        self.models: list[dict[str, Any]] = [{"id": "scripted", "object": "model"}]
        self._log = log
        self.play(*steps, then=then)
        chat = Route("/v1/chat/completions", self._chat, methods=["POST"])
        models = Route("/v1/models", self._models)
        self.app = Starlette(routes=[chat, models, Route("/requests", self._requests)])

    def play(self, *steps: Step, then: Literal["fail", "repeat"] = "fail") -> None:
        """Begin a new script and an empty log."""
        self._steps, self._then = steps, then
        self.requests: list[dict[str, Any]] = []

    def _next_step(self) -> Step:
        number = len(self.requests)
        if number <= len(self._steps):
            return self._steps[number - 1]
        return self._steps[-1] if self._then == "repeat" and self._steps else EXHAUSTED

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        entry = {"at": time.time(), "headers": dict(request.headers), "body": body}
        self.requests.append(entry)
        step = self._next_step()
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as log:
                log.write(json.dumps({"number": len(self.requests), **entry}) + "\n")
        await asyncio.sleep(step.delay_s)
        return _answer(step, body, len(self.requests))

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": self.models})

    async def _requests(self, request: Request) -> Response:
        return JSONResponse(self.requests)


def _answer(step: Step, body: dict[str, Any], number: int) -> Response:
    headers = {"x-request-id": f"req-{number}", **step.headers}
    if step.raw is not None:
        return Response(step.raw, step.status, headers, media_type=step.content_type)
    if step.error is not None or step.status >= 400:
        error = step.error or {"message": "scripted failure", "type": "server_error", "param": None, "code": None}
        return JSONResponse({"error": error}, step.status, headers)
    if step.ignores_stream or not body.get("stream"):
        return JSONResponse(_whole(step, body, number), headers=headers)
    return StreamingResponse(_events(step, body, number), media_type="text/event-stream", headers=headers)


def _usage(step: Step, body: dict[str, Any]) -> dict[str, Any]:
    if step.usage is not None:
        return step.usage
    prompt = sum(len(str(message.get("content")).split()) for message in body.get("messages", ()))
    output = len(step.text.split()) + len(step.reasoning.split())
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


def _whole(step: Step, body: dict[str, Any], number: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": step.text}
    if step.reasoning:
        message[step.reasoning_field] = step.reasoning
    choice = {"index": 0, "message": message, "finish_reason": step.finish_reason}
    return {
        **_head(step, body, number, "chat.completion"),
        "choices": [] if step.empty_choices else [choice],
        "usage": _usage(step, body),
    }


def _head(step: Step, body: dict[str, Any], number: int, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{number}", "created": 0, "model": step.model or body.get("model"), "object": kind}


async def _events(step: Step, body: dict[str, Any], number: int) -> AsyncIterator[str]:
    head = _head(step, body, number, "chat.completion.chunk")
    usage = {"usage": _usage(step, body)}

    def event(delta: dict[str, Any], finish: str | None = None) -> str:
        choices = [] if step.empty_choices else [{"index": 0, "delta": delta, "finish_reason": finish}]
        return _data({**head, "choices": choices, **(usage if step.usage_in_chunks else {})})

    yield event({"role": "assistant", "content": ""})
    if step.reasoning:
        yield event({step.reasoning_field: step.reasoning})
    for index, piece in enumerate(_pieces(step.text)):
        if index == step.cut_after_chunks:
            raise _Cut
        yield event({"content": piece})
        await asyncio.sleep(step.chunk_delay_s)
    if step.event_in_stream is not None:
        yield f"data: {step.event_in_stream}\n\n"
    if step.error_in_stream is not None:
        yield _data({"error": step.error_in_stream})
        return
    yield event({}, step.finish_reason)
    if (body.get("stream_options") or {}).get("include_usage") and not step.omits_usage:
        yield _data({**head, "choices": [], **usage})
    yield "data: [DONE]\n\n"


class _Cut(Exception):
    """Makes the server close the connection in the middle of an answer."""


def _data(record: dict[str, Any]) -> str:
    return f"data: {json.dumps(record)}\n\n"


def _pieces(text: str) -> list[str]:
    """The text in chunks of one word and the blank after it, so that joining them gives the text."""
    words = text.split(" ")
    return [word + " " for word in words[:-1]] + words[-1:]


@contextlib.contextmanager
def serving(steps: list[Step] | None = None, **options: Any) -> Iterator[ScriptedLLM]:
    """A server in a thread of this process, listening when the block begins and gone when it ends."""
    scripted = ScriptedLLM(steps or [], **options)
    listener = _listener(0)
    server = _server(scripted)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    scripted.url = _base_url(listener)
    try:
        yield scripted
    finally:
        server.should_exit = server.force_exit = True
        thread.join(5)
        listener.close()


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def _base_url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def _server(scripted: ScriptedLLM) -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(scripted.app, log_config=None, log_level="critical", lifespan="off"))


def main(arguments: list[str]) -> int:
    """Serve a script file until ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("script", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    chosen = parser.parse_args(arguments)
    script = json.loads(chosen.script.read_text(encoding="utf-8"))
    script = {"steps": script} if isinstance(script, list) else script
    scripted = ScriptedLLM([Step(**step) for step in script["steps"]], script.get("then", "fail"), chosen.log)
    scripted.models = script.get("models", scripted.models)
    listener = _listener(chosen.port)
    print(_base_url(listener), flush=True)
    _server(scripted).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
