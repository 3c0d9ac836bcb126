"""`python tests/bench_strategies.py`: the strategies compared. Printed, never asserted.

First the same ten replies for each, from a scripted server with prices, one at a time and as up to three in flight;
then a made-up author over many seeds.

The author is a program: it writes one of three families with a tile, fails a third of the time, repairs most failures,
and improves what it is shown by one step. The verdicts are a table with one best family. Limits: a toy; it shows how a
strategy spends attempts and prompt length, not how a real model would do.
"""

import argparse
import os
import random
import re
import statistics
import tempfile
import time
from pathlib import Path

import checkout  # noqa: F401 - the packages below are found by it
from numbered_author import Author as Numbered
from scripted_llm import Step, serving
from search_bench import REPLIES, Bench, reply

from agent.proposers import Proposal

SEEDS, ATTEMPTS = 30, 20
FAMILIES = ("direct", "gemm", "scatter")


class Author:
    """Deterministic given its seed and what it is asked."""

    name = "made-up author"

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.prompt_chars = 0

    def propose(self, context, prompt: str) -> Proposal:  # type: ignore[no-untyped-def]
        self.prompt_chars += len(prompt)
        family, tile = self._code(context)
        fails = self._chance.random() < (0.4 if context.role == "repair" else 0.33)
        marker = f"ID = {self._chance.random()}"  # never the same text twice
        text = reply(family, -1 if fails else tile, f"{family} with tile {tile}", marker)
        return Proposal(reply=text, model=self.name)

    def _code(self, context) -> tuple[str, int]:  # type: ignore[no-untyped-def]
        if context.base is None or context.role == "propose":
            tried = [family for family in FAMILIES if f"{family} with" in context.hint]
            return self._chance.choice([f for f in FAMILIES if f not in tried] or FAMILIES), self._start()
        family = re.search(r"FAMILY = '(\w+)'", context.base.source)[1]
        tile = abs(int(re.search(r"TILE = (-?\d+)", context.base.source)[1]))
        if context.role == "repair":
            return family, max(tile, 16)
        if context.stage.key == "algorithm" and self._chance.random() < 0.3:
            return self._chance.choice(FAMILIES), tile
        return family, max(1, tile + self._chance.choice((-32, -16, 16, 32)))

    def _start(self) -> int:
        return self._chance.choice((16, 256, 512))

    def worst_case_cost_usd(self, prompt: str) -> float | None:
        return 0.0

    def worst_case_tokens(self, prompt: str) -> int:
        return 0


def same_replies() -> None:
    """Attempts, best, tokens and dollars of every strategy with the same ten replies; seconds with replies of 0.3 s."""
    os.environ["OPENAI_API_KEY"] = "sk-test-0123456789"
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        server.models = [{"id": "gpt-4o", "pricing": {"prompt": "0.0000025", "completion": "0.00001"}}]
        for strategy in ("linear", "beam:width=2,branching=2", "evolve:islands=2,migration=2"):
            bench = Bench(server, Path(folder))
            server.play(*(Step(text=text) for text in REPLIES))
            _, state = bench.go(bench.begin(strategy), max_attempts=len(REPLIES), max_cost_usd=2.0)
            best, usage = state.best, state.usage
            print(
                f"{strategy}: {len(state.attempts)} attempts, {len(bench.table.asked)} judged, "
                f"best {best.evaluation.estimate.value_ms:g} ms in attempt {best.number}, "
                f"{usage.input_tokens} + {usage.output_tokens} tokens, ${usage.cost_usd:.4f}",
                end="",
            )
            for parallel in (1, 3):
                author = Numbered(REPLIES, delays_s=dict.fromkeys(range(11), 0.3))
                started = time.perf_counter()
                _, state = bench.go(bench.begin(strategy, parallel=parallel), author, max_attempts=len(REPLIES))
                took_s = time.perf_counter() - started
                print(
                    f"; --parallel {parallel}: best {state.best.evaluation.estimate.value_ms:g} ms, {took_s:.1f} s",
                    end="",
                )
            print()


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    same_replies()
    first: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for strategy in ("linear", "beam:width=2", "beam:width=3", "evolve:islands=2"):
            bests, chars, judged = [], [], []
            for seed in range(SEEDS):
                author, bench = Author(seed), Bench(None, Path(folder))
                _, state = bench.go(bench.begin(strategy), proposer=author, max_attempts=ATTEMPTS)
                best = state.best
                bests.append(best.evaluation.estimate.value_ms if best else 99.0)
                chars.append(author.prompt_chars)
                judged.append(len(bench.table.asked))
            first = first or bests
            gaps = [best - other for best, other in zip(bests, first, strict=True)]
            error = statistics.stdev(gaps) / SEEDS**0.5
            print(
                f"{strategy}: median best {statistics.median(bests):.2f} ms, mean {statistics.mean(bests):.2f}, "
                f"worst {max(bests):.2f} (optimum 2); "
                f"paired with linear {statistics.mean(gaps):+.2f} +- {error:.2f} (standard error); {statistics.mean(judged):.1f} judged; "
                f"{statistics.mean(chars) / 1000:.0f} k characters of prompts"
            )


if __name__ == "__main__":
    main()
