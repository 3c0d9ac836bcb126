"""Family cards: which fit which problem, and that a prompt holds no advice about operators that the problem lacks."""

import re
from pathlib import Path

import pytest

from evaluators.errors import UsageError
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.facts import facts_of
from evaluators.problem_catalog import load_problem
from prompts.cards import all_cards, cards_for
from prompts.category import adapted
from prompts.context import Base, Context
from prompts.render import render
from prompts.shrink import fit
from prompts.stages import all_stages, load_stage

DATA = Path(__file__).parents[1] / "agent" / "playbook" / "data"


def facts(name):
    return facts_of(load_problem(name if name.startswith("convt3d") else str(DATA / f"{name}.py")))


def context(name, gpu="4090", stage="algorithm", **fields):
    known = facts(name)
    values = {
        "role": "propose",
        "problem": load_problem(name if name.startswith("convt3d") else str(DATA / f"{name}.py")),
        "facts": known,
        "gpu": load_gpu(gpu),
        "stage": adapted(load_stage(stage), known),
    }
    return Context(**(values | fields))


@pytest.mark.parametrize(
    ("name", "gpu", "keys"),
    [
        ("convt3d-68", "4090", {"direct", "implicit_gemm", "packed_gemm"}),
        ("convt3d-68", "h200", {"direct", "implicit_gemm", "packed_gemm", "slab", "slab_winograd"}),
        ("convt3d-72", "h200", {"direct", "implicit_gemm", "packed_gemm", "stride_phase", "phase_window"}),
        (
            "convt3d-77",
            "4090",
            {"direct", "implicit_gemm", "packed_gemm", "stride_phase", "phase_window", "dilation_lattice"},
        ),
        ("conv3d", "h200", {"gather", "gather_gemm", "packed_gemm", "slab", "slab_winograd"}),
        ("depthwise_conv2d", "4090", {"gather"}),
        ("softmax", "4090", {"row_block", "row_loop", "row_split"}),
        ("layer_norm", "4090", {"row_block", "row_loop", "row_split"}),
        ("rms_norm", "4090", {"row_block", "row_loop", "row_split", "elementwise"}),
        ("activation_chain", "4090", {"elementwise"}),
        ("square_matmul", "4090", {"matrix_product"}),
    ],
)
def test_cards_fit_by_category_and_geometry(name, gpu, keys):
    assert {card.key for card in cards_for(facts(name), load_gpu(gpu))} == keys


def test_nothing_fits_what_nobody_knows_and_an_unknown_figure_excludes_nothing():
    known = facts("convt3d-68")
    assert cards_for(None, load_gpu("4090")) == ()
    unknown = known.model_copy(update={"hyperparameters": {}})
    assert {card.key for card in cards_for(unknown, load_gpu("4090"))} >= {"stride_phase", "dilation_lattice"}


@pytest.mark.parametrize("card", all_cards(), ids=lambda card: card.key)
def test_a_card_states_facts_and_pitfalls_in_whole_sentences(card):
    assert card.facts and card.pitfalls and card.categories
    assert all(line.endswith(".") for line in (*card.facts, *card.pitfalls))
    assert not card.idea.endswith(".") and not card.pays_when.endswith(".")


def test_cards_stand_in_the_prompt_and_leave_it_when_it_is_too_long():
    shown = context("convt3d-77", cards=cards_for(facts("convt3d-77"), load_gpu("4090")))
    text = render(shown)
    assert "# Kernel families that fit this problem" in text
    assert "- Dilation lattice: only the outputs that taps reach are computed" in text
    assert "  - Pitfall: " in text
    assert "Kernel families" not in render(shown.model_copy(update={"cards": ()}))
    fitted = fit(shown, len(text) - 1)
    assert fitted.dropped == ("cards",)
    assert "Kernel families" not in fitted.prompt


def test_a_users_card_is_added_and_a_damaged_one_names_its_field(tmp_path, monkeypatch):
    (tmp_path / "cards").mkdir()
    monkeypatch.setenv("AGENT_PROMPTS_DIR", str(tmp_path))
    own = 'order = 5\ntitle = "Own"\ncategories = ["reduction"]\nidea = "mine"\npays_when = "it does"\n'
    (tmp_path / "cards" / "own.toml").write_text(own)
    assert cards_for(facts("softmax"), load_gpu("4090"))[0].key == "own"
    (tmp_path / "cards" / "own.toml").write_text(own.replace("idea", "ideas"))
    with pytest.raises(UsageError, match=r"card file .*own.toml: field idea"):
        all_cards()


CONVOLUTION_WORDS = r"convolution|channels|\btaps?\b|dilation|\bpad(?:ding)?s?\b(?! query| and)|stride-|groups"


@pytest.mark.parametrize("stage", [stage.key for stage in all_stages()])
@pytest.mark.parametrize("name", ["softmax", "layer_norm", "square_matmul", "activation_chain"])
def test_other_operators_are_told_nothing_of_convolutions(name, stage):
    known = facts(name)
    base = Base(number=1, source="class ModelNew: pass\n")
    for role, code in (("propose", None), ("optimize", base)):
        cards = cards_for(known, load_gpu("4090"))
        text = render(context(name, stage=stage, role=role, base=code, cards=cards))
        found = [line for line in text.splitlines() if re.search(CONVOLUTION_WORDS, line)]
        allowed = ("torch may allocate", "may not multiply, add, reduce or convolve")
        assert [line for line in found if not any(words in line for words in allowed)] == []
        if name in ("softmax", "layer_norm", "activation_chain"):
            assert "tl.dot" not in text.replace("tl.dot kernels", "")


def test_each_precision_class_is_said_as_the_judge_holds_it():
    for name, precision, says, says_not in (
        ("square_matmul", "reference", "Matrix products run in full float32", "is accepted"),
        ("square_matmul", "tf32", "class tf32 is asked for: an error up to 0.0009 is accepted", "too coarse"),
        ("convt3d-68", "reference", "is accepted as precision class tf32", "too coarse"),
        ("convt3d-68", "fp32", "class fp32 is asked for", "is accepted as"),
        ("softmax", "reference", "It may not exceed 2 x", "tf32"),
    ):
        found = context(name)
        text = render(found.model_copy(update={"problem": found.problem.at_precision(precision)}))
        accuracy = text[text.index("# Accuracy") : text.index("# Checklist")]
        assert says in accuracy and says_not not in accuracy, (name, precision)


def test_without_a_kernel_nothing_is_frozen_and_nothing_contradicts_it():
    text = render(context("square_matmul", stage="memory"))
    assert "Nothing is frozen" in text and "Must stay" not in text
    assert "Choose the algorithm this stage asks for" not in text
    assert "Choose the algorithm this stage asks for" in render(context("square_matmul"))
    code = Base(number=1, source="class ModelNew: pass\n")
    assert "Must stay: algorithm, grid." in render(context("square_matmul", stage="memory", role="optimize", base=code))


def test_what_the_rules_allow_the_output_rules_allow():
    text = render(context("square_matmul"))
    rules, output = text[: text.index("# Accuracy")], text[text.index("OUTPUT RULES") :]
    assert "load_inline" in rules and "load_inline" in output
