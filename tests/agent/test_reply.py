"""The reply reader against the shapes replies really take."""

import json
import os
import time
from pathlib import Path

import pytest

from agent.behaviour import behaviour_of, program_of
from agent.knobs import check_knobs
from agent.proposers.playbook.emission import given_reply
from agent.reply import missing_in, read_reply
from evaluators.candidate import candidate_from
from evaluators.gpu_catalog import load_gpu
from evaluators.ladder import screened
from evaluators.problem_catalog import load_problem
from prompts.stages import load_stage

CODE = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def k(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    o = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + o, tl.load(x_ptr + o, mask=o < n), mask=o < n)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        k[(1,)](x, y, x.numel(), BLOCK=16)
        return y
"""
OTHER = CODE.replace("BLOCK=16", "BLOCK=32")
EMPTY = "import torch.nn as nn\n\n\nclass ModelNew(nn.Module):\n    def forward(self, x):\n        # implement here\n        pass\n"
BROKEN = CODE.replace("return y\n", "return y)\n")
HARNESS = (
    CODE
    + "\n\ndef get_inputs():\n    return [1]\n\n\ndef get_init_inputs():\n    return []\n\n\n"
    + ('if __name__ == "__main__":\n    print(ModelNew()(*get_inputs()))\n')
)
DOCSTRING = CODE.replace(
    "    def forward",
    '    """Usage:\n\n```python\nModelNew()(x)\n```\n\nand\n\n```\nmore\n```\n    """\n\n    def forward',
)
COMMENT_KERNEL = (
    "import torch.nn as nn\nfrom torch.utils.cpp_extension import load_inline\n"
    'SRC = """\n#include <torch/extension.h>\n// the kernel goes here\n"""\n'
    'e = load_inline(name="e", cpp_sources="", cuda_sources=SRC, functions=["f"])\n'
    "class ModelNew(nn.Module):\n    def forward(self, x):\n        return e.f(x)\n"
)


def fenced(code: str, tag: str = "python", mark: str = "```") -> str:
    return f"{mark}{tag}\n{code}{mark}\n"


CHOSEN = {
    "only a block": fenced(CODE),
    "text around": f"Some words.\n\n{fenced(CODE)}\nMore words.",
    "py tag": fenced(CODE, "py"),
    "Python3 tag": fenced(CODE, "Python3"),
    "triton tag": fenced(CODE, "triton"),
    "cuda tag on a Python file": fenced(CODE, "cuda"),
    "no tag": fenced(CODE, ""),
    "tildes": fenced(CODE, mark="~~~"),
    "four backticks": fenced(CODE, mark="````"),
    "attributes after the tag": fenced(CODE, 'python title="kernel.py"'),
    "file name after the tag": fenced(CODE, "python kernel.py"),
    "space before the tag": fenced(CODE, " python"),
    "carriage returns": fenced(CODE).replace("\n", "\r\n"),
    "indented in a list": "1. code\n\n" + "".join(f"    {line}\n" for line in fenced(CODE).splitlines()),
    "sentence that mentions a fence": f"Answer in ```python and ```cpp blocks.\n```python blocks are wanted.\n{fenced(CODE)}",
    "last of two": fenced(OTHER) + "better:\n" + fenced(CODE),
    "repeated to the limit": (fenced(CODE) + "\n") * 40 + "```python\n" + CODE[:200],
    "placeholder afterwards": fenced(CODE) + fenced(EMPTY) + fenced("# <optimized Triton code>\n"),
    "broken afterwards": fenced(CODE) + fenced(BROKEN),
    "cut-off tail afterwards": fenced(CODE) + "```python\n" + OTHER[:-20],
    "complete cut-off tail afterwards": fenced(CODE) + "```python\n" + OTHER,
    "comment-only CUDA afterwards": fenced(CODE) + fenced(COMMENT_KERNEL),
    "thinking first": f"<think>\nmaybe\n{fenced(OTHER)}\n</think>\nHere:\n{fenced(CODE)}",
    "thinking without its start": f"maybe\n{fenced(OTHER)}\n</think>\n\n{fenced(CODE)}",
    "unclosed fence in thinking": f"<think>\n```python\n{OTHER[:300]}\n</think>\n{fenced(CODE)}",
    "thinking never closed": f"<think>\nlet me see\n{fenced(CODE)}\nthen",
    "thinking in one line": f"<think>short</think>\n{fenced(CODE)}",
    "only a tail that is complete": "```python\n" + CODE,
    "fence glued to the last line": "```python\n" + CODE.rstrip() + "```",
    "no fence at all": CODE,
    "no fence, prose around": f"Here is the code.\n\n{CODE}\nThis kernel copies, doesn't it?",
    "fence opened inside a sentence": f"Code: ```python\n{CODE}```\nDone.",
    "stray fence before": f"words\n```\n\n{fenced(CODE)}\n```\nmore",
    "json": json.dumps({"plan": "copy", "code": CODE}),
    "json in a fence": fenced(json.dumps({"answer": {"code": CODE}}) + "\n", "json"),
    "json that holds a fence": json.dumps({"content": f"text\n{fenced(CODE)}"}),
    "cpp fence beside it": fenced("__global__ void k() {}\n", "cpp") + fenced(CODE) + fenced("int main() {}\n", "c++"),
    "diff beside it": fenced(CODE) + fenced("".join(f"+{line}\n" for line in OTHER.splitlines()), "diff"),
    "fences inside a docstring": fenced(DOCSTRING),
    "null bytes and controls": fenced(CODE.replace("import", "im\x00port").replace("tl.load", "tl\x1b.load")),
    "byte order mark": "\ufeff" + CODE,
    "right-to-left text": "\u202eنص\u202c עברית\n" + fenced(CODE),
}


