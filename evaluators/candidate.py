"""A candidate: the source of one `ModelNew`, identified by its content.

Limits: text only. Nothing here imports or runs it.
"""

import ast
import hashlib
from typing import Literal

from evaluators.frozen import Frozen

Language = Literal["triton", "cuda"]


class Candidate(Frozen):
    """One proposed kernel file. Equal source has an equal `id` and is never evaluated twice."""

    language: Language
    source: str

    @property
    def id(self) -> str:
        """First 16 hex digits of the sha256 of the source."""
        return hashlib.sha256(self.source.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def candidate_from(source: str) -> Candidate:
    """Wrap source text; it is CUDA where it calls `load_inline` or `load`, otherwise Triton."""
    return Candidate(language="cuda" if _builds_extension(source) else "triton", source=source)


def _builds_extension(source: str) -> bool:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested too deeply
        return "load_inline" in source
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return "load_inline" in names | attributes
