"""What is wrong with the CUDA text itself, before any compiler runs.

Limits: reads tokens, not C++; what only a compiler can know is left to it.
"""

import itertools
import re
from collections.abc import Iterable

from evaluators.cuda.extension import Extension, Section
from evaluators.cuda.tokens import Token, closing, next_code, tokens_of

_SPLICE = re.compile(r"\\[ \t\r]*\n")
_READING_DIRECTIVE = re.compile(r"\.\s*(?:incbin|include)\b")
_READS_A_FILE = ("include", "include_next", "import", "embed")
_CONDITIONALS = frozenset(("if", "ifdef", "ifndef", "elif", "elifdef", "elifndef"))
_OPERATORS_OF_CONDITIONALS = frozenset(("defined", "true", "false", "and", "or", "not"))
_KNOWN = frozenset(("CUDART_VERSION", "CUDA_VERSION", "TORCH_VERSION_MAJOR", "USE_ROCM", "__CUDA_ARCH__"))
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
    return split_by_compiler(extension.sections)


def split_by_compiler(sections: Iterable[Section]) -> str:
    """Why the code that is executed here would not be the code that runs on the card; empty if it is.

    A conditional may only ask for macros of the text itself, and those may only stand for numbers and each other. (Code
    chosen by the architecture is not emulated, see unsupported.py.)
    """
    for section in sections:
        text = _SPLICE.sub(" ", section.text)
        own = _macros_of(text)
        for line in text.split("\n"):
            if foreign := _foreign(_names_of_conditional(line), own):
                return (
                    f"{section.name}: `{line.strip()[:80]}` compiles other code for the card than the code that is "
                    f"checked ({foreign}): write one version, or choose by a macro that the text defines"
                )
    return _assembler_files(sections)


def _foreign(names: list[str], own: dict[str, list[str]]) -> str:
    """The first macro that these stand for which the text does not define; reserved names belong to compilers."""
    todo, seen = list(names), set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in own or name.startswith("__"):
            return name
        todo += own[name]
    return ""


def _names_of_conditional(line: str) -> list[str]:
    """The macros a preprocessor conditional asks for, harmless ones left out."""
    code = [token for token in tokens_of(line) if token.is_code]
    if len(code) < 2 or code[0].text not in ("#", "%:") or code[1].text not in _CONDITIONALS:
        return []
    names = [token.text for token in code[2:] if token.kind == "name"]
    return [name for name in names if name not in _OPERATORS_OF_CONDITIONALS and name not in _KNOWN]


def _macros_of(text: str) -> dict[str, list[str]]:
    """Every macro the text defines, with the names in its body (`##` counts as a name nobody defines)."""
    found: dict[str, list[str]] = {}
    for line in text.split("\n"):
        code = [token for token in tokens_of(line) if token.is_code]
        if len(code) > 2 and code[0].text in ("#", "%:") and code[1].text == "define":
            body = code[3:]
            names = [token.text for token in body if token.kind == "name"] + ["##"] * (_pastes(body) > 0)
            found.setdefault(code[2].text, []).extend(name for name in names if name not in _KNOWN)
    return found


def _pastes(code: list[Token]) -> int:
    return sum(one.text == "#" == other.text for one, other in itertools.pairwise(code))


def _assembler_files(sections: Iterable[Section]) -> str:
    """Assembler directives read files of this machine just as #include does."""
    for section in sections:
        for token in tokens_of(section.text):
            if token.kind == "string" and _READING_DIRECTIVE.search(token.text):
                return f"{section.name}: assembly that reads a file is not allowed: {token.text[:60]}"
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
