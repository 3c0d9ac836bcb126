"""Proposers: who writes the next kernel. One file per kind; `proposer_for` finds it by the model's name.

    playbook        the built-in, rule-based kernel author (default, no key, no network)
    replay:RUN      the replies of a recorded run, in order
    anything else   a model behind an OpenAI-compatible endpoint (agent/proposers/openai.py)

Limits: a proposer returns text. Reading a candidate out of it is agent/reply.py, judging it is evaluators/.
"""

from typing import Protocol

from evaluators.frozen import Frozen
from prompts.context import Context
from runs.nouns import Usage


class Proposal(Frozen):
    """A reply, verbatim, and what it cost. `reasoning` is the provider's separate thinking text, if it sent any."""

    reply: str
    reasoning: str = ""
    model: str
    finish_reason: str = "stop"  # stop | length | ...
    usage: Usage = Usage()
    request_ids: tuple[str, ...] = ()


class Proposer(Protocol):
    """Answers one prompt. `context` is what `prompt` was rendered from: a model reads the text, the playbook the value.

    Raises `agent.proposers.errors.ProposerError` (an AgentError) when no reply can be had; never returns an empty excuse.
    """

    name: str

    def propose(self, context: Context, prompt: str) -> Proposal: ...
