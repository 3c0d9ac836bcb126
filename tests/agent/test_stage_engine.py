"""The stage engine: gates on evidence, frozen knobs on the syntax tree, overrides by category, the walk and its reasons."""

from pathlib import Path

import pytest

from agent.gates import entry, evidence_of, is_done
from agent.knobs import check_knobs, read_knobs
from agent.policy import Position
from agent.stage_walk import walk
from agent.strategies.linear import Linear
from evaluators.errors import UsageError
from evaluators.evaluation import Estimate, KernelResources, Passed
from evaluators.measurement import DURATION, Metric, Profile
from evaluators.problem import ProblemFacts
from prompts.category import adapted, category_of
from prompts.stage import Condition, Stage
from prompts.stages import all_stages, load_stage
from runs.nouns import Attempt, Attempted
from runs.state import fold

CANDIDATES = Path(__file__).resolve().parents[1] / "evaluators" / "data" / "candidates"
STALLS = "smsp__warp_issue_stalled_long_scoreboard_per_warp_active.pct"
DRAM = "dram__throughput.avg.pct_of_peak_sustained_elapsed"


def kernel(**figures):
    common = {"name": "k", "grid": (1, 1, 1), "registers": 64, "spills": 0, "shared_memory_bytes": 0}
    more = {"theoretical_occupancy_pct": 50.0, "occupancy_limiter": "registers", "num_warps": 4, "num_stages": 3}
    return KernelResources(**{**common, **more, "waves": 10.0, **figures})


def judged(*kernels, bound_ms=10.0, measured=None, **components):
    """`measured`: kernel -> metric -> value."""
    estimate = Estimate(value_ms=bound_ms, limiter="memory", components_ms=components, assumptions=(), unmodelled=())
    listed = [(k, name, value) for k, figures in (measured or {}).items() for name, value in figures.items()]
    metrics = [Metric(kernel=k, name=name, value=value, unit="", source="ncu") for k, name, value in listed]
    profile = Profile(source="ncu", device="d", metrics=metrics) if measured else None
    return Passed(candidate_id="c", problem="p", gpu="g", kernels=kernels, estimate=estimate, profile=profile)


def test_a_condition_to_enter_needs_one_kernel_and_one_to_skip_needs_all():
    grid = load_stage("grid")
    full, starved = kernel(waves=100.0, theoretical_occupancy_pct=100.0), kernel(waves=1.5)
    verdict = entry(grid, evidence_of(judged(full)))
    assert not verdict.enters
    assert verdict.reason == "theoretical_occupancy_pct >= 90 (compiled): 100; waves >= 16 (compiled): 100"
    verdict = entry(grid, evidence_of(judged(full, starved)))
    assert verdict.enters
    assert verdict.reason == "waves < 4 (compiled): 1.5 to 100"


def test_what_nobody_measured_never_skips_a_stage():
    memory = load_stage("memory")
    wide = evidence_of(judged(kernel(global_load_bits={"128": 9})))
    verdict = entry(memory, wide)
    assert verdict.enters
    assert "no figure for" in verdict.reason
    measured = evidence_of(judged(kernel(global_load_bits={"128": 9}), measured={"k": {STALLS: 15.0, DRAM: 50.0}}))
    assert not entry(memory, measured).enters
    assert "none of" in entry(memory, measured).reason
    assert not entry(memory, evidence_of(judged(kernel(spills=8), measured={"k": {STALLS: 8.0, DRAM: 90.0}}))).enters
    assert entry(memory, evidence_of(judged(kernel(spills=8)))).enters


def test_a_kernel_that_takes_no_time_decides_no_gate():
    figures = {"k": {STALLS: 8.0, DRAM: 90.0, DURATION: 95e3}, "fill": {STALLS: 80.0, DRAM: 1.0, DURATION: 5e3}}
    assert not entry(load_stage("memory"), evidence_of(judged(kernel(spills=8), measured=figures))).enters
    figures["fill"][DURATION] = 50e3
    assert entry(load_stage("memory"), evidence_of(judged(kernel(spills=8), measured=figures))).enters


