"""A run whose texts try to break out of the page, and a browser to look at it with."""

import os
import shutil

import measured
import pytest
from browser import Browser

from evaluators.candidate import candidate_from
from evaluators.evaluation import Check, Failed, Passed
from evaluators.measurement import Metric, Profile
from prompts.context import Analysis, TunedPoint, Tuning
from runs.nouns import Attempt, Attempted
from runs.record import open_record
from runs.store import now

PLANT = "document.documentElement.dataset.owned='yes'"
BREAKOUT = (
    f'</script></pre></style></title>--><script>{PLANT}</script><img src=x onerror="{PLANT}">'
    f'<svg onload="{PLANT}"><a href="javascript:{PLANT}">x</a>{{{{ 7*191 }}}} \x00 \x1b[31m \u202e desrever'
)

POINT = TunedPoint(
    values={"NUM_WARPS": 8, BREAKOUT: BREAKOUT},
    candidate_id="0123456789abcdef",
    verdict="failed",
    detail=BREAKOUT,
    registers=77,
    spills=0,
    shared_memory_bytes=4096,
    theoretical_occupancy_pct=25.0,
    estimate_ms=1.25,
)


@pytest.fixture
def planted(recorded):
    """The recorded run with one more attempt: hostile words wherever a model or a candidate can put any."""
    source = f"# {BREAKOUT}\nx = 1\n# {'a' * 500_000}\n"
    failed = Failed(
        candidate_id=candidate_from(source).id,
        problem="scale",
        gpu="rtx-4090",
        rung="build",
        kind="compile_error",
        message=BREAKOUT,
        checks=(Check(name="build", status="failed", detail=BREAKOUT), Check(name=BREAKOUT, status="not_checked")),
        build_log=BREAKOUT,
        scope=(BREAKOUT,),
        environment={"triton": BREAKOUT},
        timing=measured.timing(device=BREAKOUT, baselines=measured.baselines(BREAKOUT)),
        profile=Profile(
            source="ncu",
            device=BREAKOUT,
            metrics=(Metric(kernel=BREAKOUT, name=BREAKOUT, value=1.0, unit=BREAKOUT, source="ncu"),),
            missing={BREAKOUT: BREAKOUT},
            note=BREAKOUT,
        ),
    )
    attempt = Attempt(
        number=6,
        parent=2,
        stage=BREAKOUT[:40],
        role="optimize",
        plan=BREAKOUT,
        candidate_id=failed.candidate_id,
        evaluation=failed,
        decision="discard",
        reason=BREAKOUT,
        started_at=now(),
        seconds=1.0,
        families=(BREAKOUT, "direct"),
        analysis=Analysis(bottleneck=BREAKOUT, method=BREAKOUT, plan=BREAKOUT, expected_gain=BREAKOUT),
        tuning=Tuning(points=(POINT,), chosen=POINT.candidate_id, note=BREAKOUT),
    )
    timed = Passed(**failed.model_dump(exclude={"verdict", "rung", "kind", "message"}))
    again = {"number": 7, "evaluation": timed, "decision": "keep"}
    with open_record(recorded) as record:
        record.append(Attempted(attempt=attempt))
        record.append(Attempted(attempt=attempt.model_copy(update=again)))
    for name, text in (("prompt.md", BREAKOUT), ("reply.md", BREAKOUT * 3), ("kernel.py", source)):
        recorded.write(6, name, text)
    for name in ("kernel.ptx", "kernel.sass"):
        recorded.write(6, name, BREAKOUT)
    return recorded


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    with Browser(program, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser
