"""C++ and CUDA text inside the strings of a candidate, and the load_inline calls that build it.

Limits: patterns over the text without its comments and strings, no C++ parser; macros that paste names together are left
to the operator audit of the judge, which sees every ATen call below Python.
"""

import ast
import re
from collections.abc import Iterator

from evaluators.problem import Problem
from evaluators.screening.allowed import is_library_op
from evaluators.screening.rule import Violation
from evaluators.screening.source import Source
from evaluators.screening.structure import extension_calls

NOISE = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)
COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
LOOKS_LIKE_CPP = re.compile(r"#\s*include\b|\b(?:at|torch|c10|std)::|__global__|\bvoid\s+\w+\s*\(")
NAMESPACED = re.compile(r"\b(?:at|torch|aten)\s*::\s*(\w+(?:\s*::\s*\w+)*)")
ALLOWED = frozenset(
    "empty empty_like empty_strided zeros zeros_like ones full full_like from_blob tensor optional nullopt dtype device "
    "requires_grad typeMetaToScalarType toString elementSize indexing detail irange "
    "kFloat kFloat32 kDouble kHalf kBFloat16 kInt kLong kBool kCUDA kCPU kByte kShort kStrided".split()
)
ALLOWED_NAMESPACES = ("cuda::", "indexing::", "autograd::Function", "autograd::AutogradContext", "MemoryFormat", "headeronly::")
BANNED_CUDA = re.compile(r"cuda::(?:\w+::)*(getStreamFromPool|setCurrentCUDAStream|CUDAGraph|getStreamFromExternal|CUDAStreamGuard)")
METHODS = re.compile(
    r"(?:\.|->)\s*(matmul|mm|bmm|addmm|addmm_|addbmm|baddbmm|mv|addmv|einsum|conv\w*|softmax|log_softmax|"
    r"relu_?|sigmoid_?|tanh_?|mul_?|add_|sub_|div_?|sum|mean|scatter_add_?|index_add_?|cumsum)\s*\("
)
LIBRARY_FUNCTIONS = re.compile(
    r"(?<![\w:.>])(conv[123]d|conv_transpose[123]d|convolution|cudnn_convolution\w*|matmul|addmm|baddbmm|bmm|einsum|tensordot)\s*\("
)
BANNED = (
    (r"cudaStreamCreate\w*|cuStreamCreate\w*|cudaStreamBeginCapture\w*|cudaGraph\w*|cudaLaunchHostFunc",
     "issue all work on at::cuda::getCurrentCUDAStream()"),
    (r"cudaDeviceSetLimit|cudaDeviceReset|cudaSetDeviceFlags|cudaDeviceSetCacheConfig|cudaCtxResetPersistingL2Cache",
     "leave the device as it was"),
    (r"cublas\w*|cudnn[A-Z]\w*|cusparse\w*|cusolver\w*|cufft\w*|nvrtc\w*|cutlass\s*::\s*gemm::device\w*",
     "write the arithmetic in your own kernel"),
    (r"dlopen|dlsym|system|popen|fork|vfork|execv\w*|execl\w*|fopen|getenv|setenv|syscall|mmap|ptrace|socket|kill|_?exit|abort",
     "a kernel file does not talk to the operating system"),
    (r"std\s*::\s*(?:thread|async|ifstream|ofstream|fstream|jthread|system)|pthread_\w+",
     "do all work before the function returns, with no files or threads"),
    (r"Py[A-Z]\w*_\w+|py\s*::\s*(?:eval|exec|module_|globals|import)\w*|pybind11\s*::\s*(?:eval|exec|module_|globals)\w*",
     "do not call back into Python"),
    (r"c10\s*::\s*Dispatcher|findSchemaOrThrow|torch\s*::\s*jit|torch\s*::\s*Library|TORCH_LIBRARY\w*",
     "call no library operator"),
)
BANNED_CALLS = tuple((re.compile(rf"(?<![\w.>:])({names})(?=\s*[({{<:;&*]|\s+\w)"), instead) for names, instead in BANNED)


