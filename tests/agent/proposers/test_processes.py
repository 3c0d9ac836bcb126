"""What only whole processes show: Ctrl-C at once, the server as a program, and an import that stays cheap."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scripted_llm import Step

SERVER = Path(__file__).parents[2] / "scripted_llm.py"
ASK = """
import sys
from agent.proposers import Caller
from agent.proposers.openai import OpenAIProposer
proposer = OpenAIProposer("scripted", sys.argv[1], caller=Caller(on_wait=lambda *told: print("waiting", flush=True)))
try:
    proposer.propose(None, "p")
except KeyboardInterrupt:
    print("interrupted")
"""


@contextmanager
def python(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    "step",
    [
        Step(status=429, headers={"retry-after": "60"}),
        Step(text="late", delay_s=20.0),
        Step(text="a b c d e f g h", chunk_delay_s=3.0),
    ],
    ids=["during a wait", "before the first byte", "inside the stream"],
)
def test_ctrl_c_ends_the_call_at_once(server: Any, step: Step) -> None:
    server.play(step, then="repeat")
    with python("-c", ASK, server.url) as process:
        deadline = time.monotonic() + 20
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        pressed = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=10)
    assert output.endswith("interrupted\n") and process.returncode == 0
    assert time.monotonic() - pressed < 1.5 and len(server.requests) == 1


def test_the_server_as_a_program(tmp_path: Path) -> None:
    script = {"steps": [{"status": 503}, {"text": "hello", "usage": {"prompt_tokens": 1}}], "models": [{"id": "m"}]}
    (tmp_path / "script.json").write_text(json.dumps(script))
    log = tmp_path / "requests.jsonl"
    with python(str(SERVER), str(tmp_path / "script.json"), "--log", str(log)) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        answers = [_post(f"{url}/chat/completions", {"model": "m", "messages": []}) for _ in range(3)]
        assert [status for status, _ in answers] == [503, 200, 400]
        assert answers[1][1]["choices"][0]["message"]["content"] == "hello"
        assert answers[2][1]["error"]["type"] == "script_exhausted"
        with urllib.request.urlopen(f"{url}/models") as answer:
            assert json.load(answer)["data"] == [{"id": "m"}]
    assert [json.loads(line)["number"] for line in log.read_text().splitlines()] == [1, 2, 3]


def test_importing_and_naming_a_model_loads_no_sdk() -> None:
    program = (
        "import sys; from agent.proposers import proposer_for; proposer_for('m', 'http://127.0.0.1:9/v1');"
        "print([name for name in ('openai', 'genai_prices', 'httpx2', 'torch', 'triton') if name in sys.modules])"
    )
    with python("-c", program) as process:
        output, _ = process.communicate(timeout=30)
    assert output == "[]\n"


def _post(url: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
