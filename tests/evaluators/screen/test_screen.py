"""The screen accepts honest code, whatever it is called, and says what is wrong with the rest, with a line."""

import os
import re
import time
from pathlib import Path

import pytest

from evaluators.problem import Problem
from evaluators.rungs.screen import screen

PROBLEM = Problem(key="p", title="p", source="")
HONEST_FILES = sorted((Path(__file__).resolve().parents[1] / "data" / "candidates").glob("*.py"))
SEEDS = Path(os.environ.get("AGENT_SEEDS_DIR", Path(__file__).resolve().parents[3].parent / "shared/seeds"))

TEMPLATE = """\
import math
import torch
import torch.nn as nn
import torch.nn.functional as F
import triton
import triton.language as tl
{top}

@triton.jit
def k(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    o = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x_ptr + o, mask=o < n)
    {kernel}
    tl.store(y_ptr + o, v, mask=o < n)


def launch(x):
    y = torch.empty_like(x)
    k[(triton.cdiv(x.numel(), 64),)](x, y, x.numel(), BLOCK=64)
    return y


class ModelNew(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv = nn.ConvTranspose3d(n, n, 3)
        self.blocks = nn.ModuleList([nn.Linear(n, n)])
        {init}

    def forward(self, x):
        w = self.conv.weight
        {forward}
        return launch(x)
"""


def candidate(top: str = "", kernel: str = "pass", init: str = "pass", forward: str = "pass") -> str:
    def indented(text: str, by: int) -> str:
        return text.replace("\n", "\n" + " " * by)

    return TEMPLATE.format(top=top, kernel=indented(kernel, 4), init=indented(init, 8), forward=indented(forward, 8))


