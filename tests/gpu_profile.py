"""Which layers of the sandbox does Nsight Compute bear, and does the whole profile arrive? For a machine with a GPU.

    python3 tests/gpu_profile.py                 everything, each step in a process of its own
    python3 tests/gpu_profile.py step '{...}'    one step, as printed

Prints one line for each step. Limits: a report for a person; the tests of what it found stand in tests/evaluators.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from checkout import ROOT

STEP_S = 60
NCU_S = 20  # the tiny kernel
METRICS = (
    "gpu__time_duration.sum",
    "dram__bytes.sum",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "smsp__warp_issue_stalled_long_scoreboard_per_warp_active.pct",
)
CHIPS = "ga100,ga102,ad102,gh100,gb100,gb202"
TINY = (ROOT / "evaluators/inside/tiny_kernel.py").read_text()
ALL = ["sockets", "children", "tmp", "tracing", "counters"]
COMBINATIONS = [
    {"name": "no sandbox at all"},
    {"name": "all layers", "grants": []},
    {"name": "all + sockets", "grants": ["sockets"]},
    {"name": "all + counters", "grants": ["counters"]},
    {"name": "all + sockets + counters", "grants": ["sockets", "counters"]},
    {"name": "all + sockets + counters, by tcp", "grants": ["sockets", "counters"], "connection": "tcp"},
    {"name": "all + sockets + counters + tmp", "grants": ["sockets", "counters", "tmp"]},
    {"name": "as the rung tries first", "grants": ["sockets", "children", "counters"]},
    {"name": "all + everything granted", "grants": ALL},
    {"name": "everything granted, uid 0", "grants": ALL, "without": ["own_user"]},
    {"name": "everything granted, no seccomp", "grants": ALL, "without": ["seccomp"]},
    {"name": "everything granted, no landlock", "grants": ALL, "without": ["landlock"]},
    {"name": "everything granted, no own root", "grants": ALL, "without": ["own_root"]},
    {"name": "everything granted, no namespaces", "grants": ALL, "without": ["namespaces"]},
    {"name": "own root and user only", "grants": ALL, "without": ["seccomp", "landlock"]},
    {"name": "own user only", "grants": ALL, "without": ["seccomp", "landlock", "namespaces"]},
    {"name": "no layer", "grants": ALL, "without": ["seccomp", "landlock", "namespaces", "own_user"]},
]


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print("machine:", *machine(), sep="\n  ", flush=True)
    bears_all = False
    for each in COMBINATIONS:
        if "without" in each and bears_all:
            continue  # nothing needs to be dropped
        said = run({"do": "layers", **each})
        bears_all = bears_all or ("grants" in each and said.startswith("WORKS"))
    run({"do": "place"})
    run({"do": "profile"}, limit_s=150)
    run({"do": "profile", "cupti": True}, limit_s=100)
    run({"do": "unknown metric"})
    run({"do": "names"})


def run(step, limit_s=STEP_S):
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, __file__, "step", json.dumps(step)],
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        said = done.stdout.strip() or f"rc {done.returncode}: {done.stderr.strip()[-1500:]}"
    except subprocess.TimeoutExpired as late:
        said = f"TIMEOUT {(late.stdout or b'')[-500:]!r} {(late.stderr or b'')[-800:]!r}"
    print(f"[{time.monotonic() - began:5.1f} s] {step}\n    {said}", flush=True)
    return said


def machine():
    yield f"python {sys.version.split()[0]}, uid {os.getuid()}, kernel {os.uname().release}"
    yield from (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Cap"))
    params = Path("/proc/driver/nvidia/params")
    yield from re.findall(r".*Profiling.*", params.read_text() if params.exists() else "no /proc/driver/nvidia/params")
    yield str([path.name for path in Path("/dev").glob("nvidia*")])
    for command in ("which ncu; readlink -f $(which ncu)", "ncu --version | tail -1", "nvidia-smi -L"):
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)
        yield f"{command}: {(done.stdout + done.stderr).strip()}"


def layers(step):
    """One combination: the tiny kernel under ncu."""
    from evaluators.profiling import command, table

    line = [command.find_ncu() or "ncu", *command.options(METRICS), sys.executable, "tiny.py"]
    environment = dict(command.ENVIRONMENT)
    if "connection" in step:
        environment["NV_COMPUTE_PROFILER_LOCAL_CONNECTION_OVERRIDE"] = step["connection"]
    if "grants" not in step:
        answer, report, tier = bare(line, environment)
    else:
        answer, report, tier = boxed(step, line, environment)
    launches = table.read(report, METRICS)
    figures = [{**launch.values, "refused": dict(launch.refused)} for launch in launches]
    errors = [
        each for each in f"{answer.get('output', answer)}\n{report}".splitlines() if "==" in each or "rror" in each
    ]
    said = "WORKS" if launches and len(launches[0].values) == len(METRICS) else "no"
    tail = "" if said == "WORKS" else f" | {' / '.join(errors[-6:])[-900:]} | {str(answer)[-400:]}"
    print(f"{said:6}{tier} {figures}{tail}")
    if said == "WORKS" and step["name"] == "no sandbox at all":
        print("--- report as printed:\n" + "\n".join(line[:1500] for line in report.splitlines()[-4:]))


def bare(line, environment):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tiny.py").write_text(TINY)
        given = {**os.environ, **environment, "TMPDIR": folder}
        done = subprocess.run(line, cwd=folder, env=given, capture_output=True, text=True, timeout=NCU_S, check=False)
        report = Path(folder, "report.csv")
        text = report.read_text() if report.exists() else ""
        return {"exit_code": done.returncode, "output": done.stdout + done.stderr}, text, "-"


def boxed(step, line, environment):
    from sandbox import ChildEnded, Limits, Zygote

    arguments = {
        "command": line,
        "files": {"tiny.py": TINY},
        "inputs": "",
        "environment": environment,
        "report": "report.csv",
        "limit_s": NCU_S,
    }
    zygote = Zygote(
        ("evaluators.inside.command",), without=step.get("without", ()), grants=step["grants"], strictness="unsafe"
    )
    limits = Limits(wall_s=NCU_S + 10, memory_mb=32768, scratch_mb=1024, processes=256)
    with zygote, zygote.start("evaluators.inside.command:main", arguments, limits) as child:
        try:
            answer, report = child.receive(NCU_S + 10)
        except ChildEnded as ended:
            answer, report = {"output": f"{ended} {ended.outcome.output[-800:]}"}, b""
        return answer, report.decode(), zygote.tier.name


def place(step):
    """The combination that the rung itself settles on."""
    from evaluators.profiling.command import find_ncu
    from evaluators.profiling.place import Profiler

    profiler = Profiler()
    found = profiler.place(find_ncu() or "ncu")
    print(found.zygote.tier if found.zygote else "nowhere", found.note, found.reason)
    profiler.close()


def unknown_metric(step):
    """What ncu says of a name it does not know."""
    from evaluators.profiling import command, reasons

    line = [command.find_ncu() or "ncu", *command.options((*METRICS, "smsp__no_such_metric.pct")), sys.executable]
    answer, report, _ = bare([*line, "tiny.py"], command.ENVIRONMENT)
    text = f"{answer['output']}\n{report}"
    print(answer["exit_code"], reasons.unknown_metrics(text), [x for x in text.splitlines() if "==" in x][-6:])


def names(step):
    """Which of the stages' metrics each chip has, by ncu's own list."""
    from evaluators.profiling.command import find_ncu
    from evaluators.profiling.wanted import ALWAYS
    from prompts.stages import all_stages

    wanted = {m.name for stage in all_stages() for m in stage.metrics if m.origin == "measured"} | set(ALWAYS)
    bases = {name: name.split(".")[0] for name in sorted(wanted)}
    for chip in CHIPS.split(","):
        known = set()
        for collection in ("profiling", "launch", "occupancy"):
            done = subprocess.run(
                [find_ncu() or "ncu", "--query-metrics-collection", collection, "--chips", chip],
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            known |= {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
        absent = [name for name, base in bases.items() if base not in known and name not in known]
        stalls = sorted(name for name in known if "issue_stalled" in name and name.endswith("per_warp_active"))
        tensor = sorted(name for name in known if re.match(r"sm__(inst_executed_)?pipe_tensor", name))
        print(f"{chip}: {len(known)} known; absent: {absent}; stalls: {len(stalls)}; tensor: {tensor}")


def profile(step):
    """The rung itself on a built-in problem, with the metrics of every stage."""
    from evaluators import rungs
    from evaluators.candidate import Candidate
    from evaluators.gpu_catalog import load_gpu
    from evaluators.judge.device.bench import Bench
    from evaluators.judge.device.card import card
    from evaluators.judge.reference import Reference
    from evaluators.judge.zygotes import Zygotes
    from evaluators.problem_catalog import load_problem
    from evaluators.rungs import profile as rung
    from prompts.stages import all_stages

    if step.get("cupti"):
        rung.find_ncu = lambda: None
    problem = load_problem("convt3d-73")
    reference = Reference(problem)
    candidate = Candidate(language="triton", source=(ROOT / "examples/convt3d-73-by-ask-and-tell/best.py").read_text())
    names = tuple({m.name: 0 for stage in all_stages() for m in stage.metrics if m.origin == "measured"})
    with Zygotes(has_gpu=True) as zygotes, Bench(card(), zygotes, reference) as bench:
        task = rungs.Task(problem, candidate, load_gpu("h100"), reference, zygotes, bench=bench, metrics=names)
        for _ in range(2):  # the second time everything is started already
            began = time.monotonic()
            found = rung.check(task)
            print(f"{time.monotonic() - began:.1f} s", found.checks[0].status, found.checks[0].detail)
    if found.profile is not None:
        for metric in found.profile.metrics:
            print(f"    {metric.kernel[:40]:40} {metric.name:75} {metric.value:.6g} {metric.unit}")
        print("    missing", found.profile.missing, "note", found.profile.note)


STEPS = {"layers": layers, "place": place, "unknown metric": unknown_metric, "names": names, "profile": profile}

if __name__ == "__main__":
    if sys.argv[1:2] == ["step"]:
        step = json.loads(sys.argv[2])
        STEPS[step["do"]](step)
    else:
        main()
