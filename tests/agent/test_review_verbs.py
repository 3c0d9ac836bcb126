"""diff, stats, report, show, export, verify, export-run as users meet them: real processes on a recorded run."""

import importlib.util
import json
import os
import pty
import shlex
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.commands.verify import held_against
from agent.exits import final_words, summary
from evaluators.evaluation import Unverified, evaluation_adapter
from evaluators.problem import ProblemFacts, TensorFact
from evaluators.problem_catalog import load_problem
from runs.export import export_best
from runs.exports.card import kernel_code, read_card
from runs.memory import MemoryStore, Outcome
from runs.state import AWAITED
from runs.store import RunDirectory

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("runs_conftest", ROOT / "tests" / "runs" / "conftest.py")
runs_conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runs_conftest)
recorded = runs_conftest.recorded
SMALL = ROOT / "tests" / "evaluators" / "data" / "reference_small.py"


def agent(recorded, *arguments, **environment):
    env = {**os.environ, "AGENT_RUNS_DIR": str(recorded.path.parent), **environment}
    command = [sys.executable, "-m", "agent", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=recorded.path.parent, check=False)


def test_diff_says_what_changed_in_code_and_figures(recorded):
    done = agent(recorded, "diff", "last", "1", "2")
    assert done.returncode == 0, done.stderr
    assert "code: +1 -1 lines" in done.stdout and "no figure that both have differs" in done.stdout
    assert "\x1b" not in done.stdout
    found = json.loads(agent(recorded, "diff", "last", "2", "4", "--json").stdout)
    assert found["difference"] == "" and (found["before"], found["after"]) == (2, 4)
    assert agent(recorded, "diff", "last", "1", "9").returncode == 2
    by_default = json.loads(agent(recorded, "diff", "--json").stdout)
    assert (by_default["before"], by_default["after"]) == (1, 2), "the best with its parent"
    alone = agent(recorded, "diff", "last", "1")
    assert alone.returncode == 2 and "built on nothing earlier" in alone.stderr


def test_diff_says_whose_code_is_missing_and_still_compares_the_figures(recorded):
    shutil.rmtree(recorded.attempt_file(2, ""))
    for first, second in ("1", "2"), ("2", "4"):
        done = agent(recorded, "diff", "last", first, second)
        assert done.returncode == 0 and "code: kernel.py of attempt 2 is missing" in done.stdout
        assert "attempt 2 (algorithm): passed" in done.stdout and " lines" not in done.stdout
    found = json.loads(agent(recorded, "diff", "last", "1", "2", "--json").stdout)
    assert found["difference"] is None
    assert "code: none was read from the reply of attempt 3" in agent(recorded, "diff", "last", "3", "4").stdout


def test_the_figures_of_a_difference_have_units_and_what_can_be_better_comes_first():
    """Of the run that the documents show, which was measured."""
    command = [sys.executable, "-m", "agent", "diff", "convt3d-68-on-an-h100", "1", "3", "--runs-dir", "examples"]
    lines = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("figure "))
    rows = [line.split() for line in lines[head + 1 : lines.index("", head)]]
    assert lines[head].split() == ["figure", "before", "after", "unit", "change", "is", "origin"]
    units = {row[0]: row[3] for row in rows if len(row) > 3}
    assert (units["time_ms"], units["shared_memory"], units["speedup_over_eager"]) == ("ms", "bytes", "x")
    directions = [row[-2] for row in rows]
    assert directions == sorted(directions, key="-".__eq__) and "worse" in directions and "-" in directions
    assert len({" ".join(row[:2]) for row in rows}) == len(rows), "every name is whole"


def test_stats_counts_what_the_journal_says(recorded):
    found = json.loads(agent(recorded, "stats", "--json").stdout)
    assert found["verdicts"] == {"failed": 1, "passed": 2, "none": 1}
    assert found["failures"] == {"incorrect_numerical at correctness": [1], "no candidate in the reply": [3]}
    assert found["reused"] == 1
    assert found["usage"]["input_tokens"] == 500
    text = agent(recorded, "stats").stdout
    assert "failed, incorrect_numerical at correctness: attempts 1" in text and "cost $0.0625" in text