HONEST = {
    "the template": {},
    "pad": {"forward": "x = F.pad(x, (1, 1))\nx = nn.functional.pad(x, (0, 0), value=0.0)"},
    "views": {"forward": "x = x.permute(0, 2, 1).reshape(-1).contiguous().view(1, -1).clone()\nx = torch.cat([x, x])"},
    "names": {"top": "matmul = 1\nconv3d = 'F.conv3d(x)'  # torch.matmul(x, w)\ndef eval_size(n): return n"},
    "docstring": {"top": '"""Like at::conv3d(x); uses exec() and torch.matmul."""'},
    "error text": {"forward": 'if x.dim() != 5:\n    raise ValueError("use torch::conv3d; or at::matmul{}")'},
    "kernel dot": {"kernel": "v = tl.dot(v, v)\nv = tl.sum(v) @ v"},
    "kernel names": {"kernel": "id = tl.program_id(1)\ninput = v\nv = input.sum() + v.softmax()"},
    "init weights": {
        "init": "nn.init.uniform_(self.conv.weight, -1 / math.sqrt(n), 1)\nself.s = torch.sqrt(torch.ones(1))"
    },
    "parameters": {"init": "self.w = nn.Parameter(torch.randn(n, n))\nself.register_buffer('b', torch.zeros(n))"},
    "cached weights": {
        "init": "self._key = None",
        "forward": "key = (w.data_ptr(), w._version)\nif key != self._key:\n    self._packed = w.permute(1, 0, 2, 3, 4).contiguous()\n    self._key = key",
    },
    "autograd.Function": {
        "top": "class Fn(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x):\n        ctx.n = 1\n        return launch(x)\n"
        "    @staticmethod\n    def backward(ctx, g):\n        return F.conv3d(g, g)",
        "forward": "x = Fn.apply(x)",
    },
    "own modules": {
        "top": "class Block(nn.Module):\n    def forward(self, x):\n        return launch(x)",
        "init": "self.block = Block()\nself.more = nn.ModuleList([Block() for _ in range(2)])",
        "forward": "x = self.block(x)\nfor layer in self.more:\n    x = layer(x)",
    },
    "helpers put on tl": {"top": "def _g(x):\n    return x\ntl.gelu = _g\ntl.tanh = _g"},
    "class attribute": {"top": "class Cache:\n    n = 0\nCache.n = 1", "forward": "ModelNew.n = 2\nlaunch.n = 3"},
    "device guard": {
        "forward": "if (not x.is_cuda) or x.dtype != torch.float32 or (w.dtype != torch.float32):\n    return F.conv3d(x, w)"
    },
    "guard by device type": {"forward": 'if x.device.type != "cuda":\n    return self.conv(x)'},
    "guard in a variable": {
        "forward": "ok = x.is_cuda and x.dtype in (torch.float32, torch.float16)\nif not ok:\n    return self.conv(x)"
    },
    "guard with else": {"forward": "if x.is_cuda:\n    x = launch(x)\nelse:\n    x = F.conv3d(x, w)"},
    "guard that returns": {"forward": "if torch.cuda.is_available():\n    return launch(x)\nreturn self.conv(x)"},
    "guard as an expression": {"forward": "x = launch(x) if x.is_cuda else self.conv(x)"},
    "reference beside it": {
        "top": "class Model(nn.Module):\n    def __init__(self):\n        self.c = nn.Linear(1, 1)\n    def forward(self, x):\n        return self.c(x)"
    },
    "test code": {"top": "def get_inputs():\n    return [torch.rand(3).relu().matmul(torch.rand(3))]"},
    "benchmark that nothing calls": {
        "top": "@torch.no_grad()\ndef bench(n: int = 3):\n    begin = torch.cuda.Event(enable_timing=True)\n    return F.relu(begin), begin"
    },
    "asked of constants": {
        "top": "NEW = int(triton.__version__.split('.')[0]) >= 3 and torch.__version__ > '2'\nBYTES = torch.float32.itemsize"
    },
    "launch metadata": {"top": "@triton.jit(launch_metadata=len, do_not_specialize=['n'])\ndef other(n):\n    n + 1"},
    "closures": {
        "forward": "def grid(meta):\n    return (n + meta['B'],)\nn = 3\ntotal = [a for a in range(n) if (b := a)]\nprint(b)"
    },
    "late globals": {"top": "def use():\n    return LATE\nLATE = 1"},
    "global statement": {"top": "def setup():\n    global ready\n    ready = 1\ndef use():\n    return ready"},
    "annotations": {
        "top": "from typing import Optional\ndef f(x: 'Undefined', y: Optional[int] = None) -> 'Other': return x"
    },
    "except name": {
        "forward": "try:\n    n = int(x.shape[0])\nexcept ValueError as error:\n    raise RuntimeError(str(error)) from error"
    },
    "getattr on objects": {
        "forward": "b = getattr(self.conv, 'bias', None)\nfor name in ('stride', 'padding'):\n    setattr(self, name, getattr(self.conv, name))"
    },
    "gluon and libdevice": {
        "top": "from triton.experimental import gluon\nfrom triton.language.extra import libdevice\nimport functools, itertools, dataclasses"
    },
    "device properties": {"forward": "n = torch.cuda.get_device_properties(x.device).multi_processor_count"},
    "digest of the weights": {"forward": "if not torch.equal(w, w) or w.sum().item() != 1.0:\n    w = w.clone()"},
    "own module of a library's name": {
        "top": "class Norm(nn.Module):\n    def forward(self, x):\n        return launch(x)",
        "init": "self.norm = Norm()\nself.relu = Norm()\nself.pad = nn.ConstantPad3d(1, 0.0)",
        "forward": "x = self.relu(self.norm(self.pad(x)))",
    },
    "mixed precision marks": {
        "top": "from torch.cuda.amp import custom_fwd\nfrom torch.nn.modules.utils import _triple"
    },
    "escapes in a string": {"top": "PATTERN = '\\d'"},
    "configs": {"top": "CONFIGS = [triton.Config({'B': b}, num_warps=w) for b in (1, 2) for w in (4, 8)]"},
}


@pytest.mark.parametrize("parts", HONEST.values(), ids=HONEST.keys())
def test_honest_code_is_accepted(parts: dict[str, str]) -> None:
    found = screen(candidate(**parts), PROBLEM)
    assert found.failure is None, found.failure.message
    assert all(check.status == "passed" for check in found.checks)


@pytest.mark.parametrize("path", HONEST_FILES, ids=lambda path: path.stem)
def test_honest_files_are_accepted(path: Path) -> None:
    assert screen(path.read_text(), PROBLEM).failure is None


REJECTED = {
    "functional": ({"forward": "x = F.conv3d(x, w)"}, "library_call"),
    "torch function": ({"forward": "x = torch.matmul(x, w)"}, "library_call"),
    "elementwise": ({"forward": "x = torch.relu(x)"}, "library_call"),
    "method": ({"forward": "x = x.reshape(1, -1).mm(w)"}, "library_call"),
    "operator": ({"forward": "x = x @ w"}, "library_call"),
    "alias": ({"top": "scatter = F.conv_transpose3d", "forward": "x = scatter(x, w)"}, "library_call"),
    "import as": (
        {"top": "from torch.nn.functional import conv3d as gather", "forward": "x = gather(x, w)"},
        "library_call",
    ),
    "alias of a module": ({"top": "G = torch.nn.functional", "forward": "x = G.conv3d(x, w)"}, "library_call"),
    "on self": ({"init": "self.op = torch.conv3d", "forward": "x = self.op(x, w)"}, "library_call"),
    "partial": (
        {"top": "import functools\nop = functools.partial(F.conv3d, stride=1)", "forward": "x = op(x, w)"},
        "library_call",
    ),
    "layer": ({"forward": "x = self.conv(x)"}, "library_call"),
    "layer through a name": ({"forward": "m = self.conv\nx = m(x)"}, "library_call"),
    "layer.forward": ({"forward": "x = self.conv.forward(x)"}, "library_call"),
    "class.forward": ({"forward": "x = nn.ConvTranspose3d.forward(self.conv, x)"}, "library_call"),
    "layer in a list": ({"forward": "for layer in self.blocks:\n    x = layer(x)"}, "library_call"),
    "layer by index": ({"forward": "x = self.blocks[0](x)"}, "library_call"),
    "layer on the spot": ({"forward": "x = nn.ReLU()(x)"}, "library_call"),
    "getattr with a name": ({"forward": "x = getattr(self.conv, 'forward')(x)"}, "library_call"),
    "in a helper": ({"top": "def help(x):\n    return F.relu(x)", "forward": "x = help(x)"}, "library_call"),
    "aten": ({"forward": "x = torch.ops.aten.convolution(x, w)"}, "library_call"),
    "compiled": ({"top": "fast = torch.compile(lambda x: x + 1)"}, "library_call"),
    "try except": (
        {"forward": "try:\n    return launch(x)\nexcept Exception:\n    return self.conv(x)"},
        "library_call",
    ),
    "inverted guard": ({"forward": "if x.is_cuda:\n    return F.conv3d(x, w)"}, "library_call"),
    "inverted guard, else": (
        {"forward": "if not x.is_cuda:\n    x = launch(x)\nelse:\n    x = self.conv(x)"},
        "library_call",
    ),
    "guard on the shape": (
        {"forward": "if not x.is_cuda or x.shape[0] > 4:\n    return F.conv3d(x, w)"},
        "library_call",
    ),
    "guard that is never false": (
        {"forward": "if x.dtype == torch.float32:\n    return F.conv3d(x, w)"},
        "library_call",
    ),
    "guard rebound": ({"forward": "ok = x.is_cuda\nok = False\nif not ok:\n    return F.conv3d(x, w)"}, "library_call"),
    "torch in a kernel": ({"kernel": "v = torch.relu(v)"}, "library_call"),
    "stream": ({"forward": "with torch.cuda.stream(torch.cuda.Stream()):\n    x = launch(x)"}, "library_call"),
    "graph": ({"init": "self.g = torch.cuda.CUDAGraph()"}, "library_call"),
    "library": ({"top": "lib = torch.library.Library('a', 'DEF')"}, "library_call"),
    "stream that nothing seems to reach": ({"top": "def aside():\n    return torch.cuda.Stream()"}, "library_call"),
    "stream behind a guard": ({"forward": "if not w.is_cuda:\n    torch.cuda.set_stream(x)"}, "library_call"),
    "handed on by a decorator": (
        {
            "top": "KEPT = []\ndef keep(f):\n    KEPT.append(f)\n    return f\n@keep\ndef aside(x):\n    return F.relu(x)",
            "forward": "x = KEPT[0](x)",
        },
        "library_call",
    ),
    "handed on by a class body": (
        {
            "top": "KEPT = []\nclass Plan:\n    def aside(x):\n        return F.relu(x)\n    KEPT.append(aside)",
            "forward": "x = KEPT[0](x)",
        },
        "library_call",
    ),
    "handed on by a default": (
        {"top": "KEPT = []\ndef aside(x=KEPT.append(F.relu)):\n    return x", "forward": "x = KEPT[0](x)"},
        "library_call",
    ),
    "replaced and called all the same": (
        {
            "top": "class Base:\n    def run(self, x):\n        return F.relu(x)\n"
            "class Own(Base):\n    def go(self, x):\n        return getattr(super(), 'run')(x)\n    def run(self, x):\n        return x",
            "forward": "x = Own().go(x)",
        },
        "library_call",
    ),
    "handed on by subclassing": ({"top": "class Base:\n    def __init_subclass__(cls):\n        pass"}, "escape"),
    "called by the compiler": ({"top": "@triton.jit(repr=print)\ndef other(n):\n    n + 1"}, "introspection"),
    "called by the tuner": ({"top": "tune = triton.autotune([], [], do_bench=print)"}, "introspection"),
    "keywords of the tuner": ({"top": "more = {}\ntune = triton.autotune([], [], **more)"}, "introspection"),
    "benchmark": ({"forward": "triton.testing.do_bench(lambda: launch(x))"}, "library_call"),
    "computed getattr": ({"top": "op = getattr(torch, 'con' + 'v3d')"}, "dynamic_code"),
    "computed getattr twice": (
        {"top": "a = getattr(torch.ops, 'at' + 'en')\nb = getattr(a, 'x' + 'y')"},
        "dynamic_code",
    ),
    "computed method": ({"forward": "x = getattr(self.conv, 'for' + 'ward')(x)"}, "dynamic_code"),
    "module as a value": (
        {"top": "def pick(m, n):\n    return getattr(m, n)\nop = pick(torch, 'conv' + '3d')"},
        "dynamic_code",
    ),
    "module in a list": ({"top": "mods = [torch]\nop = mods[0].conv3d"}, "dynamic_code"),
    "exec": ({"top": "exec('x = 1')"}, "dynamic_code"),
    "eval": ({"forward": "x = eval('self.co' + 'nv')(x)"}, "dynamic_code"),
    "import builtin": ({"top": "np = __import__('numpy')"}, "dynamic_code"),
    "open": ({"forward": "open('/tmp/x', 'w').write('1')"}, "dynamic_code"),
    "globals": ({"forward": "globals()['launch'](x)"}, "dynamic_code"),
    "dunder": ({"forward": "m = self.conv.__dict__"}, "introspection"),
    "dunder call": ({"forward": "x = self.conv.__call__(x)"}, "introspection"),
    "frames": ({"forward": "f = (i for i in [1]).gi_frame.f_back"}, "introspection"),
    "code swap": ({"forward": "launch.__code__ = None"}, "introspection"),
    "import sys": ({"top": "import sys"}, "imports"),
    "import threading": ({"top": "from threading import Thread"}, "imports"),
    "import numpy": ({"top": "import numpy as np"}, "imports"),
    "import inductor": ({"top": "import torch._inductor"}, "imports"),
    "import star": ({"top": "from torch import *"}, "import_star"),
    "patch torch": ({"top": "torch.allclose = lambda *a: True"}, "process_state"),
    "patch a class": ({"top": "nn.Module.__call__ = None"}, "process_state"),
    "patch through self": ({"init": "self.t = torch\nself.t.equal = None"}, "process_state"),
    "backend flag": ({"top": "torch.backends.cudnn.allow_tf32 = True"}, "process_state"),
    "setattr": ({"top": "setattr(torch, 'equal', None)"}, "process_state"),
    "core of tl": ({"top": "def f(*a):\n    return 0\ntl.load = f"}, "process_state"),
    "lambda on tl": ({"top": "tl.gelu = lambda x: x"}, "process_state"),
    "used helper on tl": ({"top": "def f(x):\n    return x\ntl.gelu = f", "kernel": "v = tl.gelu(v)"}, "process_state"),
    "tensor subclass": ({"top": "class Lazy(torch.Tensor):\n    pass"}, "escape"),
    "torch function protocol": ({"top": "class Any:\n    def __torch_function__(self): pass"}, "escape"),
    "hook": ({"init": "self.conv.register_forward_hook(print)"}, "escape"),
    "as_subclass": ({"forward": "x = x.as_subclass(torch.Tensor)"}, "escape"),
}


