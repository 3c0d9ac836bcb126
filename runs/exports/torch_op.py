"""Format `torch-op`: a package with the kernel as a PyTorch operator that torch.compile sees as one node.

It is a `torch.library.custom_op`, not a `triton_op`: that one traces the Python around the launches, which in a
candidate may pack weights, cache and branch on values; an opaque operator runs exactly what was judged. The module
falls back to the reference where the kernel was not judged: other dtypes, ranks or constructor arguments, sizes above
the published ones unless larger ones were judged on every axis, a CPU, autograd.

Limits: inference only, one output tensor. The operator holds one copy of the weights per device.
"""

import shlex
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from evaluators.evaluation import Evaluation
from runs.export import annotated_source, provenance
from runs.exports.winner import Winner

TEMPLATES = Path(__file__).parent / "templates"


def files(winner: Winner) -> dict[str, str]:
    """The package, its test and how to use it."""
    name = winner.identifier
    package = operator_sources(winner)
    return {
        "README.md": rendered("README.md.j2", winner),
        "pyproject.toml": rendered("pyproject.toml.j2", winner),
        **{f"{name}/{path}": text for path, text in package.items()},
        f"{name}/_ops.py": ops_source(name),
        f"tests/test_{name}.py": rendered("test_operator.py.j2", winner),
    }


def loading(winner: Winner, at: Path) -> str:
    """How the package is checked and installed."""
    name = winner.identifier
    tests = shlex.quote(str(at / "tests"))
    folder = shlex.quote(str(at) if at.is_absolute() else f"./{at}")  # pip takes `my_op` for a name
    return f"check it: pytest {tests}; use it: pip install --no-deps {folder}, then import {name} ({at / 'README.md'})"


def operator_sources(winner: Winner) -> dict[str, str]:
    """The modules that torch-op and hf share; `_ops.py`, which names the namespace, is added by each."""
    return {
        "__init__.py": rendered("init.py.j2", winner),
        "kernel.py": annotated_source(winner) + "\n",
        "torch_operator.py": rendered("torch_operator.py.j2", winner),
        "reference.py": winner.problem.source,
    }


def ops_source(namespace: str) -> str:
    """`_ops.py`: where the operator is registered."""
    return (
        '"""The namespace of the operator."""\n\nimport torch\n\n'
        f"ops = torch.ops.{namespace}\n\n\n"
        f'def add_op_namespace_prefix(name: str) -> str:\n    """Full name."""\n    return f"{namespace}::{{name}}"\n'
    )


def rendered(template: str, winner: Winner, **more: object) -> str:
    """One template filled with what is known of the winner."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # noqa: S701 - Python and Markdown, not HTML; values are identifiers, numbers and inert lines
    )
    evaluation = winner.attempt.evaluation
    error = evaluation.numeric_error if evaluation else None
    values = {
        "name": winner.identifier,
        "verdict": winner.verdict,
        "language": winner.language,
        "is_general": _held(evaluation, "general"),
        "is_larger_judged": _held(evaluation, "larger_sizes"),
        "judged_sizes": _judged_sizes(evaluation),
        "allowed": error.allowed if error else winner.problem.tolerance.floor * winner.problem.tolerance.error_multiple,
        "facts": [" ".join(fact.split()) for fact in provenance(winner.directory, winner.attempt, winner.problem)],
        "run": winner.directory.id,
        "gpu": winner.directory.run.config.gpu,
        "problem": winner.problem.key,
    }
    return environment.get_template(template).render(values | more)


def _held(evaluation: Evaluation | None, name: str) -> bool:
    return bool(evaluation and any(c.name == name and c.status == "passed" for c in evaluation.checks))


def _judged_sizes(evaluation: Evaluation | None) -> str:
    """Which inputs go to the kernel, in words."""
    if not _held(evaluation, "general"):
        return "the published ones only"
    if not _held(evaluation, "larger_sizes"):
        return "up to the published ones; larger on every axis was not judged"
    return "any; judged above the published ones on every axis"
