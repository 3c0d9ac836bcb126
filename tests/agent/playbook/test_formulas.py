"""References that are formulas or convolutions: what is recognised, what is written, and that its numbers are right.

Sizes are shrunk by hand and the emitted files run in the Triton interpreter. Limits: compiled kernels are
test_beyond_compiled.py, the judge's own questions a few files there.
"""

import re
import time
from functools import cache
from pathlib import Path

import pytest

from agent.proposers.errors import NothingToPropose
from agent.proposers.playbook import PlaybookProposer
from agent.proposers.playbook.configuration import read_configuration
from agent.proposers.playbook.family import Situation, family_of, known_families
from agent.proposers.playbook.formulas.pointwise import TEXTS
from agent.proposers.playbook.recognition import recognise
from agent.proposers.playbook.search import best_guess
from agent.reply import read_reply
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.facts import facts_of
from evaluators.problem_catalog import problem_from
from prompts.context import Context
from prompts.stages import load_stage

DATA = Path(__file__).parent / "data"
FILES = {  # the family of the first guess, and sizes for the interpreter
    "activation_chain": ("elementwise", {"batch_size": 3, "dim": 401}),
    "leaky_relu": ("elementwise", {"batch_size": 3, "dim": 7}),
    "new_gelu": ("elementwise", {"batch_size": 3, "dim": 401}),
    "softmax": ("row_block", {"batch_size": 3, "dim": 37}),
    "log_softmax": ("row_loop", {"batch_size": 2, "dim": 4097}),
    "layer_norm": ("row_split", {"batch_size": 2, "features": 5, "dim1": 31, "dim2": 33}),
    "rms_norm": ("row_block", {"batch_size": 2, "features": 5, "dim1": 3, "dim2": 13}),
    "sum_reduction": ("row_block", {"batch_size": 2, "dim1": 7, "dim2": 5}),
    "max_reduction": ("row_block", {"batch_size": 2, "dim1": 7, "dim2": 5}),
    "mse_loss": ("row_split", {"batch_size": 5, "dim": 1999}),
    "matvec": ("row_block", {"M": 5, "K": 33}),
    "square_matmul": ("matrix_product", {"N": 70}),
    "transposed_bmm": ("matrix_product", {"batch_size": 2, "M": 70, "K": 33, "N": 18}),
    "large_k_matmul": ("matrix_product", {"M": 5, "K": 1111, "N": 18}),
    "linear_relu": ("matrix_product", {"batch_size": 5, "in_features": 33, "out_features": 70}),
    "conv1d_dilated_strided": ("gather", {"in_channels": 3, "out_channels": 5, "length": 50}),
    "conv2d": ("direct", {"in_channels": 3, "out_channels": 5, "height": 5, "width": 9}),
    "conv3d": ("direct", {"in_channels": 2, "out_channels": 3, "depth": 4, "width": 6, "height": 5}),
    "depthwise_conv2d": ("direct", {"in_channels": 5, "height": 5, "width": 9}),
    "conv_transpose1d": ("direct", {"in_channels": 3, "out_channels": 5, "length": 20}),
    "conv_transpose2d": ("direct", {"in_channels": 3, "out_channels": 5, "height": 4, "width": 5}),
}
HEAD = "import math\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n"


def reference(forward, inputs="torch.randn(3, 37)", arguments="x", init="pass"):
    """A KernelBench file with this forward."""
    return (
        f"{HEAD}class Model(nn.Module):\n    def __init__(self):\n        super().__init__()\n        {init}\n\n"
        f"    def forward(self, {arguments}):\n        return {forward}\n\n\n"
        f"def get_inputs():\n    return [{inputs}]\n\n\ndef get_init_inputs():\n    return []\n"
    )


def shrunk(text, sizes):
    for name, value in sizes.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        assert count == 1, name
    return text


@cache
def subject_of(text):
    problem = problem_from(text, key="t")
    return recognise(problem, facts_of(problem))


def written(text, configuration=None, gpu="4090"):
    """(the emitted file, its configuration) for a reference; without a configuration the best first guess."""
    subject = subject_of(text)
    allowed = 6e-4 if subject.is_tf32 else 1e-6
    chosen = read_configuration(configuration) if configuration else None
    chosen = chosen or best_guess(Situation(subject.shape, load_gpu(gpu), allowed)).configuration
    return subject.write(chosen, family_of(chosen)), chosen


