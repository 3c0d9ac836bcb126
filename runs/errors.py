"""What can go wrong with a record of a run.

    AgentError (evaluators.errors)
    ├── UsageError
    │   ├── UnknownRun          no such run directory
    │   ├── DamagedJournal      a line cannot be read, or lines are gone; names where, guesses nothing
    │   ├── NewerRun            written by a newer version of this program
    │   └── RunBusy             another process is writing this run
    └── MachineError
        └── RecordNotWritten    disk full, read-only or not writable

Limits: reading and writing only; what a verdict means is evaluators/.
"""

from evaluators.errors import MachineError, UsageError


class UnknownRun(UsageError):
    """There is no run of this name."""


class DamagedJournal(UsageError):
    """A journal line other than a torn last one cannot be read, or lines of attempts that have files are gone."""


class NewerRun(UsageError):
    """The run was written by a newer version of this program."""


class RunBusy(UsageError):
    """Another process holds the run open for writing."""


class RecordNotWritten(MachineError):
    """The record could not be written; everything recorded before is intact."""
