"""Failures of *our* side. A failure of a candidate is data (`evaluators.evaluation.Failed`), never one of these.

    AgentError                     one clear line: what, where, what to do
    ├── UsageError                 the caller can fix it (exit code 2)
    │   ├── UnknownGpu             no such GPU; names the nearest
    │   ├── UnknownProblem         no such problem; names the nearest
    │   └── BadProblem             the reference module does not load or run
    └── MachineError               this machine cannot do it (exit code 3)
        └── JudgeDied              the judge process ended twice on the same request

Limits: errors of the proposers stand in agent/proposers/errors.py, of the record in runs/errors.py; all derive from
here.
"""


class AgentError(Exception):
    """Something a person must act on; str() is one line without a traceback."""


class UsageError(AgentError):
    """The request is wrong: exit code 2."""


class MachineError(AgentError):
    """The request is right but this machine cannot serve it: exit code 3."""


class UnknownGpu(UsageError):
    """No GPU of this name is known."""


class UnknownProblem(UsageError):
    """No problem of this name is known."""


class BadProblem(UsageError):
    """The reference module does not load, lacks a required name or does not run."""


class JudgeDied(MachineError):
    """The judge process ended unexpectedly, twice, on the same request."""
