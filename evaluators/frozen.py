"""The base of every noun: a frozen pydantic model that forbids unknown fields.

Limits: values only. Behaviour that needs torch, a process or a file lives beside the noun, never in it.
"""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable value; unknown fields are an error, so a typo in a TOML file or journal is loud."""

    model_config = ConfigDict(frozen=True, extra="forbid")