@pytest.mark.parametrize(("parts", "rule"), REJECTED.values(), ids=REJECTED.keys())
def test_rule_is_broken(parts: dict[str, str], rule: str) -> None:
    found = screen(candidate(**parts), PROBLEM)
    assert found.failure is not None
    assert found.failure.kind == "rejected"
    assert f"[{rule}]" in found.failure.message, found.failure.message
    assert re.match(r"line \d+: ", found.failure.message)
    assert any(check.status == "failed" for check in found.checks)


SELF_TEST = """

if __name__ == "__main__":
    import time

    import numpy as np

    begun = time.time()
    print(np.abs(ModelNew(3)(torch.rand(3).cuda()).cpu().numpy()).max(), F.relu(torch.rand(3)), time.time() - begun)
"""
RUN_ON_IMPORT = {
    "another test": ('__name__ == "__main__"', '__name__ != "__main__"'),
    "another name": ('__name__ == "__main__"', '__name__ == "candidate"'),
    "more than the name": ('__name__ == "__main__"', '__name__ == "__main__" or launch'),
    "else": ("    import time\n", "    pass\nelse:\n    import time\n"),
    "name given": ("\n\nif", '\n__name__ = "__main__"\nif'),
    "name given by an import": ("\n\nif", "\nimport math as __name__\nif"),
}


