"""Find `kernel<<<grid, block, bytes, stream>>>(arguments)` in CUDA text and rewrite it for the CPU emulation.

Limits: launches through cudaLaunchKernel, CUDA graphs or macros that hide the brackets are not found. The rewritten
text keeps the number of lines, so that compiler messages still name the candidate's lines.
"""

from dataclasses import dataclass

from evaluators.cuda.tokens import Token, closing, next_code, split_arguments, text_of, tokens_of


@dataclass(frozen=True)
class Launch:
    """Where one launch stands in the token list: [start, opened) is the kernel, [opened, closed] its configuration."""

    kernel: str
    line: int
    start: int
    opened: int
    closed: int
    configuration: tuple[str, ...]


def launches_in(tokens: list[Token]) -> list[Launch]:
    """Every launch of `tokens`, in order."""
    found = []
    for index, token in enumerate(tokens):
        if token.kind == "punctuation" and token.text == "<<<":
            start = _callee_start(tokens, index)
            closed = _configuration_end(tokens, index)
            if start < 0 or closed < 0:
                continue
            parts = tuple(text_of(part).strip() for part in split_arguments(tokens[index + 1 : closed - 2]))
            found.append(Launch(_name(tokens[start:index]), token.line, start, index, closed, parts))
    return found


def _configuration_end(tokens: list[Token], opened: int) -> int:
    """Index of the last of the three adjacent `>` that end the configuration outside any bracket; -1 if missing."""
    depth = 0
    for index in range(opened + 1, len(tokens)):
        text = tokens[index].text
        depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
        if depth < 0 or (text == ";" and depth == 0):
            return -1
        if depth == 0 and [token.text for token in tokens[index : index + 3]] == [">"] * 3:
            after = next_code(tokens, index + 3)
            if after >= 0 and tokens[after].text == "(":
                return index + 2
    return -1


def _callee_start(tokens: list[Token], opened: int) -> int:
    """Walk back over `space::name<arguments>` or `(expression)` to where the kernel's expression starts."""
    index = next_code(tokens, opened - 1, -1)
    if index >= 0 and tokens[index].text == ")":
        return _opening(tokens, index, "(", ")")
    if index >= 0 and tokens[index].text == ">":
        index = next_code(tokens, _opening(tokens, index, "<", ">") - 1, -1)
    if index < 0 or tokens[index].kind != "name":
        return -1
    return _qualified_start(tokens, index)


def _qualified_start(tokens: list[Token], name: int) -> int:
    """Index where `a::b::name` starts, given the index of `name`."""
    start = name
    while True:
        before = next_code(tokens, start - 1, -1)
        if before < 0 or tokens[before].text != "::":
            return start
        start = before
        owner = next_code(tokens, before - 1, -1)
        if owner >= 0 and tokens[owner].kind == "name" and tokens[owner].text != "return":
            start = owner


def _opening(tokens: list[Token], closed: int, opener: str, closer: str) -> int:
    """Index of the `opener` that matches the `closer` at `closed`, walking back; -1 where it never opens."""
    depth = nested = 0
    for index in range(closed, -1, -1):
        text = tokens[index].text
        if closer == ">":  # a comparison inside brackets is no template bracket
            nested += (text in (")", "]", "}")) - (text in ("(", "[", "{"))
        if nested == 0:
            depth += (text == closer) - (text == opener)
        if depth == 0 and nested == 0:
            return index
        if text == ";":
            return -1
    return -1


def _name(callee: list[Token]) -> str:
    """`space::kernel<float, 4>` -> `kernel`: the last name before the template arguments."""
    depth = 0
    name = "kernel"
    for token in callee:
        depth += (token.text == "<") - (token.text == ">")
        if depth == 0 and token.kind == "name":
            name = token.text
    return name


def for_emulation(source: str) -> str:
    """The text with launches as calls of the emulation and `extern __shared__` arrays as pointers into its buffer."""
    tokens = tokens_of(source)
    out: list[str] = [token.text for token in tokens]
    for launch in launches_in(tokens):
        out[launch.start] = f'::emulation::kernel("{launch.kernel}", ' + out[launch.start]
        out[launch.opened] = ").configured("
        out[launch.closed - 2 : launch.closed + 1] = [")", "", ""]
    _point_dynamic_shared(tokens, out)
    return "".join(out)


def _point_dynamic_shared(tokens: list[Token], out: list[str]) -> None:
    """`extern __shared__ T name[];` -> `T* name = dynamic_shared<T>();` in `out`, which runs parallel to `tokens`."""
    for index, token in enumerate(tokens):
        following = next_code(tokens, index + 1)
        if token.text != "extern" or following < 0 or tokens[following].text != "__shared__":
            continue
        end = next(i for i in range(index, len(tokens)) if tokens[i].text == ";" or i == len(tokens) - 1)
        declared = [i for i in range(following + 1, end) if tokens[i].is_code]
        declared = _without_alignment(tokens, declared)
        if [tokens[i].text for i in declared[-2:]] != ["[", "]"]:
            continue
        *kind, name, _, _ = declared
        element = " ".join(tokens[i].text for i in kind)
        lines = "\n" * sum(text.count("\n") for text in out[index:end])
        pointer = f"{element}* {tokens[name].text} = ::emulation::dynamic_shared<{element}>(){lines}"
        out[index:end] = [pointer] + [""] * (end - index - 1)


def _without_alignment(tokens: list[Token], declared: list[int]) -> list[int]:
    """Drop `__align__(16)` / `alignas(16)`; the emulation's buffer is aligned to 128 bytes."""
    kept, skip_to = [], -1
    for i in declared:
        if i <= skip_to:
            continue
        if tokens[i].text in ("__align__", "alignas"):
            skip_to = closing(tokens, next_code(tokens, i + 1))
            continue
        kept.append(i)
    return kept
