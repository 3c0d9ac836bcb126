"""Cut CUDA C++ text into tokens, so that comments, strings and nested brackets never mislead a search.

Limits: no preprocessing - a macro that hides a launch or an unbalanced bracket is seen as it is written.
"""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["space", "comment", "string", "number", "name", "punctuation"]

_PATTERN = re.compile(
    r"""
      (?P<space>\s+|\\\n)
    | (?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<string>(?:u8|[uUL])?R"(?P<fence>[^()\\\s]{0,16})\(.*?\)(?P=fence)"
        |(?:u8|[uUL])?"(?:\\.|[^"\\\n])*"|(?:u8|[uUL])?'(?:\\.|[^'\\\n])+')
    | (?P<number>\.?\d(?:[eEpP][+-]|'?[\w.])*)
    | (?P<name>[A-Za-z_$]\w*)
    | (?P<punctuation><<<|::|->|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSING = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True)
class Token:
    """A piece of the text; the texts of all tokens joined are the source again."""

    kind: Kind
    text: str
    line: int

    @property
    def is_code(self) -> bool:
        """Neither white space nor a comment."""
        return self.kind not in ("space", "comment")


def tokens_of(source: str) -> list[Token]:
    """All tokens of `source`, white space and comments included."""
    found: list[Token] = []
    line = 1
    for match in _PATTERN.finditer(source):
        kind = next(k for k in ("space", "comment", "string", "number", "name", "punctuation") if match[k] is not None)
        found.append(Token(kind, match[0], line))  # type: ignore[arg-type]  # the keys are the members of Kind
        line += match[0].count("\n")
    return found


def text_of(tokens: list[Token]) -> str:
    """The source text of `tokens`."""
    return "".join(token.text for token in tokens)


def code_of(source: str) -> list[Token]:
    """The tokens that mean something to the compiler."""
    return [token for token in tokens_of(source) if token.is_code]


def next_code(tokens: list[Token], start: int, step: int = 1) -> int:
    """Index of the first meaningful token from `start` in the direction `step`; -1 if there is none."""
    index = start
    while 0 <= index < len(tokens):
        if tokens[index].is_code:
            return index
        index += step
    return -1


def closing(tokens: list[Token], opening: int) -> int:
    """Index of the bracket that closes the one at `opening`; -1 where it never closes."""
    stack: list[str] = []
    for index in range(opening, len(tokens)):
        text = tokens[index].text
        if text in ("(", "[", "{"):
            stack.append(text)
        elif text in _CLOSING:
            if not stack or stack.pop() != _CLOSING[text]:
                return -1
            if not stack:
                return index
    return -1


def split_arguments(tokens: list[Token]) -> list[list[Token]]:
    """Split at the commas outside round, square and curly brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text in ("(", "[", "{")) - (token.text in _CLOSING)
        if token.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts
