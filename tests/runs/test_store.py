"""Run directories: found by any name a person would type, written durably, never half."""

import pytest

from runs.errors import DamagedJournal, NewerRun, RecordNotWritten, UnknownRun
from runs.nouns import SCHEMA, Attempt, Attempted, Budget, Finished, Proposed, Resumed, Run, RunConfig, Usage
from runs.record import open_record
from runs.store import create_run, new_run_id, now, open_run, run_paths, write_durably


def head(run_id):
    config = RunConfig(problem="convt3d-68", problem_source="{}", gpu="4090", model="playbook")
    return Run(id=run_id, created_at=now(), config=config)


def attempt(number, **changes):
    given = {
        "number": number,
        "parent": None,
        "stage": "algorithm",
        "role": "propose",
        "plan": "direct",
        "candidate_id": None,
        "evaluation": None,
        "decision": "discard",
        "reason": "r",
        "started_at": now(),
        "seconds": 2.0,
        "usage": Usage(input_tokens=10, output_tokens=5, requests=1, cost_usd=0.25),
    }
    return Attempt(**{**given, **changes})


def test_a_run_is_found_by_id_beginning_path_and_last(tmp_path):
    for name in ("20260101-000000-a-4090", "20260102-000000-b-4090"):
        create_run(tmp_path, head(name))
    for name in ("20260102-000000-b-4090", "20260102", "last", str(tmp_path / "20260102-000000-b-4090")):
        assert open_run(name, tmp_path).id == "20260102-000000-b-4090"
    with pytest.raises(UnknownRun, match="latest are"):
        open_run("2026", tmp_path)
    with pytest.raises(UnknownRun, match="holds no runs"):
        open_run("last", tmp_path / "elsewhere")
    assert [path.name for path in run_paths(tmp_path)] == ["20260101-000000-a-4090", "20260102-000000-b-4090"]


def test_a_run_named_by_the_folder_one_stands_in_has_its_id(tmp_path, monkeypatch):
    run = create_run(tmp_path, head("20260102-000000-b-4090"))
    (run.path / "attempts").mkdir(exist_ok=True)
    monkeypatch.chdir(run.path)
    assert open_run(".", tmp_path).id == run.id
    monkeypatch.chdir(run.path / "attempts")
    assert open_run("..", tmp_path).id == run.id


def test_run_ids_of_one_second_differ(tmp_path):
    name = new_run_id("my problem/x", "4090")
    assert "/" not in name
    made = [create_run(tmp_path, head(name)) for _ in range(3)]
    assert [run.id for run in made] == [run.run.id for run in made] == [name, f"{name}-2", f"{name}-3"]


def test_the_record_counts_what_was_spent_over_resumes(tmp_path):
    directory = create_run(tmp_path, head("r"))
    proposed = {"parent": None, "stage": "grid", "role": "optimize", "reply_sha256": "x", "started_at": now()}
    with open_record(directory) as record:
        record.append(Attempted(attempt=attempt(1)))
        record.append(Proposed(number=2, usage=Usage(requests=1, cost_usd=0.5), **proposed))
        assert record.state.next_number == 2
    with open_record(directory) as record:
        assert record.state.pending.number == 2
        assert record.state.usage.cost_usd == pytest.approx(0.75)
        record.append(Resumed(at=now(), budget=Budget(max_attempts=9)))
        record.append(Attempted(attempt=attempt(2, usage=Usage(requests=1, cost_usd=None))))
        record.append(Finished(reason="done", at=now()))
    state = directory.state()
    assert (state.finished, state.budget.max_attempts, state.seconds) == ("done", 9, 4.0)
    assert state.usage.cost_usd is None, "an unknown price makes the total unknown, not smaller"


def test_damaged_and_newer_heads_are_refused(tmp_path):
    directory = create_run(tmp_path, head("r"))
    path = directory.path / "run.json"
    text = path.read_text()
    path.write_text(text.replace(f'"schema_version": {SCHEMA}', f'"schema_version": {SCHEMA + 1}'))
    with pytest.raises(NewerRun, match="upgrade"):
        open_run("r", tmp_path)
    path.write_text(text[:40])
    with pytest.raises(DamagedJournal, match=r"run\.json"):
        open_run("r", tmp_path)


@pytest.mark.parametrize(
    ("journal", "files", "fault"),
    [
        (None, ("attempts/001/prompt.md",), "is missing: attempts/001 "),
        ("", ("attempts/001/kernel.py",), "is empty: attempts/001 "),
        ("", ("attempts/001/points/x.full.json",), "is empty: attempts/001 "),
        ("", ("attempts/001/prompt.md", "attempts/002/prompt.md"), "is empty: attempts/002 "),
        ("", ("attempts/001/prompt.md", "attempts/001/proposal.json", "attempts/001/reply.md"), ""),
        ("one attempt", ("attempts/001/kernel.py", "attempts/002/reply.md"), ""),
        ("one attempt", ("attempts/001/kernel.py", "attempts/002/kernel.py"), "lacks lines: attempts/002 "),
        (None, (), ""),
    ],
)
def test_a_journal_that_lost_attempts_is_not_written_to(journal, files, fault, tmp_path):
    directory = create_run(tmp_path, head("r"))
    if journal == "one attempt":
        with open_record(directory) as record:
            record.append(Attempted(attempt=attempt(1)))
    if journal is None:
        (directory.path / "journal.jsonl").unlink()
    for file in files:
        write_durably(directory.path / file, "x")
    before = {path: path.read_bytes() for path in directory.path.rglob("*") if path.is_file()}
    if not fault:
        with open_record(directory):
            return
    with pytest.raises(DamagedJournal, match=f"journal.jsonl {fault}is not in it; the attempt folders are untouched"):
        open_record(directory).__enter__()
    assert {path: path.read_bytes() for path in directory.path.rglob("*") if path.is_file()} == before


def test_room_for_a_reply_is_held_while_it_is_asked_for(tmp_path):
    directory = create_run(tmp_path, head("r"))
    with directory.room(1):
        assert directory.attempt_file(1, "room").stat().st_size >= 1 << 18
    assert not directory.attempt_file(1, "room").exists()


def test_a_failed_write_leaves_the_old_text(tmp_path):
    path = tmp_path / "best.py"
    write_durably(path, "old")
    (tmp_path / ".best.py.part").mkdir()  # the temporary name cannot be opened
    with pytest.raises(RecordNotWritten, match="cannot write"):
        write_durably(path, "new")
    assert path.read_text() == "old"