@pytest.mark.parametrize("reply", CHOSEN.values(), ids=CHOSEN.keys())
def test_the_last_complete_model_is_chosen(reply: str) -> None:
    reading = read_reply(reply)
    assert reading.candidate is not None, reading
    assert reading.candidate.source == (DOCSTRING if "Usage:" in reply else CODE)
    assert sum(block.verdict.startswith("chosen") for block in reading.blocks) == 1


NOTHING = {
    "empty": ("", "no code"),
    "prose": ("I cannot do this.", "no code"),
    "placeholder": (fenced(EMPTY), "placeholder body"),
    "NotImplementedError": (fenced(EMPTY.replace("pass", "raise NotImplementedError('later')")), "placeholder body"),
    "comment-only CUDA": (fenced(COMMENT_KERNEL), "placeholder body"),
    "cut off": ("```python\n" + CODE[:-30], "cut off at the end"),
    "cut off before return": ("```python\n" + CODE.removesuffix("        return y\n"), "cut off at the end"),
    "no ModelNew": (fenced("x = 1\n"), "no ModelNew"),
    "no forward": (fenced("class ModelNew:\n    x = 1\n"), "no forward"),
    "cut off without a fence": (CODE.removesuffix("return y\n"), "none of"),
    "diff only": (fenced("".join(f"+{line}\n" for line in CODE.splitlines()), "diff"), "a diff is not code"),
    "cpp only": (fenced("__global__ void k() {}\n", "cpp"), "C++ outside the Python file"),
    "json without code": ('{"error": "quota"}', "no code"),
    "damaged json": ('{"code": "class ModelNew', "no code"),
}


@pytest.mark.parametrize(("reply", "reason"), NOTHING.values(), ids=NOTHING.keys())
def test_no_candidate_has_a_reason(reply: str, reason: str) -> None:
    reading = read_reply(reply)
    assert reading.candidate is None
    assert reason in reading.reason or any(reason in block.verdict for block in reading.blocks), reading


def test_only_broken_code_goes_to_the_screen_for_its_line() -> None:
    reading = read_reply(fenced(BROKEN))
    assert reading.candidate is not None and reading.candidate.source == BROKEN
    assert "syntax error line 17" in reading.blocks[0].verdict


def test_test_code_is_taken_off_unless_something_needs_it() -> None:
    assert read_reply(fenced(HARNESS)).candidate.source == CODE
    needed = CODE + "\n\ndef get_inputs():\n    return [4]\n\n\nN = get_inputs()[0]\n"
    assert read_reply(fenced(needed)).candidate.source == needed


def test_plan_is_the_prose_before_the_code() -> None:
    reply = f"# Title\n\nPlan: use **wider** tiles\nand fewer loads.\n\n{fenced(CODE)}\nafter"
    assert read_reply(reply).plan == "Plan: use wider tiles and fewer loads."
    assert read_reply(f"<think>\nsecret\n</think>\nWider tiles.\n{fenced(CODE)}").plan == "Wider tiles."
    assert len(read_reply("word " * 500 + "\n" + fenced(CODE)).plan) < 420


def test_blocks_are_listed_with_lines_and_verdicts() -> None:
    reading = read_reply("a\n" + fenced(EMPTY) + fenced(CODE) + fenced(CODE))
    assert [(block.first_line, block.tag) for block in reading.blocks][:2] == [(3, "python"), (12, "python")]
    assert [block.verdict.partition(",")[0].partition(" at")[0] for block in reading.blocks] == [
        "placeholder body",
        "duplicate of the block",
        "chosen",
    ]


PROSE = "a line of prose, with words that say little\n" * 12_000
LONG = {
    "prose": PROSE + fenced(CODE) + PROSE,
    "equal blocks": (fenced(CODE) + "\n") * 2500,
    "different blocks": "".join(fenced(CODE.replace("BLOCK=16", f"BLOCK={n}")) for n in range(2400)) + fenced(CODE),
}