def test_report_names_its_file_and_takes_a_damaged_run(recorded, tmp_path):
    done = agent(recorded, "report", "last", "-o", str(tmp_path / "r.html"))
    assert str(tmp_path / "r.html") in done.stdout and (tmp_path / "r.html").exists()
    (recorded.path / "run.json").write_text("{")
    assert agent(recorded, "report").returncode == 0
    assert "damaged" in (recorded.path / "report.html").read_text()
    assert agent(recorded, "report", "nothing").returncode == 2


@pytest.mark.parametrize("verb", [("export", "last"), ("report", "last"), ("export-run", "last", "--to", "otel")])
def test_a_folder_in_the_place_of_the_output_is_one_line(recorded, verb, tmp_path):
    for output, named in ((".", "."), ("/", "/"), ("", "."), (str(tmp_path), str(tmp_path))):
        done = agent(recorded, *verb, "-o", output)
        assert done.stderr == f"error: cannot write {named}: Is a directory; choose another -o\n", output
        assert done.returncode == 3 and not list(tmp_path.glob(".*.part"))


def test_a_report_that_cannot_be_written_is_given_another_output(recorded):
    (recorded.path / "report.html").mkdir()
    done = agent(recorded, "report", "last")
    assert done.returncode == 3 and done.stderr.endswith("report.html: Is a directory; choose another -o\n")


def test_a_typo_forgets_nothing_and_a_run_that_is_gone_can_be_forgotten(recorded):
    store = MemoryStore(recorded.path.parent)
    about = {"run": "gone", "attempt": 1, "at": "", "operator": "scale", "arch": "sm_89", "problem": "scale"}
    fields = {"gpu": "rtx-4090", "stage": "grid", "change": "", "outcome": "gain", "decision": "keep", "origin": ""}
    assert store.add([Outcome(**about, **fields)]) == 1
    typo = agent(recorded, "memory", "--forget", "nosuchrun")
    assert typo.returncode == 2 and len(typo.stderr.splitlines()) == 1, typo.stderr
    assert "no run 'nosuchrun'" in typo.stderr and "nothing is remembered of it" in typo.stderr
    assert not (store.path.parent / "memory.forgotten").exists() and store.outcomes()
    assert "forgot 1 outcomes" in agent(recorded, "memory", "--forget", "gone").stderr
    assert "forgot 0 outcomes" in agent(recorded, "memory", "--forget", recorded.id).stderr


