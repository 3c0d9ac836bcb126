"""C++ and CUDA text inside the strings of a candidate, and the load_inline calls that build it.

Limits: patterns over the text without its comments and strings, no C++ parser; macros that paste names together are
left to the operator audit of the judge, which sees every ATen call below Python.
"""

import ast
import re
from collections.abc import Iterator

from evaluators.problem import Problem
from evaluators.screening.allowed import is_library_op
from evaluators.screening.rule import Violation
from evaluators.screening.source import Source, words
from evaluators.screening.structure import extension_calls

NOISE = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
LOOKS_LIKE_CPP = re.compile(r"#\s*include\b|__global__|\b(?:at|torch|c10|std)::|\bvoid\s+\w+\s*\(")
NAMESPACED = re.compile(r"\b(?:at|torch|aten)\s*::\s*(\w+(?:\s*::\s*\w+)*)")
ALLOWED = words(
    "empty empty_like empty_strided zeros zeros_like ones full full_like from_blob tensor optional nullopt dtype "
    "device requires_grad typeMetaToScalarType toString elementSize ceil_div acc_type opmath_type "
    "indexing::None indexing::Slice indexing::Ellipsis"
)
ALLOWED_NAMESPACES = ("cuda::", "autograd::Function", "autograd::AutogradContext", "headeronly::")
CONSTANT_OR_TYPE = re.compile(r"k?[A-Z]\w*(?:::k?[A-Z]\w*)*")
METHODS = re.compile(r"(?:\.|->)\s*(matmul|mm|bmm|addmm_?|addbmm|baddbmm|mv|addmv|einsum|tensordot|conv[\w]*d)\s*\(")
SOFT_METHODS = re.compile(  # a struct of the candidate may well have a method of such a name
    r"(?:\.|->)\s*(softmax|log_softmax|relu_?|sigmoid_?|tanh_?|mul_?|add_|sub_|div_?|sum|mean|scatter_add_?|"
    r"index_add_?|cumsum)\s*\("
)
LIBRARY_FUNCTIONS = re.compile(
    r"(?<![\w:.>])(conv[123]d|conv_transpose[123]d|convolution|cudnn_convolution\w*|matmul|addmm|baddbmm|bmm|"
    r"einsum|tensordot)\s*\("
)
BANNED = (
    (
        r"cudaStreamCreate\w*|cuStreamCreate\w*|cudaStreamBeginCapture\w*|cudaGraph\w*|cudaLaunchHostFunc",
        "issue all work on at::cuda::getCurrentCUDAStream()",
    ),
    (
        r"cudaDeviceSetLimit|cudaDeviceReset|cudaSetDeviceFlags|cudaDeviceSetCacheConfig|cudaCtxResetPersistingL2Cache",
        "leave the device as it was",
    ),
    (
        r"cuda\s*::\s*blas|cublas\w*|cudnn[A-Z]\w*|cusparse\w*|cusolver\w*|cufft\w*|nvrtc\w*|cutlass\s*::\s*gemm\w*",
        "write the arithmetic in your own kernel",
    ),
    (
        r"(?:dlopen|dlsym|system|popen|fork|vfork|execv\w*|execl\w*|fopen|getenv|setenv|syscall|mmap|ptrace|socket|kill|"
        r"_?exit|abort)(?=\s*\()",
        "a kernel file does not talk to the operating system",
    ),
    (
        r"std\s*::\s*(?:thread|async|ifstream|ofstream|fstream|jthread|system)|pthread_\w+",
        "do all work before the function returns, with no files or threads",
    ),
    (
        r"Py[A-Z]\w*_\w+|py\s*::\s*(?:eval|exec|module_|globals|import)\w*|pybind11\s*::\s*(?:eval|exec|module_|globals)\w*",
        "do not call back into Python",
    ),
    (
        r"c10\s*::\s*Dispatcher|findSchemaOrThrow|torch\s*::\s*jit|torch\s*::\s*Library|TORCH_LIBRARY\w*",
        "call no library operator",
    ),
)
CURRENT_STREAM = "issue all work on the caller's current stream"
PATTERNS = (
    *(
        (re.compile(rf"(?<![\w.>])(?:{names})\b"), "escape", f"`{{}}` is not allowed: {instead}")
        for names, instead in BANNED
    ),
    (
        re.compile(r"\b(?:getStreamFromPool|setCurrentCUDAStream|CUDAGraph|getStreamFromExternal|CUDAStreamGuard)\b"),
        "escape",
        f"`{{}}` is not allowed: {CURRENT_STREAM}",
    ),
    (
        re.compile(r"\bnamespace\s+\w+\s*=\s*(?:::)?\s*(?:at|torch)\b"),
        "library_call",
        "`{}` hides what is called: write the name out",
    ),
)


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
                yield Violation(
                    "load_inline", call.lineno, f"load_inline exports `{name}`, which no source text defines"
                )