def right(answers, pairs):
    """Whether every answer is as exact as the reference itself in its own precision, or nearly."""
    for answer, pair in zip(answers, pairs, strict=True):
        said = (pair.get("name", ""), answer)
        assert answer["same_shape"] and answer["contiguous"] and answer["same_nan"], said
        assert answer["error"] <= 2 * max(answer["own"], pair.get("floor", 5e-7)), said


def test_every_file_gets_a_right_kernel_without_a_model(compare):
    pairs = []
    for name, (_, sizes) in FILES.items():
        text = (DATA / f"{name}.py").read_text()
        problem = problem_from(text, key=name)
        context = Context(
            role="propose",
            problem=problem,
            facts=facts_of(problem),
            gpu=load_gpu("4090"),
            stage=load_stage("algorithm"),
        )
        reply = PlaybookProposer().propose(context, "").reply
        assert read_configuration(reply.partition("\n")[0]).family == FILES[name][0], reply.partition("\n")[0]
        source = read_reply(reply).candidate.source
        pairs.append({"name": name, "source": source, "reference": shrunk(text, sizes)})
    assert sorted(FILES) == sorted(path.stem for path in DATA.glob("*.py"))
    right(compare(pairs), pairs)


ELEMENTWISE = """
x + 2 | 3.5 - x | x * 0.3 | x / 3.0 | -x | torch.abs(x) | x ** 2 | torch.pow(x, 3) | 1.0 / (x * x + 0.1) | torch.sqrt(x * x)
torch.rsqrt(x * x + 0.1) | torch.exp(x) | torch.expm1(x) | torch.log(x * x + 0.5) | torch.log1p(x.abs()) | torch.sin(x)
torch.cos(x) | torch.erf(x) | torch.tanh(x) | torch.sigmoid(x) | F.logsigmoid(x) | F.relu(x) | F.relu6(4 * x)
F.leaky_relu(x, 0.2) | F.elu(x, alpha=0.7) | F.celu(x, 1.3) | F.selu(x) | F.silu(x) | F.mish(x) | F.softplus(x, beta=2.0)
F.softsign(x) | F.tanhshrink(x) | F.softshrink(x, 0.3) | F.hardshrink(x) | F.threshold(x, 0.1, 0.5) | F.hardtanh(x, -0.4, 0.9)
torch.clamp(x, min=-0.2) | x.clamp(max=0.3) | torch.maximum(x, 0.5 * x) | torch.minimum(x, 0.5 * x) | F.hardsigmoid(3 * x)
F.hardswish(3 * x) | F.gelu(x) | F.gelu(x, approximate="tanh") | torch.square(x) + torch.reciprocal(x * x + 1.0)
"""


def test_every_elementwise_operator_is_right_also_for_small_values_and_nan(compare):
    forwards = [forward.strip() for forward in ELEMENTWISE.replace("\n", "|").split("|") if forward.strip()]
    sources = {forward: written(reference(forward))[0] for forward in forwards}
    pairs = [
        {"name": f"{forward} {option}", "source": source, "reference": reference(forward), **option}
        for forward, source in sources.items()
        for option in ({"scale": 3.0}, {"scale": 1e-5}, {"nan": True})
    ]
    right(compare(pairs), pairs)
    used = {name for name, text in TEXTS.items() if any(_uses(source, text) for source in sources.values())}
    assert set(TEXTS) - used == {"fast_exp", "smooth_l1", "relative_entropy"}, "softmax's and the losses' own"


def _uses(source, text):
    pattern = re.escape(text).replace(r"\{0\}", r"\S+?").replace(r"\{1\}", r"\S+?").replace(r"\{2\}", r"\S+?")
    return re.search(rf"v\d+ = {pattern}$", source, re.MULTILINE) is not None


SPREAD = {  # parameter: what it is beside x of (3, 4, 6)
    "last dimension": "6",
    "last two": "4, 6",
    "middle": "4, 1",
    "first": "3, 1, 1",
    "one value": "1",
    "no dimension": "",
    "between its own dimensions": "3, 1, 6",
}