def test_a_stage_is_done_on_evidence_and_never_without():
    memory = load_stage("memory")
    assert is_done(memory, evidence_of(judged(measured={"k": {DRAM: 90.0}})))
    assert not is_done(memory, evidence_of(judged(measured={"k": {DRAM: 80.0}})))
    assert not is_done(memory, evidence_of(judged(kernel())))


def test_derived_figures():
    evidence = evidence_of(
        judged(kernel(global_load_bits={"32": 3, "128": 1}, sass_mix_pct={"tensor": 5.5}), bound_ms=2.0, memory=1.0)
    )
    figures = {name: next(iter(values.values())) for (_, name), values in evidence.figures.items()}
    assert figures["narrow_load_pct"] == 75
    assert figures["tensor_core_pct"] == 5.5
    assert figures["memory_share_pct"] == 50
    assert figures["bound_ms"] == 2.0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"figure": "registers"}, "exactly one"),
        ({"figure": "registers", "above": 1, "below": 2}, "exactly one"),
        ({"figure": "regs", "above": 1}, "no compiled figure"),
        ({"figure": "magic", "origin": "estimated", "above": 1}, "bound_ms"),
    ],
)
def test_a_damaged_condition_is_refused_when_it_is_loaded(fields, words):
    with pytest.raises(ValueError, match=words):
        Condition(**fields)


def test_the_users_stages_are_checked_and_win(tmp_path):
    (tmp_path / "tuning.toml").write_text('order = 5\ntitle = "T"\nfocus = "f"\nfrozen_knobs = ["gird"]\n')
    with pytest.raises(UsageError, match="frozen_knobs"):
        all_stages(tmp_path)
    (tmp_path / "tuning.toml").write_text(
        'order = 5\ntitle = "T"\nfocus = "f"\nenter_when = [{ figure = "spills", above = 0 }]\n'
    )
    assert next(stage.key for stage in all_stages(tmp_path)) == "tuning"
    with pytest.raises(UsageError, match="not a folder"):
        all_stages(tmp_path / "nothing")


def test_overrides_by_category():
    grid = load_stage("grid")
    fused = grid.for_category("fusion")
    assert len(fused.rules) == len(grid.rules) + 1
    assert fused.rules[1:] == grid.rules
    assert not entry(grid.for_category("activation"), evidence_of(None)).enters
    assert grid.for_category("reduction") == grid
    assert load_stage("algorithm").for_category("activation").proposals == 1


@pytest.mark.parametrize(
    ("operator", "operators", "category"),
    [
        ("conv_transpose3d", ("conv_transpose3d",), "transposed_conv"),
        ("conv2d", ("conv2d",), "conv"),
        ("conv2d", ("conv2d", "relu"), "fusion"),
        ("matmul", ("matmul",), "matmul"),
        ("native_layer_norm", ("native_layer_norm",), "normalization"),
        ("gelu", ("gelu",), "activation"),
        ("sum", ("sum",), "reduction"),
        ("sort", ("sort",), "other"),
        ("softmax", ("softmax",), "reduction"),
        ("mul", ("mul",), "activation"),
    ],
)
def test_categories(operator, operators, category):
    empty = {"inputs": (), "parameters": (), "outputs": (), "init_args": "", "flop": None, "bytes_moved": 1}
    assert category_of(ProblemFacts(operator=operator, operators=operators, **empty)) == category


def test_a_fusion_gets_the_advice_of_what_is_in_it_and_no_other():
    empty = {"inputs": (), "parameters": (), "outputs": (), "init_args": "", "flop": None, "bytes_moved": 1}
    tiling = load_stage("tiling")
    fused = {
        operator: adapted(tiling, ProblemFacts(operator=operator, operators=(operator, "relu"), **empty))
        for operator in ("conv2d", "matmul", "softmax")
    }
    channels = {name: "channel counts" in " ".join(stage.ideas) for name, stage in fused.items()}
    tiles = {name: "tl.dot wants" in " ".join(stage.rules) for name, stage in fused.items()}
    assert channels == {"conv2d": True, "matmul": False, "softmax": False}
    assert tiles == {"conv2d": True, "matmul": True, "softmax": False}
    assert adapted(tiling, None).rules != tiling.rules, "all advice where nothing is known"


