"""Rendered for the seed's problem, GPU, stage, code and metrics, our prompt carries every fact the seed prompt carries."""

import json
import re

from evaluators.gpu_catalog import load_gpu
from evaluators.judge.facts import facts_of
from evaluators.problem_catalog import load_problem
from prompts.render import prompt_for
from prompts.stages import load_stage


def ours(seed):
    problem = load_problem("convt3d")
    code = re.search(r"(?ms)^\[CURRENT CODE\]\n```python\n(.*?)^```$", seed)[1]
    metrics = json.loads(re.search(r"(?ms)^\[NCU PROFILING METRICS\]\n(\{.*?^\})$", seed)[1])
    text = prompt_for(
        problem, load_gpu("4090"), load_stage("memory"), facts=facts_of(problem), code=code, metrics=metrics
    )
    return text, code, metrics


def section(seed, start, end):
    return [line.strip() for line in seed[seed.index(start) : seed.index(end)].splitlines()[1:] if line.strip()]


def without_punctuation(text):
    return re.sub(r"[^\w{},∈<%]+", " ", text.replace("•", "")).strip().lower()


def test_every_gpu_line(seed_003):
    text, _, _ = ours(seed_003)
    ours_flat = without_punctuation(text)
    lines = section(seed_003, "# Target GPU", "[OPTIMIZATION STAGE]")
    assert len(lines) == 16
    for line in lines:
        name, _, value = line.removeprefix("• ").partition(":")
        value = value.strip().replace(" with dense", " dense")
        own = next(own for own in text.splitlines() if own.removeprefix("- ").lower().startswith(name.lower()))
        assert value in own, (line, own)
        assert without_punctuation(name) in ours_flat


def test_stage_focus_metrics_rules_and_autotune(seed_003):
    text, _, _ = ours(seed_003)
    flat = without_punctuation(text)
    lines = section(seed_003, "## Current Optimization Stage", "[CURRENT CODE]")
    facts = [line.removeprefix("- ") for line in lines if line not in ("Metrics:", "Rules:", "Autotune:")]
    assert len(facts) == 8
    for fact in facts:
        assert without_punctuation(fact) in flat, fact


def test_code_metrics_and_task(seed_003):
    text, code, metrics = ours(seed_003)
    assert code in text
    (profile,) = metrics.values()
    assert len(profile) == 5
    for name, value in profile.items():
        assert f'"{name}": {value}' in text
    assert "conv_transpose3d_kernel" in text
    task = "generate optimized code that maximizes performance"
    assert task in seed_003
    assert task in text


def test_output_rules(seed_003):
    text, _, _ = ours(seed_003)
    flat = without_punctuation(text)
    wanted = section(seed_003, "OUTPUT RULES (STRICT):", "# <optimized Triton code>")
    facts = [re.sub(r"^\d\. ", "", line) for line in wanted if not line.startswith("```")]
    assert len(facts) == 6
    for fact in facts:
        ours_says = fact.replace("Follow this exact order:", "in this exact order:")
        assert without_punctuation(ours_says) in flat, fact
    assert "# <optimized Triton code>" in text
    assert "FASTEST possible" in text


def test_what_the_seed_lacks(seed_003):
    text, _, _ = ours(seed_003)
    for part in ("class Model(nn.Module)", "# Last attempts", "# Accuracy", "useful FLOP: 1288 GFLOP", "NOT delivered"):
        assert part in text
        assert part not in seed_003