def test_a_smaller_tensor_is_read_in_place_at_every_alignment(compare):
    pairs = []
    for name, sizes in SPREAD.items():
        init = f"self.s, self.b = nn.Parameter(torch.randn({sizes or '()'})), nn.Parameter(torch.randn(6))"
        text = reference("torch.relu(x * self.s + self.b)", "torch.randn(3, 4, 6)", init=init)
        source, _ = written(text)
        larger = text.replace("torch.randn(3, 4, 6)", "torch.randn(2, 3, 4, 6)")  # what was written for (3, 4, 6)
        pairs += [{"name": f"{name} {of}", "source": source, "reference": of} for of in (text, larger)]
    right(compare(pairs), pairs)


def test_tensors_of_which_none_has_the_shape_of_the_output_are_right_too(compare):
    init = "self.s = nn.Parameter(torch.randn(5, 1))"
    text = reference("torch.tanh(x + self.s)", "torch.randn(1, 7)", init=init)
    pairs = [{"source": written(text)[0], "reference": text}]
    right(compare(pairs), pairs)


def test_only_smaller_tensors_are_read_by_their_period():
    init = "self.s, self.b = nn.Parameter(torch.randn(37)), nn.Parameter(torch.randn(37))"
    text = reference("x * self.s + self.b", init=init)
    source, _ = written(text)
    assert "at // INNER0 % COUNT0" in source and "at // INNER1 % COUNT1" in source
    assert "INNER" not in written(reference("torch.relu(x)"))[0]


ROWS = [
    "torch.softmax(x, dim={dim})",
    "F.log_softmax(x, {dim})",
    "torch.logsumexp(x, dim={dim})",
    "F.softmin(x, dim={dim})",
    "x.sum({dim})",
    "torch.mean(x, dim={dim}, keepdim=True)",
    "torch.amax(x, dim={dim})",
    "torch.min(x, dim={dim})[0]",
    "x.max({dim}, keepdim=True).values * 2.0",
    "torch.var(x, dim={dim})",
    "x.std({dim}, unbiased=False)",
    "x / torch.norm(x, p=2, dim={dim}, keepdim=True)",
    "x / torch.mean(torch.abs(x), dim={dim}, keepdim=True)",
    "F.normalize(x, dim={dim})",
    "torch.linalg.vector_norm(x, 1, dim={dim})",
]
SHAPED = [
    ("self.n(x)", "self.n = nn.LayerNorm((5, 19), elementwise_affine=False)"),
    ("self.n(x)", "self.n = nn.LayerNorm(19)"),
    ("self.n(x)", "self.n = nn.RMSNorm(19)"),
    ("F.layer_norm(x, (19,), eps=1e-3)", ""),
    ("x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.w", "self.w = nn.Parameter(torch.randn(19))"),
    ("x / torch.norm(x)", ""),
    ("F.mse_loss(x, 0.5 * x)", ""),
    ("F.l1_loss(x, x * x, reduction='sum')", ""),
    ("F.smooth_l1_loss(x, 3.0 * x, beta=0.7)", ""),
    ("F.huber_loss(x, 3.0 * x, delta=0.7)", ""),
    ("F.kl_div(torch.log(x * x), self.t, reduction='batchmean')", "self.t = nn.Parameter(torch.rand(2, 5, 19))"),
    ("torch.sum(x)", ""),
    ("x.mean(dim=(1, 2))", ""),
    ("torch.relu(x).sum(dim=-1) + F.softplus(x.abs()).amax(-1) - torch.max(x, -1).values.exp()", ""),
    ("self.n(x).mean(-1)", "self.n = nn.GELU()"),
    ("(x - x.mean((1, 2), keepdim=True)) / (x.var((1, 2), keepdim=True) + 0.1)", ""),
]
ROW_FAMILIES = (
    "row_block ROWS=4 NUM_WARPS=1",
    "row_loop ROWS=8 BLOCK=8 NUM_WARPS=1",
    "row_split ROWS=8 BLOCK=8 SPLITS=2 NUM_WARPS=1",
)