def check(source: Source, problem: Problem) -> Iterator[Violation]:
    """Library calls, streams and system calls in C++ text; load_inline calls that cannot build."""
    for line, text in cpp_texts(source):
        plain = blank(NOISE, text)
        for offset, rule, message in _findings(plain, problem):
            yield Violation(rule, line + plain.count("\n", 0, offset), message)


def signatures(source: Source, _: Problem) -> Iterator[Violation]:
    """load_inline without cpp_sources, or exporting a function that no source text declares."""
    text = "\n".join(text for _, text in cpp_texts(source))
    for call in extension_calls(source):
        given = {keyword.arg for keyword in call.keywords}
        if None in given or any(isinstance(argument, ast.Starred) for argument in call.args):
            continue
        if "cpp_sources" not in given and len(call.args) < 2:
            message = "load_inline needs cpp_sources: pass the C++ declaration of every exported function"
            yield Violation("load_inline", call.lineno, message)
        for name in _exported(call):
            if text and not re.search(rf"\b{re.escape(name)}\b", text):
                yield Violation("load_inline", call.lineno, f"load_inline exports `{name}`, which no source text defines")


def cpp_texts(source: Source) -> list[tuple[int, str]]:
    """(line it starts on, text) of every string that reads like C++; docstrings are documentation."""
    constants = (n for n in source.walk(ast.Constant) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    kept = (n for n in constants if not isinstance(source.parents[n], ast.Expr) and LOOKS_LIKE_CPP.search(n.value))
    return [(n.lineno, n.value) for n in kept]


def blank(pattern: re.Pattern[str], text: str) -> str:
    """The text with every match replaced by its newlines, so that line numbers hold."""
    return pattern.sub(lambda match: " " + "\n" * match[0].count("\n"), text)


def _findings(text: str, problem: Problem) -> Iterator[tuple[int, str, str]]:
    for match in NAMESPACED.finditer(text):
        name = re.sub(r"\s+", "", match[1])
        if not _is_allowed(name) and not is_library_op(name, problem.library_ops):
            yield match.start(), "library_call", _library(f"{match[0]}")
    for pattern in (METHODS, LIBRARY_FUNCTIONS):
        for match in pattern.finditer(text):
            if not _is_own(match[1], text) and not is_library_op(match[1], problem.library_ops):
                yield match.start(), "library_call", _library(match[1])
    for match in re.finditer(r"namespace\s+\w+\s*=\s*(?:::)?\s*(?:at|torch)\b", text):
        yield match.start(), "library_call", "an alias of at:: or torch:: hides what is called: write the name out"
    for match in BANNED_CUDA.finditer(text):
        yield match.start(), "escape", f"`{match[1]}` is not allowed: issue all work on the caller's current stream"
    for banned, instead in BANNED_CALLS:
        for match in banned.finditer(text):
            yield match.start(), "escape", f"`{match[1]}` is not allowed in C++ text: {instead}"


def _library(name: str) -> str:
    return f"`{name}` in C++ text is a library call: compute it in your own __global__ kernel (torch may allocate)"


def _is_allowed(name: str) -> bool:
    """Types and constants start with a capital or k; functions are allowed by name."""
    is_type = name[:1].isupper() and "::" not in name
    return is_type or name in ALLOWED or name.startswith(ALLOWED_NAMESPACES)


def _is_own(name: str, text: str) -> bool:
    return re.search(rf"\b[\w>&*]+\s+[&*]?{re.escape(name)}\s*\([^;{{]*\)\s*(?:const\s*)?[{{;]", text) is not None and (
        re.search(rf"\breturn\s+{re.escape(name)}\s*\(", text) is None
    )


def _exported(call: ast.Call) -> list[str]:
    values = [keyword.value for keyword in call.keywords if keyword.arg == "functions"]
    elements = [e for value in values for e in (value.elts if isinstance(value, ast.List | ast.Tuple) else [value])]
    return [e.value for e in elements if isinstance(e, ast.Constant) and isinstance(e.value, str)]
