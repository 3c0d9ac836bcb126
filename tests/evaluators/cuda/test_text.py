"""Reading CUDA text: launches among templates, comments and strings; line numbers that survive."""

import pytest

from evaluators.cuda.diagnostics import errors_in, missing_header, offset_of
from evaluators.cuda.extension import Extension
from evaluators.cuda.launches import for_emulation, launches_in
from evaluators.cuda.tokens import text_of, tokens_of
from evaluators.cuda.unsupported import has_barriers, not_emulated


@pytest.mark.parametrize(
    ("text", "kernel", "configuration"),
    [
        ("k<<<g, b>>>(x);", "k", ("g", "b")),
        ("k <<< g, b >>> (x);", "k", ("g", "b")),
        ("space::k<float, (4 > 3)><<<dim3(f(a, b), 2), n / 2, 0, s.stream()>>>(x);", "k", ("dim3(f(a, b), 2)", "n / 2", "0", "s.stream()")),
        ("k<T><<<g, b, sizeof(Pair<int, Pair<int, int>>)>>>(x);", "k", ("g", "b", "sizeof(Pair<int, Pair<int, int>>)")),
        ('k<<<g /* >>>(c */, f(">>>(", \')\')>>>(x);', "k", ("g /* >>>(c */", "f(\">>>(\", ')')")),
        ("(chosen<float>)<<<g, b>>>(x);", "chosen", ("g", "b")),
    ],
)  # fmt: skip
def test_a_launch_is_found_whatever_stands_in_it(text: str, kernel: str, configuration: tuple[str, ...]) -> None:
    (launch,) = launches_in(tokens_of(text))
    assert (launch.kernel, launch.configuration) == (kernel, configuration)
    rewritten = for_emulation(text)
    assert "<<<" not in rewritten
    assert f'::emulation::kernel("{kernel}", ' in rewritten
    assert ".configured(" in rewritten


@pytest.mark.parametrize(
    "text",
    [
        "// k<<<1, 1>>>(x)",
        "/* k<<<1, 1>>>(x) */",
        '"k<<<1, 1>>>(x)"',
        'R"(k<<<1, 1>>>(x))"',
        "1'000'000; a << b; c >> d;",
    ],
)
def test_comments_and_strings_hold_no_launch(text: str) -> None:
    assert launches_in(tokens_of(text)) == []
    assert for_emulation(text) == text
    assert text_of(tokens_of(text)) == text


def test_rewriting_keeps_every_line_where_it_was() -> None:
    text = "a;\nk<<<g,\n  b>>>(\n  x);\nextern __shared__\n  __align__(16) unsigned char\n  raw[];\nlast;\n"
    rewritten = for_emulation(text)
    assert "unsigned char* raw = ::emulation::dynamic_shared<unsigned char>()" in rewritten
    assert rewritten.splitlines().index("last;") == text.splitlines().index("last;")


def test_errors_of_both_compilers_are_read() -> None:
    nvcc = 'cuda_sources(10): error: identifier "b" is undefined\n      b;\n      ^\n'
    gxx = "cpp_sources[1]:3:7: error: 'b' was not declared in this scope\nmain.cpp: In function 'f':\n"
    assert [(e.section, e.line) for e in errors_in(nvcc + gxx)] == [("cuda_sources", 10), ("cpp_sources[1]", 3)]
    assert missing_header('x(1): catastrophic error: could not open source file "cusparse.h"\n') == "cusparse.h"
    assert missing_header("x.cpp:1:10: fatal error: nccl.h: No such file or directory\n") == "nccl.h"


def test_a_text_finds_its_place_in_the_file() -> None:
    file = 'import torch\nSOURCE = """\\\nint a;\nint b;\n"""\n'
    assert offset_of("int a;\nint b;\n", file) == 2
    assert offset_of("int c;\n", file) is None


def test_what_needs_fibers_and_what_is_not_covered_is_read_from_the_code_alone() -> None:
    assert has_barriers("if (a) __syncthreads();")
    assert not has_barriers("// __syncthreads();")
    assert not_emulated("// asm volatile\n") == ""
    assert "tensor cores" in not_emulated("using namespace nvcuda;")


def test_flags_that_touch_files_are_left_out() -> None:
    flags = (
        "-O3",
        "--use_fast_math",
        "-I/etc",
        "-include",
        "/etc/passwd",
        "-DN=4",
        "-gencode=arch=compute_90,code=sm_90",
    )
    extension = Extension(name="e", cpp_sources=(), cuda_sources=("a",), functions=None, cuda_flags=flags)
    used, left_out = extension.safe_cuda_flags()
    assert used == ["-O3", "--use_fast_math", "-DN=4"]
    assert left_out == ["-I/etc", "-include", "/etc/passwd", "-gencode=arch=compute_90,code=sm_90"]