@pytest.mark.parametrize("host", ["999.1.1.1", "192.0.2.7", "x" * 70 + ".com"])
def test_a_host_that_is_not_here_is_given_another_host_and_a_taken_port_another_port(recorded, host):
    done = agent(recorded, "view", "--host", host)
    assert done.returncode == 3 and done.stderr.endswith("; choose another --host\n"), done.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = agent(recorded, "view", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 3 and done.stderr.endswith("; choose another --port\n"), done.stderr


def on_a_terminal(recorded, *arguments, **environment):
    """stdout of the program where it is a terminal."""
    master, slave = pty.openpty()
    env = {**os.environ, "AGENT_RUNS_DIR": str(recorded.path.parent), "TERM": "xterm", **environment}
    env.pop("NO_COLOR", None) if "NO_COLOR" not in environment else None
    with subprocess.Popen([sys.executable, "-m", "agent", *arguments], stdout=slave, env=env) as process:
        os.close(slave)
        text = b""
        while True:
            try:
                data = os.read(master, 1 << 16)
            except OSError:
                break
            if not data:
                break
            text += data
    os.close(master)
    assert process.returncode == 0
    return text.decode()


def test_show_is_coloured_on_a_terminal_only_and_stays_inert(recorded):
    colour = on_a_terminal(recorded, "show", "last", "--attempt", "2")
    assert "\x1b[3" in colour
    for letters in ("\x1b]0;", "\x1b[2J", "\u202e", "\x07"):
        assert letters not in colour
    assert "\x1b" not in on_a_terminal(recorded, "show", "last", "--attempt", "2", NO_COLOR="1")
    assert "\x1b" not in agent(recorded, "show", "last", "--attempt", "2").stdout


def test_export_refuses_what_did_not_pass_and_a_folder_that_is_not_empty(recorded):
    refused = agent(recorded, "export", "last", "--attempt", "1")
    assert refused.returncode == 2 and "--allow-unverified" in refused.stderr and not refused.stdout
    forced = agent(recorded, "export", "last", "--attempt", "1", "--allow-unverified")
    assert forced.returncode == 0 and "# verdict: failed" in forced.stdout
    assert "warning: attempt 1 of" in forced.stderr and "is FAILED at " in forced.stderr
    for verb in ("export", "report"):
        nowhere = agent(recorded, verb, "last", "-o", "/proc/x/k.py")
        assert nowhere.returncode == 3 and nowhere.stderr.endswith("choose another -o\n")
    folder = recorded.path.parent / "op"
    assert agent(recorded, "export", "last", "--format", "torch-op", "-o", str(folder)).returncode == 0
    assert (folder / "scale_rtx_4090" / "torch_operator.py").exists()
    assert sys.stdlib_module_names.isdisjoint(path.stem for path in folder.rglob("*.py"))
    again = agent(recorded, "export", "last", "--format", "hf", "-o", str(folder))
    assert again.returncode == 2 and "not an empty folder" in again.stderr


def test_a_dash_is_standard_output_and_no_folder(recorded):
    printed = agent(recorded, "export", "last", "-o", "-")
    assert printed.returncode == 0 and printed.stdout == agent(recorded, "export", "last").stdout
    refused = agent(recorded, "export", "last", "--format", "torch-op", "-o", "-")
    assert refused.returncode == 2 and "name a folder" in refused.stderr and not refused.stdout
    assert agent(recorded, "report", "last", "-o", "-").stdout.startswith("<!doctype html>")
    assert not (recorded.path.parent / "-").exists()


def test_the_end_of_a_run_holds_the_best_against_the_floor_of_the_problem(recorded):
    assert "floor of the problem: not known, its FLOP and bytes were not counted" in final_words(
        recorded, recorded.state(), "done"
    )
    tensor = TensorFact(name="x", shape=(2,), dtype="float32")
    facts = ProblemFacts(
        inputs=(tensor,), parameters=(), outputs=(tensor,), init_args="()", operator="scale", flop=8 * 10**9,
        bytes_moved=1008 * 10**6,
    )  # fmt: skip
    recorded.keep_beginning(facts, ())
    (floor,) = [line for line in final_words(recorded, recorded.state(), "done") if line.startswith("floor")]
    assert floor.startswith("floor of the problem (estimated from vendor figures): 1 ms for 1008 MB at 1.01 TB/s")
    assert "8 GFLOP: 0.0969 ms at 82.6 TFLOP/s fp32" in floor
    assert summary(recorded, recorded.state(), "done")["floor"]["kind"] == "estimated"
    recorded.keep_beginning(facts.model_copy(update={"flop": None}), ())
    (floor,) = [line for line in final_words(recorded, recorded.state(), "done") if line.startswith("floor")]
    assert floor.endswith(": 1 ms for 1008 MB at 1.01 TB/s; its FLOP were not counted")
    assert summary(recorded, recorded.state(), "done")["floor"]["flop_ms"] == {}


def test_the_end_of_a_run_says_how_it_goes_on(recorded):
    def said(reason):
        return final_words(recorded, recorded.state(), reason)[-1].partition("; go on: ")[2]

    again = f"agent resume {recorded.argument}"
    assert said("attempts used up (8)") == f"{again} --max-attempts N"
    assert said("time used up (4 of 3 s)") == f"{again} --max-seconds N"
    assert said("interrupted") == again
    awaited = final_words(recorded, recorded.state(), f"{AWAITED}: agent ask {recorded.id}")[0]
    assert awaited.startswith(f"{AWAITED}: agent ask {recorded.argument};")
    assert said("nothing left to propose: every kernel was tried") == ""


def test_follow_up_commands_work_as_they_are_printed(recorded, tmp_path, monkeypatch):
    """Also for a folder that a plain `agent` would not look in, with a name that a shell would split."""
    usual, other = tmp_path / "usual", tmp_path / "my runs"
    bench = other / "bench-1" / recorded.id
    shutil.copytree(recorded.path, other / recorded.id)
    shutil.copytree(recorded.path, bench)
    monkeypatch.setenv("AGENT_RUNS_DIR", str(usual))
    option = f"--runs-dir '{other}'"
    for path in (other / recorded.id, bench):
        found = RunDirectory(path)
        assert found.argument == f"{found.id} {option}"
        look = final_words(found, found.state(), "interrupted")[-1]
        assert f"agent show {found.argument}, or" in look and look.endswith(f"agent resume {found.argument}")
    shown = agent(recorded, "show", "last", "--runs-dir", str(other), AGENT_RUNS_DIR=str(usual)).stdout
    command = shown.splitlines()[-1].partition("see it: agent ")[2]
    assert agent(recorded, *shlex.split(command), AGENT_RUNS_DIR=str(usual)).returncode == 0, command
    waits = agent(recorded, "ask", "last", "--runs-dir", str(other), AGENT_RUNS_DIR=str(usual))
    assert waits.stderr.endswith(f"agent evaluate --pending {recorded.id} {option}\n")
    unknown = agent(recorded, "show", "nosuch", "--runs-dir", str(other), AGENT_RUNS_DIR=str(usual))
    assert f"(see `agent runs {option}`)" in unknown.stderr
    monkeypatch.setenv("AGENT_RUNS_DIR", str(other))
    assert RunDirectory(bench).argument == RunDirectory(other / recorded.id).argument == recorded.id


def test_a_run_without_an_attempt_has_nothing_to_export_or_compare(recorded):
    (recorded.path / "journal.jsonl").write_text("")
    for verb in ("export", "diff"):
        done = agent(recorded, verb, recorded.id)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert f"error: {recorded.id} has no attempt yet, so there is nothing to" in done.stderr
    assert "no kernel found: no attempt was made" in final_words(recorded, recorded.state(), "time used up (0 of 0 s)")


def test_the_end_of_a_run_names_what_this_machine_could_not_verify(recorded):
    state = recorded.state()
    other = next(a for a in state.attempts if a.evaluation and a.reused_from is None and a.number != state.best.number)
    judged = {"candidate_id": "c", "problem": "p", "gpu": "h200", "rung": "correctness", "message": "no Gluon here"}
    unverified = other.model_copy(update={"evaluation": Unverified(**judged), "plan": "slab: expected 2.4 ms"})
    attempts = tuple(unverified if a.number == other.number else a for a in state.attempts)
    words = final_words(recorded, replace(state, attempts=attempts), "done")
    (said,) = [line for line in words if line.startswith("unverified here, so not ranked against attempt 2")]
    assert "slab: expected 2.4 ms" in said and "may be faster" not in " ".join(words)
    assert f"agent evaluate {recorded.path}/attempts/{other.number:03d}/kernel.py --problem" in said
    assert not any("unverified here" in line for line in final_words(recorded, state, "done"))


def test_an_unverified_best_is_not_exported_and_the_command_that_judges_it_is_named(recorded):
    state = recorded.state()
    judged = {"candidate_id": "c", "problem": "p", "gpu": "h200", "rung": "correctness", "message": "no Gluon here"}
    best = state.best.model_copy(update={"evaluation": Unverified(**judged)})
    (recorded.path / "best.py").write_text("of an earlier best")
    assert export_best(recorded, best) is None and not (recorded.path / "best.py").exists()
    unverified = replace(state, attempts=tuple(best if a.number == best.number else a for a in state.attempts))
    words = "\n".join(final_words(recorded, unverified, "done"))
    assert (
        f"not exported, because it did not pass; judge it on a machine with this GPU: agent evaluate {recorded.path}"
        in words
    )
    assert "--allow-unverified" in words and "exported: " not in words
    assert summary(recorded, unverified, "done")["exported"] is None


def test_a_name_that_stands_for_no_run_is_answered_with_what_there_is(recorded, tmp_path):
    bench = recorded.path.parent / "bench-29990101-000000-x-rtx-4090" / "29990101-000000-x-rtx-4090"
    shutil.copytree(recorded.path, bench)
    (tmp_path / "bare").mkdir()
    for verb in ("show", "report"):
        said = agent(recorded, verb, "nosuch")
        assert said.returncode == 2 and f"the latest are {recorded.id} (see" in said.stderr, said.stderr
        assert "run.json is missing in it" in agent(recorded, verb, str(tmp_path / "bare")).stderr
    listed = agent(recorded, "runs", "--runs-dir", str(recorded.path / "run.json"))
    assert listed.returncode == 2 and "is no directory that could hold runs" in listed.stderr
    mistaken = agent(recorded, "optimize", "--resume", "last")
    assert mistaken.returncode == 2 and "agent resume last" in mistaken.stderr


def test_what_nothing_here_ranks_is_left_to_the_user(recorded):
    state = recorded.state()
    evaluation = state.best.evaluation.model_copy(update={"estimate": None})
    other = state.best.model_copy(update={"number": 9, "evaluation": evaluation, "decision": "discard"})
    words = final_words(recorded, replace(state, attempts=(*state.attempts, other)), "done")
    (said,) = [line for line in words if line.startswith("passed as well, and not ranked against attempt 2 here")]
    assert f"agent export {recorded.argument} --attempt 9" in said


def test_export_run_without_its_extra_says_what_to_install(recorded):
    for name in ("mlflow", "wandb"):
        if importlib.util.find_spec(name) is None:
            done = agent(recorded, "export-run", "last", "--to", name)
            assert done.returncode == 2 and f"kernel-agent[{name}]" in done.stderr
    done = agent(recorded, "export-run", "last", "--to", "otel")
    assert json.loads(done.stdout)["resourceSpans"]


def test_an_export_replaces_an_earlier_one_and_no_other_file(recorded, tmp_path):
    own, export = tmp_path / "reference.py", tmp_path / "kernel.py"
    own.write_text("import torch\n")
    for output in (str(own), "/dev/null"):
        for more in ((), ("--json",)):
            done = agent(recorded, "export", "last", "-o", output, *more)
            assert done.returncode == 2, output
            assert done.stderr == f"error: {output} exists and is not an export; choose another -o\n"
    assert own.read_text() == "import torch\n"
    too_long = agent(recorded, "export", "last", "-o", "x" * 300)
    assert too_long.returncode == 3 and too_long.stderr.endswith("File name too long; choose another -o\n")
    export.touch()  # there is nothing to lose in it
    for _ in range(2):
        assert agent(recorded, "export", "last", "-o", str(export)).returncode == 0
        assert read_card(export.read_text()).attempt == 2


def test_a_card_of_a_newer_version_is_refused_in_one_line(recorded, tmp_path):
    text = agent(recorded, "export", "last").stdout
    assert '"schema_version": 1,' in text
    newer = text.replace('"schema_version": 1,', '"schema_version": 2,\n#  "unknown_field": 3,', 1)
    (tmp_path / "newer.py").write_text(newer)
    done = agent(recorded, "verify", str(tmp_path / "newer.py"))
    assert done.returncode == 2
    assert done.stderr == (
        "error: the kernel card was written by a newer agent (schema 2, this one reads 1): upgrade\n"
    )


def test_verify_wants_a_card(recorded, tmp_path):
    (tmp_path / "plain.py").write_text("import torch\n")
    done = agent(recorded, "verify", str(tmp_path / "plain.py"), "--problem", "convt3d")
    assert done.returncode == 2 and "agent export" in done.stderr


def test_verify_names_the_problem_of_the_card_and_how_to_name_it(recorded, tmp_path):
    """The recorded problem is a file of the user's, which no name leads to."""
    (tmp_path / "kernel.py").write_text(agent(recorded, "export", "last").stdout)
    other = agent(recorded, "verify", str(tmp_path / "kernel.py"), "--problem", "convt3d-73")
    assert other.returncode == 2 and "the card is for scale, not for convt3d-73: name its file: agent" in other.stderr
    unnamed = agent(recorded, "verify", str(tmp_path / "kernel.py"))
    assert unnamed.returncode == 2 and "not built in: name its file" in unnamed.stderr


def test_evaluate_judges_exactly_the_kernel_of_an_export_and_an_altered_one_as_a_whole(recorded, tmp_path):
    text = agent(recorded, "export", "last").stdout
    (tmp_path / "kernel.py").write_text(text.replace("import torch\n", "import torch\nimport os\n", 1))
    inner = agent(recorded, "evaluate", str(tmp_path / "kernel.py"), "--problem", "convt3d-73")
    assert inner.returncode == 1 and "the kernel in it is judged" in inner.stderr
    assert "line 2: import of `os`" in inner.stdout and "`ast`" not in inner.stdout
    (tmp_path / "kernel.py").write_text(text + "\nModelNew = None\n")
    done = agent(recorded, "evaluate", str(tmp_path / "kernel.py"), "--problem", "convt3d-73")
    assert done.returncode == 1 and "judged as a whole" in done.stderr and "defines no class ModelNew" in done.stdout
    verified = agent(recorded, "verify", str(tmp_path / "kernel.py"))
    assert verified.returncode == 2 and "changed outside its kernel" in verified.stderr


def test_a_binary_file_is_one_clear_line_and_leaves_nothing(recorded, tmp_path):
    binary = tmp_path / "kernel.py"
    binary.write_bytes(b"\x7fELF\0\0\xd0")
    for words in (
        ["evaluate", str(binary), "-p", "convt3d"],
        ["verify", str(binary)],
        ["bench", str(binary), "-g", "l4"],
    ):
        done = agent(recorded, *words)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert "binary" in done.stderr or "no Python text" in done.stderr


def test_a_device_that_is_not_there_is_said_before_anything_is_made(tmp_path):
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("there is a GPU")
    env = {**os.environ, "AGENT_RUNS_DIR": str(tmp_path / "runs")}
    command = [sys.executable, "-m", "agent", "optimize", "-p", str(SMALL), "--gpu", "4090", "--device", "cuda"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert done.returncode == 3 and "no NVIDIA GPU can be used" in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


def test_verify_holds_an_export_to_its_card_and_sees_a_wrong_one(tmp_path):
    """Export from a real run, verify it, then break the kernel and, apart from that, the claim."""
    env = {**os.environ, "AGENT_RUNS_DIR": str(tmp_path / "runs"), "OMP_NUM_THREADS": "1"}

    def run(*arguments):
        command = [sys.executable, "-m", "agent", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)

    done = run("optimize", "--problem", str(SMALL), "--gpu", "4090", "--max-attempts", "1", "--plain")
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stderr
    (report,) = (tmp_path / "runs").glob("*/report.html")
    assert "Roofline of NVIDIA GeForce RTX 4090" in report.read_text()
    assert run("export", "last", "-o", "kernel.py").returncode == 0
    held = run("verify", "kernel.py", "--problem", str(SMALL), "--json")
    assert held.returncode == 0, held.stdout + held.stderr
    found = json.loads(held.stdout)
    assert found["regressions"] == []
    bound, time = sorted(found["notes"])
    assert bound.startswith("estimated bound: ") and time == "measured time: not compared, the card holds none"
    attempt = report.parent / "attempts" / "001"
    assert ".entry" in (attempt / "kernel.ptx").read_text() and "EXIT" in (attempt / "kernel.sass").read_text()
    assert "attempts/001/kernel.sass" in report.read_text() and "kernel.sass" in run("show", "-a", "1").stdout
    assert "EXIT" not in (report.parent / "journal.jsonl").read_text(), "compiled code is no part of a journal"
    text = (tmp_path / "kernel.py").read_text()
    evaluation = evaluation_adapter.validate_python(found["evaluation"])
    claimed = read_card(text).model_copy(update={"estimated_bound_ms": 1e-9})
    (slower,) = held_against(claimed, evaluation, load_problem(str(SMALL)), kernel_code(text)).regressions
    assert slower.startswith("estimated bound")
    assert "tl.store" in text
    (tmp_path / "wrong.py").write_text(text.replace("tl.store(", "tl.debug_barrier() #", 1))
    wrong = run("verify", "wrong.py", "--problem", str(SMALL))
    assert wrong.returncode == 1 and "REGRESSION: verdict" in wrong.stdout and "code sha256 differs" in wrong.stdout
