"""Stages are data: five built in, ordered, with metrics a profiler or the compiler can deliver."""

import pytest

from evaluators.errors import UsageError
from evaluators.evaluation import KernelResources
from prompts.stages import BUILT_IN_DIR, all_stages, load_stage, missing_metrics

# Nsight Compute's names are unit__counter.rollup[.submetric]; launch__ ones have no rollup
PROFILER_UNITS = ("sm__", "smsp__", "dram__", "lts__", "l1tex__", "launch__")


def test_the_five_stages_in_order():
    assert [stage.key for stage in all_stages()] == ["algorithm", "grid", "tiling", "memory", "tuning"]


@pytest.mark.parametrize("stage", all_stages(), ids=lambda stage: stage.key)
def test_a_stage_is_complete_and_its_metrics_exist(stage):
    assert stage.focus
    assert stage.rules
    assert stage.ideas
    assert stage.entry_gate
    assert stage.exit_gate
    assert stage.metrics
    assert not set(stage.allowed_knobs) & set(stage.frozen_knobs)
    for metric in stage.metrics:
        if metric.origin == "compiled":
            assert metric.name in KernelResources.model_fields
        else:
            assert metric.origin == "measured"
            assert metric.name.startswith(PROFILER_UNITS)
            assert "stalled_memory_dependency" not in metric.name


def test_missing_metrics_are_those_no_kernel_delivers():
    stage = load_stage("memory")
    wanted = [metric.name for metric in stage.metrics if metric.origin == "measured"]
    assert list(missing_metrics(stage, {})) == wanted
    profile = {"a": {wanted[0]: 1.0, wanted[1]: None}, "b": {wanted[2]: float("nan"), wanted[3]: 0}}
    assert set(missing_metrics(stage, profile)) == set(wanted) - {wanted[0], wanted[3]}


def test_an_unknown_stage_names_the_nearest():
    with pytest.raises(UsageError, match=r"did you mean 'memory'\? known: algorithm, grid"):
        load_stage("memroy")


def test_a_user_folder_adds_and_replaces_stages(tmp_path, monkeypatch):
    (tmp_path / "stages").mkdir()
    memory = (BUILT_IN_DIR / "memory.toml").read_text()
    (tmp_path / "stages" / "memory.toml").write_text(memory.replace("Memory efficiency", "Other words"))
    (tmp_path / "stages" / "fusion.toml").write_text('order = 15\ntitle = "Fusion"\nfocus = "One kernel."\n')
    monkeypatch.setenv("AGENT_PROMPTS_DIR", str(tmp_path))
    assert [stage.key for stage in all_stages()][:3] == ["algorithm", "fusion", "grid"]
    assert load_stage("memory").focus.startswith("Other words")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("order = 15\ntitle = 'x'\n", "field focus"),
        ("order = \n", "line 1"),
        ("order=1\ntitle='x'\nfocus='y'\nrule=[]\n", "field rule"),
    ],
)
def test_a_damaged_stage_names_file_and_field(tmp_path, monkeypatch, text, said):
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "odd.toml").write_text(text)
    monkeypatch.setenv("AGENT_PROMPTS_DIR", str(tmp_path))
    with pytest.raises(UsageError) as caught:
        all_stages()
    assert "odd.toml" in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