def test_the_walk_says_what_it_passes_over_and_takes_one_where_all_are_shut():
    stages = [load_stage(key) for key in ("grid", "tiling", "memory")]
    full = evidence_of(judged(kernel(waves=100.0, theoretical_occupancy_pct=100.0, global_load_bits={"32": 1})))
    stage, skipped = walk(stages, 0, full)
    assert stage.key == "memory"
    assert [reason.split(":")[0] for reason in skipped] == ["grid", "tiling"]
    stage, skipped = walk(stages[:2], 1, full)
    assert stage.key == "tiling"
    assert "all the same" in skipped[-1]


def test_the_linear_strategy_passes_over_a_stage_and_records_why():
    stages = (load_stage("algorithm"), load_stage("grid"), load_stage("tuning"))
    evaluation = judged(kernel(waves=100.0, theoretical_occupancy_pct=100.0))
    made = {"parent": None, "plan": "", "started_at": "t", "seconds": 1.0, "reason": "r"}
    attempts = [
        Attempt(
            number=1,
            stage="algorithm",
            role="propose",
            candidate_id="a",
            evaluation=evaluation,
            decision="keep",
            **made,
        ),
        Attempt(
            number=2,
            stage="algorithm",
            role="optimize",
            candidate_id="b",
            evaluation=evaluation,
            decision="discard",
            **made,
        ),
    ]
    plan = Linear().next(Position(fold([Attempted(attempt=attempt) for attempt in attempts]), stages))
    assert plan.stage.key == "tuning"
    assert plan.skipped[0].startswith("grid: theoretical_occupancy_pct >= 90")


FROZEN = Stage(
    key="s", order=1, title="", focus="", allowed_knobs=(), frozen_knobs=("grid", "block", "num_warps", "algorithm")
)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("direct_triton.py", "BLOCK = 1024", "BLOCK = 256", "block is frozen, but BLOCK went from 1024 to 256"),
        ("implicit_gemm_dot.py", "BM, BN, BK = 128, 16, 16", "BM, BN, BK = 64, 16, 16", "BM went from 128 to 64"),
        ("implicit_gemm_dot.py", "BM, BN, BK = 128, 16, 16", "BM, BN, BK = 128, 16, 32", "BK went from 16 to 32"),
        (
            "implicit_gemm_dot.py",
            "BM=BM, BN=BN, BK=BK)",
            "BM=BM, BN=BN, BK=BK, num_warps=8)",
            "num_warps went from unset to 8",
        ),
        (
            "implicit_gemm_dot.py",
            "triton.cdiv(OC // G, BN), G)",
            "G, triton.cdiv(OC // G, BN))",
            "grid is frozen, but launch 1",
        ),
        ("autotuned.py", "num_warps=8", "num_warps=16", "num_warps went from"),
    ],
)
def test_a_frozen_knob_that_moved_is_named(file, old, new, said):
    before = (CANDIDATES / file).read_text()
    assert old in before
    report = check_knobs(FROZEN, before, before.replace(old, new))
    assert any(said in violation for violation in report.violations), report
    assert report.not_checked == ("algorithm",)


@pytest.mark.parametrize("file", sorted(path.name for path in CANDIDATES.glob("*.py")))
def test_comments_names_and_unfrozen_changes_are_no_violation(file):
    before = (CANDIDATES / file).read_text()
    assert read_knobs(before)["grid"]["launch 1"]
    assert check_knobs(FROZEN, before, f"# a comment\n{before}\n\n").violations == ()
    assert check_knobs(load_stage("algorithm"), before, "import torch").violations == ()


def test_a_stage_that_may_change_block_k_may_not_change_the_other_blocks():
    memory = load_stage("memory").model_copy(update={"frozen_knobs": ("block",)})
    before = (CANDIDATES / "implicit_gemm_dot.py").read_text()
    assert check_knobs(memory, before, before.replace("128, 16, 16", "128, 16, 32")).violations == ()
    assert check_knobs(memory, before, before.replace("128, 16, 16", "64, 16, 16")).violations


def test_what_cannot_be_read_is_not_called_kept():
    cuda = "from torch.utils.cpp_extension import load_inline\nload_inline(...)"
    assert check_knobs(FROZEN, cuda, cuda).not_checked == FROZEN.frozen_knobs
    assert check_knobs(FROZEN, "def broken(", "x = 1").not_checked == FROZEN.frozen_knobs