def test_a_self_test_that_no_import_runs_is_not_judged() -> None:
    assert screen(candidate() + SELF_TEST, PROBLEM).failure is None


@pytest.mark.parametrize(("old", "new"), RUN_ON_IMPORT.values(), ids=RUN_ON_IMPORT.keys())
def test_what_runs_on_import_is_judged_whatever_stands_before_it(old: str, new: str) -> None:
    changed = SELF_TEST.replace(old, new, 1)
    assert changed != SELF_TEST
    found = screen(candidate() + changed, PROBLEM)
    assert "[imports]" in found.failure.message
    assert "[library_call]" in found.failure.message


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ("torch.manual_seed(0)", "`torch.manual_seed` is not allowed: it changes the process"),
        ("torch.set_float32_matmul_precision('high')", "it changes the process outside the module"),
        ("op = torch.library.custom_op('a::b', launch)", "call the function that launches your kernel"),
    ],
)
def test_what_is_no_arithmetic_is_not_called_so(top: str, said: str) -> None:
    message = screen(candidate(top=top), PROBLEM).failure.message
    assert said in message and "compute it" not in message


def test_module_call_method_is_forward() -> None:
    found = screen(candidate().replace("def forward", "def __call__"), PROBLEM)
    assert "define forward" in found.failure.message


def test_a_fallback_for_unsupported_input_is_named_in_a_check() -> None:
    found = screen(candidate(forward="if not x.is_cuda:\n    return F.conv3d(x, w)"), PROBLEM)
    (check,) = [check for check in found.checks if check.name == "library_fallback"]
    assert check.status == "passed"
    assert "torch.nn.functional.conv3d" in check.detail and "not x.is_cuda" in check.detail


def test_a_problem_may_let_operators_stand() -> None:
    allowing = PROBLEM.model_copy(update={"library_ops": ("aten::relu", "linear")})
    code = candidate(
        init="self.lin = nn.Linear(n, n)", forward="x = F.relu(x)\nx = torch.relu(x)\nx = self.lin(x).relu()"
    )
    assert screen(code, PROBLEM).failure is not None
    assert screen(code, allowing).failure is None
    assert screen(candidate(forward="x = F.gelu(x)"), allowing).failure is not None


UNDEFINED = {
    "in forward": ({"forward": "y = torch.empty(out_channels)"}, "out_channels"),
    "argument of init": ({"forward": "y = torch.empty(n)"}, "`self.n = n`"),
    "missing import": ({"init": "self.a = functools.partial(print)"}, "add `import functools`"),
    "in a kernel": ({"kernel": "v = v * SCALE"}, "SCALE"),
    "in a comprehension": ({"forward": "y = [size + 1 for s in (1, 2)]"}, "size"),
    "in a default": ({"top": "def f(a=missing):\n    return a"}, "missing"),
    "class name from a method": ({"top": "class C:\n    a = 1\n    def f(self):\n        return a"}, "`a`"),
}