@pytest.mark.parametrize("family", ROW_FAMILIES, ids=lambda text: text.split()[0])
def test_every_reduction_is_right_along_every_dimension(compare, family):
    is_block = family.startswith("row_block")  # the others are a few times slower here, and share its formulas
    texts = [
        reference(forward.format(dim=number % 3), "torch.randn(2, 5, 19) + 0.5", init="pass")
        for number, forward in enumerate(ROWS if is_block else ROWS[::3] + ROWS[1::6])
    ]
    shaped = SHAPED if is_block else SHAPED[:1] + SHAPED[5:6] + SHAPED[-4:-3]
    texts += [reference(forward, "torch.randn(2, 5, 19) + 0.5", init=init or "pass") for forward, init in shaped]
    pairs = [{"name": text[-200:], "source": written(text, family)[0], "reference": text} for text in texts]
    pairs += [{**pairs[number], "scale": 1e5, "strided": True} for number in (0, -1)]
    right(compare(pairs), pairs)


@pytest.mark.parametrize(
    ("forward", "inputs"),
    [
        ("torch.softmax(x, dim=LAST)", "torch.randn(4, 37)"),
        ("torch.softmax(x * self.w, dim=1)", "torch.randn(4, 1)"),  # rows that no tensor alone has
        ("F.relu(x + self.n.T)", "torch.randn(4, 5)"),
        ("x @ self.m.T", "torch.randn(3, 5)"),
    ],
)
def test_names_of_the_module_and_views_of_parameters_are_right(compare, forward, inputs):
    init = "self.w, self.m, self.n = (nn.Parameter(torch.randn(*size)) for size in ((5,), (4, 5), (5, 4)))"
    text = reference(forward, inputs, init=init).replace("class Model", "LAST = -1\n\n\nclass Model")
    pairs = [{"source": written(text)[0], "reference": text}]
    right(compare(pairs), pairs)


@pytest.mark.parametrize("family", ROW_FAMILIES, ids=lambda text: text.split()[0])
def test_parameters_may_follow_a_reduction_also_those_that_stand_in_it(compare, family):
    init = "self.s, self.t = nn.Parameter(torch.randn(())), nn.Parameter(torch.rand(5, 1) + 0.5)"
    forward = "torch.sum(x * (2.0 * self.t), dim=-1, keepdim=True) / (2.0 * self.t) + self.s"
    text = reference(forward, "torch.randn(2, 5, 19)", init=init)
    pairs = [{"name": family, "source": written(text, family)[0], "reference": text}]
    right(compare(pairs), pairs)


def test_a_nan_stays_in_its_row_and_a_row_of_minus_infinity_is_none(compare):
    for forward in ("torch.amax(x, dim=1)", "torch.softmax(x, dim=1)", "torch.logsumexp(x - math.inf, dim=1)"):
        for family in ROW_FAMILIES:
            text = reference(forward)
            pairs = [{"name": forward, "source": written(text, family)[0], "reference": text, "nan": True}]
            right(compare(pairs), pairs)


RANKS = [  # published, and what the same kernel is called with as well
    ("torch.softmax(x, dim=-1)", "torch.randn(4, 37)", "torch.randn(2, 3, 5)"),
    ("x / torch.norm(x, dim=-1, keepdim=True)", "torch.randn(4, 5, 37)", "torch.randn(7)"),
    ("F.layer_norm(x, (37,))", "torch.randn(4, 5, 37)", "torch.randn(3, 37)"),
    ("x.sum()", "torch.randn(4, 37)", "torch.randn(2, 3, 5)"),
    ("F.mse_loss(x, 0.5 * x)", "torch.randn(4, 37)", "torch.randn(2, 3, 5)"),
    ("torch.matmul(x, self.v)", "torch.randn(4, 5)", "torch.randn(2, 5, 5)"),
    ("x.mean(dim=(1, 2))", "torch.randn(4, 5, 37)", "torch.randn(2, 3, 4, 5)"),
    ("torch.softmax(x, 1) * self.w", "torch.randn(4, 5)", "torch.randn(1, 5)"),
]


def test_a_reduction_is_right_for_tensors_of_another_rank(compare):
    """A dimension counted from the end stays one: softmax over dim=-1 of a matrix was one over the middle of a batch."""
    pairs = []
    for forward, published, other in RANKS:
        one, two = (
            reference(
                forward, inputs, init="self.v, self.w = nn.Parameter(torch.randn(5)), nn.Parameter(torch.randn(4, 1))"
            )
            for inputs in (published, other)
        )
        pairs += [{"name": forward, "source": written(one, f)[0], "reference": two} for f in ROW_FAMILIES]
    right(compare(pairs), pairs)


