"""What is wrong with the CUDA text itself, before any compiler runs.

Limits: reads tokens, not C++; what only a compiler can know is left to it.
"""

import re
from collections.abc import Iterable

from evaluators.cuda.extension import Extension, Section
from evaluators.cuda.tokens import Token, closing, next_code, tokens_of

_SPLICE = re.compile(r"\\[ \t\r]*\n")
_READS_A_FILE = ("include", "include_next", "import", "embed")
_HEADER_NAME = re.compile(r"[\w+-][\w./+-]*")


def reason_against(extension: Extension) -> str:
    """Why this text cannot be a kernel candidate; empty if it can."""
    tokens = [token for token in tokens_of(extension.cuda_text) if token.is_code]
    texts = {token.text for token in tokens}
    if "__global__" not in texts:
        return (
            "the CUDA text defines no __global__ kernel (comments do not count): write the computation as a "
            "__global__ function and launch it from the function that load_inline exports"
        )
    kernels = kernels_of(tokens)
    if kernels and not any(kernels.values()):
        return f"kernel {', '.join(kernels)} has an empty body (comments do not count): write the computation there"
    if "<<<" not in texts and not any(text.startswith(("cudaLaunch", "cuLaunch")) for text in texts):
        return f"the CUDA text never launches {', '.join(kernels)}: write kernel<<<grid, block, 0, stream>>>(...)"
    return ""


def kernels_of(tokens: list[Token]) -> dict[str, bool]:
    """Every __global__ function that is defined, and whether its body says anything."""
    found: dict[str, bool] = {}
    for index, token in enumerate(tokens):
        if token.kind == "name" and token.text == "__global__":
            name, body = _definition(tokens, index + 1)
            if name:
                found[name] = body
    return found


def _definition(tokens: list[Token], start: int) -> tuple[str, bool]:
    """Name of the function that starts here and whether its body says anything; no name for a mere declaration."""
    name = ""
    index = next_code(tokens, start)
    while 0 <= index < len(tokens) and tokens[index].text not in (";", "{"):
        if tokens[index].text == "(":
            before = next_code(tokens, index - 1, -1)
            if tokens[before].text not in ("__launch_bounds__", "__maxnreg__", "__align__", "__cluster_dims__"):
                name = name or tokens[before].text
            index = closing(tokens, index)
            if index < 0:
                return "", False
        index = next_code(tokens, index + 1)
    if index < 0 or tokens[index].text == ";":
        return "", False
    end = closing(tokens, index)
    inside = tokens[index + 1 : end] if end > 0 else tokens[index + 1 :]
    return name, any(token.is_code and token.text != ";" for token in inside)


def forbidden_include(sections: Iterable[Section]) -> str:
    """Why an include may not be followed: compilers run outside the sandbox, so only plain header names are."""
    for section in sections:
        code = [token for token in tokens_of(_SPLICE.sub("", section.text)) if token.is_code]
        for index, token in enumerate(code):
            is_directive = index > 0 and code[index - 1].text in ("#", ":") and token.text in _READS_A_FILE
            if is_directive and not _is_plain(name := _header_name(code[index + 1 :])):
                allowed = 'only <header> or "header" with a relative name is followed'
                return f"{section.name}: #{token.text} {name[:80]}: {allowed}"
    return ""


def _header_name(code: list[Token]) -> str:
    """What stands after #include, on tokens: `<a/b.h>` or `"b.h"` without the marks, anything else as it is."""
    if not code:
        return ""
    if code[0].text == "<":
        texts = [token.text for token in code[1:40]]
        return "".join(texts[: texts.index(">")]) if ">" in texts else "<"
    return code[0].text.strip('"') if code[0].kind == "string" else f"({code[0].text})"


def _is_plain(name: str) -> bool:
    return _HEADER_NAME.fullmatch(name) is not None and ".." not in name
