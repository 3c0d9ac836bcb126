"""`agent doctor --model M`: one tiny call to a model, and what of it works.

Every line is read from that call. Limits: one short text; how good the kernels of a model are shows in a run.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from agent.commands.doctor import print_findings
from agent.commands.finding import Finding
from agent.proposers import Caller, Proposal, require_endpoint_packages
from agent.proposers.providers import base_url_of, provider
from evaluators.errors import AgentError

if TYPE_CHECKING:
    from agent.proposers.openai import OpenAIProposer

PROMPT = "Reply with the one word: ready"
MAX_OUTPUT_TOKENS = 1024  # room for a reasoning model to think before its one word


def doctor_model(model: str, *, provider: str | None, base_url: str | None, as_json: bool) -> None:
    """Ask once and print the findings; exit 3 where no reply can be had."""
    found = list(examine(model, provider, base_url))
    if as_json:
        print(json.dumps([asdict(finding) for finding in found]))
    else:
        print_findings(found)
    sys.exit(0 if found[-1].name != "reply" or found[-1].works else 3)


def examine(model: str, name: str | None, base_url: str | None) -> Iterator[Finding]:
    """Endpoint, reply, and what came with it."""
    preset = provider(name) if name else None
    try:
        require_endpoint_packages()
        from agent.proposers.openai import OpenAIProposer

        asked = OpenAIProposer(model, base_url_of(name, base_url), caller=Caller(max_output_tokens=MAX_OUTPUT_TOKENS))
    except AgentError as error:
        yield Finding("reply", False, str(error), "this model cannot be asked")
        return
    key = "no key" if asked.endpoint.key == "none" else f"key from {asked.endpoint.key_variable}"
    yield Finding("endpoint", True, f"{asked.endpoint.url}, {key}")
    for note in preset.notes if preset else ():
        yield Finding("note", True, note)
    started = time.monotonic()
    try:
        proposal = asked.ask(PROMPT)
    except AgentError as error:
        yield Finding("reply", False, str(error), "this model cannot be asked")
        return
    finally:
        asked.close()
    yield from _what_came(proposal, time.monotonic() - started)
    yield _cost_cap(asked)


def _what_came(proposal: Proposal, seconds: float) -> Iterator[Finding]:
    usage = proposal.usage
    answered = bool(proposal.reply.strip())
    yield Finding(
        "answer",
        answered,
        f"{' '.join(proposal.reply.split())[:40]!r} by {proposal.model} in {seconds:.1f} s, {usage.requests} requests",
        f"no text within {MAX_OUTPUT_TOKENS} tokens (finish reason {proposal.finish_reason}); a run allows more",
    )
    yield Finding("thinking text", True, "sent separately" if proposal.reasoning else "none was sent")
    has_usage = bool(usage.input_tokens or usage.output_tokens)
    tokens = f"{usage.input_tokens} + {usage.output_tokens} tokens"
    yield Finding("usage", has_usage, tokens if has_usage else "not sent", "--max-tokens and --max-cost count nothing")
    price = "n/a" if usage.cost_usd is None else f"${usage.cost_usd:.6f} ({usage.cost_source})"
    yield Finding("price", usage.cost_usd is not None, price, "cost shows n/a and --max-cost refuses to run")


def _cost_cap(asked: "OpenAIProposer") -> Finding:
    names = asked.dialect.arguments()
    return Finding("request", True, f"streamed, with {', '.join(names)}")
