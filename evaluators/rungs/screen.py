"""Rung 1, screen: is it Python, does it hold a ModelNew with a kernel, does it break a rule seen in the text?

Pure AST on text: no torch, nothing is imported or run. Every finding names its line and what to do instead.

Limits: the early, readable filter. That a candidate passes here proves nothing; the rungs above do not rely on it.
"""

import warnings

from evaluators.evaluation import Check, Kind, Status
from evaluators.problem import Problem
from evaluators.rungs import Failure, Findings, Task, failed
from evaluators.screening.rule import Rule, Violation
from evaluators.screening.rules import ALL
from evaluators.screening.source import Source

MAX_SOURCE_CHARS = 400_000  # a kernel file is 5-50 kB; parsing this much takes about a second
TOO_DEEP = "the source is nested too deeply to be read: split the expressions"
ALL_KINDS: tuple[Kind, ...] = ("rejected", "compile_error")  # in the order in which one decides the kind of a failure
MAX_SHOWN = 6  # findings in a message; more than that hides the first


def check(task: Task) -> Findings:
    """Screen a candidate's source."""
    return screen(task.candidate.source, task.problem)


def screen(source: str, problem: Problem) -> Findings:
    """Screen a source text under the rules of a problem."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in C++ strings are a warning of Python's, not a finding
        try:
            return _screened(source, problem)
        except (RecursionError, MemoryError):  # names that stand for names that stand for names, a thousand deep
            return failed("parse", Failure("rejected", TOO_DEEP))


def _screened(source: str, problem: Problem) -> Findings:
    parsed = _parse(source)
    if isinstance(parsed, Failure):
        return failed("parse", parsed)
    checks = [Check(name="parse", status="passed")]
    broken: dict[Kind, list[Violation]] = {}
    for name, (kind, rule) in ALL.items():
        found = _apply(rule, parsed, problem)
        failing = [violation for violation in found if not violation.tolerated]
        broken.setdefault(kind, []).extend(failing)
        status: Status = "failed" if failing else "passed"
        checks.append(Check(name=name, status=status, detail=_text(failing)))
        tolerated = [violation for violation in found if violation.tolerated]
        if tolerated:
            checks.append(Check(name=tolerated[0].rule, status="passed", detail=_text(tolerated)))
    return Findings(checks=tuple(checks), failure=_failure(broken))


def _parse(source: str) -> Source | Failure:
    if len(source) > MAX_SOURCE_CHARS:
        size = f"{len(source)} characters; the limit is {MAX_SOURCE_CHARS}"
        return Failure("rejected", f"the source is too long to be a kernel file: {size}")
    try:
        compile(source, "candidate.py", "exec", dont_inherit=True)  # never run; finds `return` outside a function
        return Source(source)
    except SyntaxError as error:
        return Failure("compile_error", syntax_message(error))
    except ValueError as error:
        return Failure("compile_error", f"the source is not text Python can read: {error}")
    except (RecursionError, MemoryError):
        return Failure("rejected", TOO_DEEP)


def syntax_message(error: SyntaxError) -> str:
    """`line 12: invalid syntax`, the line and a caret under the place."""
    head = f"line {error.lineno}: {type(error).__name__}: {error.msg}"
    if not error.text:
        return head
    text = error.text.rstrip("\n")
    shown = text.lstrip()
    column = max((error.offset or 1) - 1 - (len(text) - len(shown)), 0)
    return f"{head}\n    {shown[:160]}\n    {' ' * min(column, 160)}^"


def _apply(rule: Rule, source: Source, problem: Problem) -> list[Violation]:
    """Findings of one rule, each once, in the order of the lines."""
    unique = dict.fromkeys(rule(source, problem))
    return sorted(unique, key=lambda violation: violation.line)


def _failure(broken: dict[Kind, list[Violation]]) -> Failure | None:
    kind = next((kind for kind in ALL_KINDS if broken.get(kind)), None)
    if kind is None:
        return None
    every = [violation for one in ALL_KINDS for violation in broken.get(one, ())]
    return Failure(kind, _text(every))


def _text(found: list[Violation]) -> str:
    lines = [f"line {violation.line}: {violation.message} [{violation.rule}]" for violation in found[:MAX_SHOWN]]
    if len(found) > MAX_SHOWN:
        lines.append(f"and {len(found) - MAX_SHOWN} more")
    return "\n".join(lines)
