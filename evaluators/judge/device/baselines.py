"""The library at its settings: what a kernel is compared with. Measured in the judge, which never runs a candidate.

    eager               the reference as a user would run it
    fp32_highest        TF32 switched off
    cudnn_benchmark     cuDNN tries its algorithms first
    channels_last       weights and input in channels-last order, output left so (a contract of its own, and a hard one)
    compile             torch.compile
    compile_max_autotune
    bf16                for information

Each with its own error against float64. The quick set is measured with every problem; the compiled ones take seconds to
minutes and are measured once (`agent bench-baselines`), kept by the machine's fingerprint and used from then on.

Limits: one input drawn anew for every sample, L2 emptied before it; device events, since this process is trusted.
"""

import contextlib
import copy
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from evaluators.judge.device.card import Card
from evaluators.judge.device.published import Published, full_precision
from evaluators.measurement import Baseline, Baselines, Latency, PrecisionClass
from evaluators.problem import Problem

QUICK = ("eager", "fp32_highest", "cudnn_benchmark", "channels_last")
ALL = (*QUICK, "compile", "compile_max_autotune", "bf16")
_SAMPLES, _BUDGET_MS = 15, 1500.0
_LEAST_SAMPLES = 5
_FORM = 2  # of what is kept: 1 measured errors on a single batch item, where the library may compute otherwise

Run = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True)
class _Setting:
    """How inputs are prepared (outside the clock) and what is run under which switches."""

    prepare: Callable[[Sequence[Any]], list[Any]]
    run: Run
    switches: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext


def baselines_of(problem: Problem, published: Published, card: Card, *, full: bool = False) -> Baselines:
    """Baselines of a problem on this card: kept ones where they are as full as asked for, else measured now."""
    path = _path(problem, card)
    kept = _read(path)
    names = ALL if full else QUICK
    if kept and {baseline.name for baseline in kept.measured} >= set(names):
        return kept
    measured = tuple(_measured(name, published, card) for name in names)
    found = Baselines(device=card.name, precision="tf32" if published.is_tf32 else "fp32", measured=measured)
    _write(path, found)
    return found


def _measured(name: str, published: Published, card: Card) -> Baseline:
    try:
        setting = _setting(name, published)
        with setting.switches(), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            latency = _latency(setting, published, card)
            error = _error(setting, published)
    except Exception as failure:  # noqa: BLE001 - the library may raise anything; one setting that fails is a note
        text = (str(failure).strip().splitlines() or [""])[0][:200]
        return Baseline(name=name, note=f"not measured: {type(failure).__name__}: {text}")
    finally:
        torch.cuda.empty_cache()
    return Baseline(name=name, latency=latency, error=error, precision=_class_of(error, published))


def _class_of(error: float, published: Published) -> PrecisionClass:
    tolerance = published.tolerance
    if error <= tolerance.error_multiple * max(published.fp32_error, tolerance.floor):
        return "fp32"
    if error <= tolerance.tf32_error_multiple * tolerance.tf32_floor:
        return "tf32"
    return "bf16" if error <= 2e-2 else "worse"


def _latency(setting: _Setting, published: Published, card: Card) -> Latency:
    """Device-event time of one call, ms: warm, with other inputs each time."""
    scratch = torch.empty(card.flush_mb << 20, dtype=torch.uint8, device="cuda")
    taken: list[float] = []
    for sample in range(_SAMPLES + 2):
        inputs = setting.prepare(published.draw())
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        scratch.zero_()
        before.record()
        setting.run(inputs)
        after.record()
        torch.cuda.synchronize()
        if sample >= 2:  # the first calls compile and choose algorithms
            taken.append(before.elapsed_time(after))
        if len(taken) >= _LEAST_SAMPLES and sum(taken) > _BUDGET_MS:
            break
    low, middle, high = np.percentile(taken, [20, 50, 80])
    return Latency(median_ms=float(middle), p20_ms=float(low), p80_ms=float(high), samples=len(taken))


def _error(setting: _Setting, published: Published) -> float:
    return published.error_of(lambda inputs: setting.run(setting.prepare(inputs)))


def _setting(name: str, published: Published) -> _Setting:
    model = published.model
    plain = _Setting(list, lambda inputs: model(*inputs))
    if name == "fp32_highest":
        return _Setting(plain.prepare, plain.run, full_precision)
    if name == "cudnn_benchmark":
        return _Setting(plain.prepare, plain.run, _benchmarking)
    if name == "channels_last":
        return _channels_last(model, published)
    if name in ("compile", "compile_max_autotune"):
        mode = "max-autotune" if name == "compile_max_autotune" else "default"
        compiled = torch.compile(copy.deepcopy(model), mode=mode)
        return _Setting(list, lambda inputs: compiled(*inputs))
    if name == "bf16":
        half = copy.deepcopy(model).bfloat16()
        return _Setting(lambda inputs: [_as(torch.bfloat16, v) for v in inputs], lambda inputs: half(*inputs))
    return plain


def _channels_last(model: torch.nn.Module, published: Published) -> _Setting:
    ranks = {v.dim() for v in published.draw() if isinstance(v, torch.Tensor)}
    formats = {frozenset({4}): torch.channels_last, frozenset({5}): torch.channels_last_3d}
    order = formats.get(frozenset(ranks))
    if order is None:
        raise ValueError("the inputs are not all images or all volumes")
    rearranged = copy.deepcopy(model).to(memory_format=order)  # type: ignore[call-overload]

    def prepare(inputs: Sequence[Any]) -> list[Any]:
        return [v.to(memory_format=order) if isinstance(v, torch.Tensor) else v for v in inputs]

    return _Setting(prepare, lambda inputs: rearranged(*inputs))


def _as(dtype: torch.dtype, value: Any) -> Any:
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value


@contextmanager
def _benchmarking() -> Iterator[None]:
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _path(problem: Problem, card: Card) -> Path:
    """Where the baselines of this problem on this machine are kept."""
    key = json.dumps([_FORM, problem.id, card.uuid, card.fingerprint], sort_keys=True)
    home = Path(os.environ.get("HOME") or tempfile.gettempdir())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return cache / "kernel-agent" / "baselines" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _read(path: Path) -> Baselines | None:
    try:
        return Baselines.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _write(path: Path, found: Baselines) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written costs a second, no error
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(found.model_dump_json())
        new.replace(path)