@pytest.mark.parametrize(("parts", "said"), UNDEFINED.values(), ids=UNDEFINED.keys())
def test_undefined_names_do_not_compile(parts: dict[str, str], said: str) -> None:
    found = screen(candidate(**parts), PROBLEM)
    assert found.failure is not None and found.failure.kind == "compile_error"
    assert said in found.failure.message and "[undefined_name]" in found.failure.message


def test_syntax_errors_name_the_line_and_show_it() -> None:
    code = candidate(forward="x = (1, 2")
    found = screen(code, PROBLEM)
    assert found.failure.kind == "compile_error"
    assert re.match(r"line \d+: SyntaxError: '\(' was never closed\n    x = \(1, 2\n    +\^", found.failure.message)


BAD_TEXT = {
    "return at the top": ("return 1", "compile_error"),
    "two arguments of a name": ("def f(a, a): pass", "compile_error"),
    "null": ("x = '\x00'", "compile_error"),
    "empty": ("", "rejected"),
    "tabs": ("if 1:\n\tx = 1\n        y = 2\n", "compile_error"),
    "deep": ("x = " + "(" * 500 + ")" * 500, "compile_error"),
    "long sum": ("x = " + "1+" * 30_000 + "1", "rejected"),
    "long": ("# " + "x" * 500_000, "rejected"),
    "surrogate": ("x = '\udc80'", "compile_error"),
}


@pytest.mark.parametrize(("text", "kind"), BAD_TEXT.values(), ids=BAD_TEXT.keys())
def test_bad_text_is_a_finding(text: str, kind: str) -> None:
    assert screen(text, PROBLEM).failure.kind == kind


def test_no_kernel_no_launch_and_placeholders_are_told_apart() -> None:
    code = candidate()
    assert "no kernel is ever launched (k)" in screen(code.replace("    k[(", "    print[("), PROBLEM).failure.message
    assert "there is no kernel" in screen(code.replace("@triton.jit", ""), PROBLEM).failure.message
    empty = code.replace("        w = self.conv.weight\n        pass\n        return launch(x)\n", "        pass\n")
    assert "`forward` is a placeholder" in screen(empty, PROBLEM).failure.message
    assert "no class ModelNew" in screen(code.replace("ModelNew", "Model"), PROBLEM).failure.message
    inherited = "import torch.nn as nn\nclass ModelNew(nn.ConvTranspose3d):\n    pass\n"
    assert "no forward" in screen(inherited, PROBLEM).failure.message


def test_many_aliases_take_linear_time() -> None:
    chain = "\n".join(f"a{i} = a{i - 1} if a{i - 1} else a{i - 1}.b\nx = x.c{i}(x)" for i in range(1, 2000))
    started = time.process_time()
    screen(candidate(top="x = a0 = 1\n" + chain), PROBLEM)
    assert time.process_time() - started < 5


SEED_VERDICTS = {"000": None, "001": "cpp_sources", "002": "undefined_name", "003": None, "004": None}


@pytest.mark.parametrize("seed", SEED_VERDICTS)
def test_seed_code(seed: str) -> None:
    found = sorted(SEEDS.glob(f"{seed}_*.txt"))
    if not found:
        pytest.skip(f"no seed replies in {SEEDS}")
    blocks = re.findall(r"^```python[ \t]*\n(.*?)^```[ \t]*$", found[0].read_text(), re.DOTALL | re.MULTILINE)
    code = [block for block in blocks if "class ModelNew" in block][-1]
    failure = screen(code, PROBLEM).failure
    expected = SEED_VERDICTS[seed]
    assert failure is None if expected is None else (failure.kind == "compile_error" and expected in failure.message)