@pytest.mark.parametrize(
    ("forward", "x", "y"),
    [
        ("torch.softmax(x, 1) * y", "4, 1", "4, 5"),
        ("torch.softmax(x, 1) * y", "4, 5", "2, 4, 1"),
        ("x.sum(1, keepdim=True) * y", "4, 5", "4, 5"),
    ],
)
def test_a_tensor_that_would_make_rows_longer_is_refused(compare, forward, x, y):
    one = reference(forward, "torch.randn(4, 37), torch.randn(4, 1)", "x, y")
    two = reference(forward, f"torch.randn({x}), torch.randn({y})", "x, y")
    (answer,) = compare([{"source": written(one)[0], "reference": two, "refused": True}])
    assert "do not fit" in answer["refused"]


def test_what_an_operator_overwrites_is_read_as_it_is_then(compare):
    text = reference("F.relu(x, inplace=True) + x")
    pairs = [{"source": written(text)[0], "reference": text}]
    right(compare(pairs), pairs)


PRODUCTS = [
    ("A @ B", "torch.randn(33, 50), torch.randn(50, 18)"),
    ("torch.mm(A.T, B.t())", "torch.randn(50, 33), torch.randn(18, 50)"),
    ("torch.matmul(A, B)", "torch.randn(2, 3, 5, 50), torch.randn(3, 50, 18)"),
    ("torch.matmul(A, B)", "torch.randn(2, 3, 5, 50), torch.randn(50, 18)"),
    ("torch.bmm(A, B.transpose(1, 2))", "torch.randn(3, 5, 50), torch.randn(3, 18, 50)"),
    ("torch.einsum('bijl,lk->bijk', A, B)", "torch.randn(2, 3, 4, 50), torch.randn(50, 18)"),
    ("torch.einsum('bik,bjk->bij', A, B)", "torch.randn(2, 5, 50), torch.randn(2, 18, 50)"),
    ("F.linear(A, B, self.b)", "torch.randn(2, 5, 50), torch.randn(18, 50)"),
    ("F.gelu(torch.addmm(self.b, A, B)) * 0.3", "torch.randn(33, 50), torch.randn(50, 18)"),
    ("torch.tanh(A @ B + self.w)", "torch.randn(33, 50), torch.randn(50, 18)"),
]
TILE = "matrix_product BLOCK_M=32 BLOCK_N=16 BLOCK_K=16 GROUP_M=2 PRECISION={} NUM_WARPS=1 NUM_STAGES=2 SPLIT_K={}"


def test_every_product_is_right_whole_and_in_parts(compare):
    init = "self.b = nn.Parameter(torch.randn(18)); self.w = nn.Parameter(torch.randn(33, 18))"
    pairs = []
    for number, (forward, inputs) in enumerate(PRODUCTS):
        for precision, parts in (("ieee", 1), ("ieee" if number % 2 else "tf32x3", 4)):
            inputs_of = inputs.replace("50", "300") if parts > 1 else inputs
            text = reference(forward, inputs_of, "A, B", init)
            source, _ = written(text, TILE.format(precision, parts))
            pairs.append({"name": f"{forward} {parts}", "source": source, "reference": text})
    half = reference("A @ B", "torch.randn(33, 50).half(), torch.randn(50, 18).half()", "A, B")
    pairs.append({"source": written(half)[0], "reference": half, "floor": 5e-4})
    right(compare(pairs), pairs)


def test_a_product_is_right_where_parts_or_sums_are_empty(compare):
    """35 blocks of K in 8 parts of 5: the last part begins where K ends, and read beyond it."""
    published = reference("A @ B", "torch.randn(5, 2000), torch.randn(2000, 18)", "A, B")
    source, _ = written(published, TILE.format("ieee", 8))
    others = ["torch.randn(5, 560), torch.randn(560, 18)", "torch.randn(5, 0), torch.randn(0, 18)"]
    pairs = [{"name": inputs, "source": source, "reference": reference("A @ B", inputs, "A, B")} for inputs in others]
    right(compare(pairs), pairs)


def test_more_products_than_a_grid_counts_are_several_launches(compare):
    """70001 products were refused; here a launch takes two in place of 2**15."""
    text = reference("A @ B + C", "torch.randn(5, 3, 9), torch.randn(5, 9, 4), torch.randn(5, 3, 4)", "A, B, C")
    source, _ = written(text, TILE.format("ieee", 1))
    assert source.count("2**15") == 2
    pairs = [{"source": source.replace("2**15", "2"), "reference": text}]
    right(compare(pairs), pairs)