@pytest.mark.parametrize("reply", LONG.values(), ids=LONG.keys())
def test_a_megabyte_is_read_quickly(reply: str) -> None:
    assert len(reply) > 900_000
    started = time.process_time()
    assert read_reply(reply).candidate.source == CODE
    assert time.process_time() - started < 1.0  # 0.04 to 0.2 s where it was measured


@pytest.mark.parametrize(
    "reply", ["```\n" * 200_000, "\n" * 800_000, "```python\nclass ModelNew:\n x='''\n```\n" * 20_000]
)
def test_degenerate_replies_end(reply: str) -> None:
    started = time.process_time()
    read_reply(reply)
    assert time.process_time() - started < 5.0  # about 1 s where it was measured


SEEDS = Path(os.environ.get("AGENT_SEEDS_DIR", Path(__file__).resolve().parents[2].parent / "shared/seeds"))
FACTS = {  # file -> python blocks seen, line the chosen one starts on, language
    "000": (1, 2, "triton"),
    "001": (2, 1383, "cuda"),
    "002": (14, 1143, "cuda"),
    "003": (2, 46, "triton"),
    "004": (5, 1569, "cuda"),
}


@pytest.mark.parametrize("seed", FACTS)
def test_seed_replies(seed: str) -> None:
    found = sorted(SEEDS.glob(f"{seed}_*.txt"))
    if not found:
        pytest.skip(f"no seed replies in {SEEDS}")
    reading = read_reply(found[0].read_text())
    blocks, line, language = FACTS[seed]
    python = [block for block in reading.blocks if block.tag == "python"]
    chosen = [block for block in python if block.verdict.startswith("chosen")]
    assert (len(python), [block.first_line for block in chosen]) == (blocks, [line])
    assert reading.candidate.language == language
    verdicts = " | ".join(block.verdict for block in python)
    assert verdicts.count("duplicate") == (10 if seed == "002" else 0)
    assert ("cut off at the end" in verdicts) == (seed == "002")
    assert ("syntax error line 60" in verdicts) == (seed == "004")
    assert ("placeholder" in verdicts) == (seed in ("002", "003"))


QUOTED = "\n".join(f"> {line}" for line in f"```python\n{CODE}```".split("\n"))
DISGUISED = {
    "end mark after the fence": f"```python\n{CODE}```<|im_end|>\n",
    "end mark without a fence": f"```python\n{CODE}</s>",
    "quoted": f"As you asked:\n\n{QUOTED}\n",
    "no-break spaces": f"```python\n{CODE}```\n".replace("    ", "\u00a0" * 4),
    "zero-width spaces": f"```python\n{CODE}```\n".replace("class", "\u200bclass"),
    "a tool call": f"<tool_call>\n{json.dumps({'name': 'submit', 'arguments': {'code': CODE}})}\n</tool_call>",
    "HTML": f"```python\n{CODE}```\n".replace("<", "&lt;").replace(">", "&gt;"),
    "code on the line of the fence": f"```python {CODE}```\n",
}


@pytest.mark.parametrize("text", DISGUISED.values(), ids=DISGUISED.keys())
def test_what_servers_and_pages_put_around_code_is_taken_off(text):
    reading = read_reply(text)
    assert reading.candidate is not None, reading.reason
    assert reading.candidate.source.strip() == CODE.strip()


NESTED = {
    "minus": f"x = {'-' * 50_000}1",
    "dots": f"x = y{'.a' * 60_000}",
    "names": "".join(f"a{i} = a{i + 1}\n" for i in range(3000)),
}


@pytest.mark.parametrize("text", NESTED.values(), ids=NESTED.keys())
def test_a_reply_nested_without_end_is_read_described_and_refused(text):
    """None of what the loop does with a reply before the judge may raise: the attempt would be lost."""
    source = f"{CODE}\n\n{text}\na3000 = a0\n"
    reading = read_reply(f"```python\n{source}```\n")
    assert reading.candidate is not None
    assert program_of(source) and behaviour_of(source) and check_knobs(load_stage("tuning"), CODE, source)
    refused = screened(load_problem("convt3d"), candidate_from(source), load_gpu("4090"))
    assert "nested too deeply" in refused.message


@pytest.mark.parametrize(
    "text", [CODE, EMPTY, BROKEN, HARNESS, DOCSTRING, f"Plan: p\n\n```python\n{CODE}```\n", "x = 1", ""]
)
def test_given_code_is_refused_exactly_where_the_reply_that_hands_it_on_would_be(text):
    assert bool(missing_in(text)) == (read_reply(given_reply(text)).candidate is None)