def cpp_texts(source: Source) -> list[tuple[int, str]]:
    """(line it starts on, text) of every string that reads like C++, in a file that can build it."""
    if not _builds_extensions(source):
        return []
    strings = ((n, n.value) for n in source.walk(ast.Constant) if isinstance(n.value, str))
    kept = ((n, text) for n, text in strings if not _is_message(source, n))
    return [(n.lineno, text) for n, text in kept if _is_cpp(text)]


def _builds_extensions(source: Source) -> bool:
    names = source.walk(ast.Name, ast.Attribute)
    return any((source.path(name) or "").startswith("torch.utils.cpp_extension.") for name in names)


def _is_message(source: Source, node: ast.Constant) -> bool:
    """A docstring, or text of an error that is raised."""
    is_docstring = isinstance(source.parents[node], ast.Expr)
    return is_docstring or any(isinstance(ancestor, ast.Raise) for ancestor in source.ancestors(node))


def _is_cpp(text: str) -> bool:
    return (";" in text or "{" in text or "#" in text) and LOOKS_LIKE_CPP.search(text) is not None


def blank(pattern: re.Pattern[str], text: str) -> str:
    """The text with every match replaced by its newlines, so that line numbers hold."""
    return pattern.sub(lambda match: " " + "\n" * match[0].count("\n"), text)


def _findings(text: str, problem: Problem) -> Iterator[tuple[int, str, str]]:
    for match in NAMESPACED.finditer(text):
        name = re.sub(r"\s+", "", match[1])
        if not _is_allowed(name) and not is_library_op(name, problem.library_ops):
            yield match.start(), "library_call", _library(match[0])
    yield from _unqualified(text, problem)
    for pattern, rule, message in PATTERNS:
        for match in pattern.finditer(text):
            yield match.start(), rule, message.format(match[0])


def _unqualified(text: str, problem: Problem) -> Iterator[tuple[int, str, str]]:
    """Library operators as methods of a tensor, or by their bare name after `using namespace`."""
    own: dict[str, bool] = {}
    for pattern in (METHODS, SOFT_METHODS, LIBRARY_FUNCTIONS):
        for match in pattern.finditer(text):
            name = match[1]
            is_own = pattern is not METHODS and own.setdefault(name, _is_own(name, text) if name not in own else False)
            if not is_own and not is_library_op(name, problem.library_ops):
                yield match.start(), "library_call", _library(name)


def _library(name: str) -> str:
    return f"`{name}` in C++ text is a library call: compute it in your own __global__ kernel (torch may allocate)"


def _is_allowed(name: str) -> bool:
    """Types and constants start with a capital (after a k); functions are allowed by name."""
    is_type = CONSTANT_OR_TYPE.fullmatch(name) is not None
    return is_type or name in ALLOWED or name.startswith(ALLOWED_NAMESPACES)


def _is_own(name: str, text: str) -> bool:
    before = r"\b(?!return\b|else\b|throw\b)[\w>&*]+\s+[&*]?"
    return re.search(rf"{before}{re.escape(name)}\s*\([^;{{]{{0,4000}}\)\s*(?:const\s*)?[{{;]", text) is not None


def _exported(call: ast.Call) -> list[str]:
    values = [keyword.value for keyword in call.keywords if keyword.arg == "functions"]
    elements = [e for value in values for e in (value.elts if isinstance(value, ast.List | ast.Tuple) else [value])]
    return [e.value for e in elements if isinstance(e, ast.Constant) and isinstance(e.value, str)]