CONVOLUTION = {
    "plain": "Conv3d(4, 6, (2, 3, 1), padding=(1, 2, 0), bias=True)",
    "grouped": "Conv3d(4, 6, (2, 1, 3), dilation=(1, 1, 2), padding=(0, 0, 3), groups=2)",
    "strided": "Conv3d(4, 6, (2, 3, 2), stride=(2, 1, 3), padding=(1, 0, 1), bias=True)",
    "wide padding": "Conv3d(4, 6, 2, padding=2)",
    "same": "Conv3d(4, 6, (2, 3, 4), padding='same', dilation=(1, 2, 1))",
}
GEMM = "BLOCK_M=64 BLOCK_N=16 BLOCK_K=16 GROUP_M=2 PRECISION=ieee NUM_WARPS=4 NUM_STAGES=2"
GATHERS = ("gather BLOCK_M=64 BLOCK_N=4 GROUP_M=2 NUM_WARPS=4", f"gather_gemm {GEMM}")
MIRRORED = (
    "direct BLOCK_M=64 BLOCK_N=4 GROUP_M=2 NUM_WARPS=4",
    f"phase_window {GEMM} JOIN=width LEFT=weights PROMOTE=2 LOADS=pointers",
    f"phase_window {GEMM} JOIN=width LEFT=pixels PROMOTE=2 LOADS=pointers",
    "slab PRECISION=split PIXELS=1 POSITIONS=256 SLABS=1 STAGES=2",
)


@pytest.mark.parametrize("kind", CONVOLUTION)
def test_convolutions_are_right_mirrored_and_gathered(compare, kind):
    """What is written for stride 1 must also serve the others: it falls back to the gather kernel."""
    texts = {
        name: reference("self.c(x)", "torch.randn(2, 4, 2, 3, 4)", init=f"self.c = nn.{layer}")
        for name, layer in CONVOLUTION.items()
    }
    pairs = []
    falls_back = kind in ("strided", "wide padding")
    for configuration in (*GATHERS, *(MIRRORED[:1] if falls_back else MIRRORED)):
        written_for = texts["strided" if configuration in GATHERS else "plain"]
        source, _ = written(written_for, configuration)
        old = re.search(r"self\.c = nn\.Conv3d\(.*\)", source)[0]
        moved = source.replace(old, f"self.c = nn.{CONVOLUTION[kind]}")
        pairs.append({"name": configuration, "source": moved, "reference": texts[kind]})
    right(compare(pairs), pairs)