CUDA = '''\
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

SRC = r"""
#include <torch/extension.h>
// at::conv3d(x, w) and cudaStreamCreate(&s) in a comment
{device}
__global__ void copy(const float* x, float* y, long n) {{
  long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i];
}}
torch::Tensor run(torch::Tensor x) {{
  TORCH_CHECK(x.scalar_type() == at::ScalarType::Float, "at::matmul(x) needs torch::kFloat32");
  auto y = torch::empty_like(x, x.options().dtype(torch::kFloat32));
  {host}
  copy<<<(x.numel() + 255) / 256, 256, 0, at::cuda::getCurrentCUDAStream()>>>(
      x.data_ptr<float>(), y.data_ptr<float>(), x.numel());
  return y;
}}
"""
ext = load_inline(name="ext", cpp_sources="torch::Tensor run(torch::Tensor x);", cuda_sources=SRC, functions=["run"])


class ModelNew(nn.Module):
    def forward(self, x):
        return ext.run(x)
'''

CPP_HONEST = {
    "plain": ("", ""),
    "own names": (
        "struct Tile { float sum() const { return 1.f; } };\n__device__ float relu(float v) { return v; }",
        "Tile t; t.sum();",
    ),
    "own function of a library's name": ("torch::Tensor conv3d(torch::Tensor x) { return x; }", "y = conv3d(x);"),
    "sizes": (
        "",
        "auto s = x.sizes().vec(); y = at::zeros(s, x.options()); y = y.contiguous().view({-1}); cudaDeviceSynchronize();",
    ),
    "words": ("int system_count; int kill; struct fork { int socket; };", "int exit_code = 0;"),
}


@pytest.mark.parametrize(("device", "host"), CPP_HONEST.values(), ids=CPP_HONEST.keys())
def test_honest_cuda_text_is_accepted(device: str, host: str) -> None:
    found = screen(CUDA.format(device=device, host=host), PROBLEM)
    assert found.failure is None, found.failure.message


CPP_REJECTED = {
    "at": ("", "y = at::conv3d(x, x);", "library_call"),
    "torch": ("", "y = torch::matmul(x, x);", "library_call"),
    "spaced": ("", "y = at :: native :: matmul(x, x);", "library_call"),
    "macro": ("#define GO at::conv3d", "y = GO(x, x);", "library_call"),
    "method": ("", "y = x.matmul(x);", "library_call"),
    "arrow": ("", "y = (&x)->sum();", "library_call"),
    "using": ("using namespace at;", "y = conv_transpose3d(x, x);", "library_call"),
    "namespace alias": ("namespace q = at;", "y = q::conv3d(x, x);", "library_call"),
    "cublas": ("", "cublasSgemm(h);", "escape"),
    "stream": ("", "cudaStream_t s; cudaStreamCreateWithFlags(&s, 1);", "escape"),
    "pool": ("", "auto s = c10::cuda::getStreamFromPool();", "escape"),
    "limit": ("", "cudaDeviceSetLimit(cudaLimitStackSize, 1);", "escape"),
    "thread": ("", "std::thread t([]{}); t.detach();", "escape"),
    "system": ("", '::system("ls");', "escape"),
    "python": ("", 'PyRun_SimpleString("1");', "escape"),
    "dispatcher": ("", 'c10::Dispatcher::singleton().findSchemaOrThrow("aten::conv3d", "");', "escape"),
}


@pytest.mark.parametrize(("device", "host", "rule"), CPP_REJECTED.values(), ids=CPP_REJECTED.keys())
def test_cuda_text_breaks_a_rule(device: str, host: str, rule: str) -> None:
    code = CUDA.format(device=device, host=host)
    message = screen(code, PROBLEM).failure.message
    assert f"[{rule}]" in message
    line = int(re.match(r"line (\d+): ", message)[1])
    assert abs(line - code[: code.index(device or host)].count("\n") - 1) <= 8


def test_load_inline_is_checked_against_its_text() -> None:
    code = CUDA.format(device="", host="")
    missing = code.replace('cpp_sources="torch::Tensor run(torch::Tensor x);", ', "")
    assert "needs cpp_sources" in screen(missing, PROBLEM).failure.message
    assert screen(code.replace('["run"]', '["go"]'), PROBLEM).failure.message.count("exports `go`") == 1
    empty = re.sub(
        r"__global__.*?\n}\n", "__global__ void copy(const float* x) {\n  // here\n}\n", code, flags=re.DOTALL
    )
    assert "CUDA kernel `copy` is a placeholder" in screen(empty, PROBLEM).failure.message
    assert "defines no __global__ kernel" in screen(code.replace("__global__", ""), PROBLEM).failure.message
