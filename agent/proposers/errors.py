"""Why no reply can be had. Every one is one line that says what happened, where, and what to do; none holds a key.

    AgentError (evaluators.errors)
    └── ProposerError               no reply; `usage` is what the failed requests cost
        ├── (also UsageError: exit code 2, the caller can fix it; never retried)
        │   ├── KeyMissing          no key for this endpoint in the environment
        │   ├── KeyRefused          401 or 403
        │   ├── QuotaExhausted      no credit left or a hard billing limit; waiting does not help
        │   ├── UnknownModel        the endpoint does not serve this model
        │   ├── BadEndpoint         the URL is not one of an OpenAI-compatible API (404, HTML, malformed)
        │   ├── ContextTooLong      prompt and reply do not fit into the model's context
        │   ├── ContentFiltered     the provider's filter stopped the reply
        │   ├── RequestRefused      any other request the endpoint calls invalid
        │   └── NotReplayable       the recorded run holds no replies, or one of them is missing
        ├── NothingToPropose        the proposer has said all it has to say; a run ends normally on it
        │   └── ReplyAwaited        somebody else writes the next reply: `agent ask`, `agent tell`
        └── (also MachineError: exit code 3; retried, raised when the retries are used up)
            ├── Unreachable         no connection; retried only where the endpoint has answered before
            ├── Overloaded          429, 5xx, a timeout, or a wait the provider asks for that is too long
            ├── BrokenReply         the stream broke off, or held something that is not the protocol
            └── EmptyReply          a well-formed answer without a choice or without text

Limits: what a reply *says* is judged in agent/reply.py. A reply cut at the token limit is a Proposal with finish_reason
`length`, not an error: it is paid for and may hold code.
"""

from evaluators.errors import AgentError, MachineError, UsageError
from runs.nouns import Usage


class ProposerError(AgentError):
    """No reply can be had. `is_transient`: another try may succeed, after `retry_after_s` if the provider said so."""

    is_transient = False

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.usage = Usage()


class KeyMissing(ProposerError, UsageError):
    """The environment holds no usable key for this endpoint."""


class KeyRefused(ProposerError, UsageError):
    """The endpoint does not accept the key, or not for this use."""


class QuotaExhausted(ProposerError, UsageError):
    """The account has no credit left."""


class UnknownModel(ProposerError, UsageError):
    """The endpoint does not serve a model of this name."""


class BadEndpoint(ProposerError, UsageError):
    """There is no OpenAI-compatible API at this URL."""


class ContextTooLong(ProposerError, UsageError):
    """The prompt, or prompt and reply together, exceed the model's context."""


class ContentFiltered(ProposerError, UsageError):
    """The provider's content filter stopped the request or the reply."""


class RequestRefused(ProposerError, UsageError):
    """The endpoint calls the request invalid."""


class NotReplayable(ProposerError, UsageError):
    """The recorded run holds no replies, or one of them is missing."""


class NothingToPropose(ProposerError):
    """The proposer has said all it has to say: the playbook's kernels or a replay's replies are used up."""


class ReplyAwaited(NothingToPropose):
    """Somebody else writes the replies, and the next is not there yet."""


class Unreachable(ProposerError, MachineError):
    """No connection could be made."""

    is_transient = True


class Overloaded(ProposerError, MachineError):
    """The endpoint is there and cannot answer now."""

    is_transient = True


class BrokenReply(ProposerError, MachineError):
    """The reply broke off before its end, or is not the protocol."""

    is_transient = True


class EmptyReply(ProposerError, MachineError):
    """The answer is well-formed and empty."""

    is_transient = True