@pytest.mark.parametrize(
    ("forward", "says"),
    [
        ("torch.cumsum(x, dim=1)", r"line 13 .*torch.cumsum. is not known"),
        ("torch.argmax(x, dim=1)", r"torch.argmax. is not known"),
        ("self.p(x)", r"line 13 .*`self.p`, a torch.nn.MaxPool1d, is not known"),
        ("x ** 1.7", "a power other than"),
        ("x.softmax(dim=1, dtype=torch.float64)", "dtype"),
        ("torch.softmax(x, dim=1) + torch.softmax(x, dim=0)", "different dimensions"),
        ("torch.sum(x, dim=(0, 2))", "not neighbours"),
        ("x - x.mean(dim=1)[0] * x", "is not read"),
        ("self.l(torch.relu(x))", "is computed"),
        ("x[:, ::2]", "is not read"),
        (
            "torch.softmax(self.l(x), dim=1)",
            r"line \d+, `return torch.softmax.*`: matrix product, max over dimension 1",
        ),
        ("x > 0", "is not read"),
        ("x * self.k", "`self.k` is a tensor that is no part of the state_dict"),
        ("x * self.m", "`self.m` is assigned nowhere to self"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(forward, says):
    inputs = "torch.randn(3, 5, 5)" if "(0, 2)" in forward else "torch.randn(5, 5)"
    made = "self.l, self.p, self.k = nn.Linear(5, 5), nn.MaxPool1d(5), torch.ones(5)"
    text = reference(forward, inputs, init=f"{made}; self.register_buffer('m', torch.ones(5), persistent=False)")
    with pytest.raises(NothingToPropose, match=says) as refused:
        written(text)
    assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@pytest.mark.parametrize(
    ("forward", "inputs", "says"),
    [
        ("torch.softmax(self.w, dim=0) * x", "torch.randn(1, 5)", "more dimensions than what is reduced"),
        ("x.mean()", "torch.randn(())", "reduces a single number"),
        ("F.softmax(x)", "torch.randn(4, 5)", "softmax without a dimension"),
        ("x.sum()", "torch.empty(3, 1 << 30, device='meta')", "than 32 bits count"),
        ("torch.relu(x)", "torch.randn(0, 5)", "no elements"),
        ("self.c(x)", "torch.randn(2, 3, 9)", "pads convolutions with zeros, not by 'reflect'"),
    ],
)
def test_what_no_kernel_serves_is_refused_with_the_reason(forward, inputs, says):
    made = "self.w, self.c = nn.Parameter(torch.randn(5)), None"
    if "self.c" in forward:
        made = "self.c = nn.Conv1d(3, 4, 3, padding=1, padding_mode='reflect')"
    with pytest.raises(NothingToPropose, match=says):
        written(reference(forward, inputs, init=made))


@pytest.mark.parametrize("held", ["torch.rand(5, 37) > 0.5", "torch.arange(37)", "torch.rand(37).half()"])
def test_tensors_of_another_type_are_refused_where_they_are_read(held):
    init = f"self.register_buffer('m', {held})"
    with pytest.raises(NothingToPropose, match=r"computes in one type, fp32, fp16 or bf16, not .*float32"):
        written(reference("x * self.m", "torch.randn(5, 37)", init=init))
    assert "elementwise" in written(reference("torch.relu(x)", init=init))[0], "not read"


def test_a_value_used_twice_in_each_of_forty_steps_is_computed_once_in_each():
    steps = "".join("        x = x * torch.sigmoid(x) + x\n" for _ in range(40))
    text = reference("x").replace("        return x\n", f"{steps}        return x / x.norm(dim=1, keepdim=True)\n")
    begun = time.perf_counter()
    source, _ = written(text, ROW_FAMILIES[2])
    assert time.perf_counter() - begun < 2.0, "mostly the judge's facts"
    assert source.count("tl.exp(") == 80, "in both passes"


def test_statements_that_are_no_assignments_are_refused():
    looped = reference("x").replace("return x\n", "for _ in range(2):\n            x = x + 1\n        return x\n")
    with pytest.raises(NothingToPropose, match="statements other than assignments"):
        written(looped)


def test_the_value_of_a_maximum_is_read_and_its_index_is_not():
    unpacked = reference("x").replace("return x\n", "v, i = torch.max(x, dim=1)\n        return {} * 2.0\n")
    assert written(unpacked.format("v"))[1].family.startswith("row_")
    with pytest.raises(NothingToPropose, match="`i` is not a tensor"):
        written(unpacked.format("i"))


def test_families_of_a_kind_serve_it_on_every_card_and_share_their_words_with_the_cards():
    from evaluators.gpu_catalog import all_gpus
    from prompts.cards import built_in_card

    for kind in ("elementwise", "rows", "products", "convolutions", ""):
        for family in known_families(kind):
            assert (family.idea, family.pays_when) == (
                built_in_card(family.name).idea,
                built_in_card(family.name).pays_when,
            )
    for gpu in all_gpus():
        for name in ("softmax", "layer_norm", "linear_relu", "activation_chain", "conv1d_dilated_strided"):
            _, configuration = written((DATA / f"{name}.py").read_text(), gpu=gpu.key)
            assert family_of(configuration) is not None


def test_scaled_products_need_the_fp32_class_unless_less_is_asked_for():
    text = (DATA / "square_matmul.py").read_text()
    words = {}
    for precision in ("reference", "tf32", "fp32"):
        problem = problem_from(text, key="t").at_precision(precision)
        context = Context(
            role="propose",
            problem=problem,
            facts=facts_of(problem),
            gpu=load_gpu("h100-sxm"),
            stage=load_stage("algorithm"),
        )
        plan = PlaybookProposer().propose(context, "").reply.partition("\n")[0]
        words[precision] = read_configuration(plan).word("PRECISION")
    assert words == {"reference": "ieee", "tf32": "tf32", "fp32": "ieee"}
