"""Make a prompt shorter by leaving out its least useful parts, in a stated order.

    1 outcomes of earlier runs      4 cards of kernel families              7 evidence of kernels beyond four
    2 partners' code                5 attempts older than the last four     8 ideas of the stage
    3 tables of points              6 the build log                         9 all earlier attempts

Limits: never the reference, the rules, the current code, the verdict or the analysis. A prompt that is too long without
all nine stays too long.
"""

from collections.abc import Callable
from dataclasses import dataclass

from evaluators.evaluation import Evaluation
from prompts.context import Base, Context
from prompts.render import render

MOST_CHARS = 200_000  # about 60,000 tokens: fits every context of 128k beside a 16k reply
_KEPT_ATTEMPTS = 4
_KEPT_KERNELS = 4


@dataclass(frozen=True)
class Fitted:
    """A prompt with the context it was rendered from and the names of the parts that were left out."""

    context: Context
    prompt: str
    dropped: tuple[str, ...] = ()


def fit(context: Context, most_chars: int = MOST_CHARS) -> Fitted:
    """The prompt of a context, shortened until it holds at most `most_chars` or nothing more can be left out."""
    fitted: Fitted | None = Fitted(context, render(context))
    while True:
        assert fitted is not None
        shorter = smaller(fitted) if len(fitted.prompt) > most_chars else None
        if shorter is None:
            return fitted
        fitted = shorter


def smaller(fitted: Fitted) -> Fitted | None:
    """The prompt without the next part of the order that it still has; None where all are gone."""
    for name, drop in ORDER:
        if name in fitted.dropped:
            continue
        context = drop(fitted.context)
        if context != fitted.context:
            return Fitted(context, render(context), (*fitted.dropped, name))
    return None


def _without_old_attempts(context: Context) -> Context:
    return context.model_copy(update={"history": context.history[-_KEPT_ATTEMPTS:]})


def _without_build_log(context: Context) -> Context:
    return _with_evaluation(context, lambda evaluation: evaluation.model_copy(update={"build_log": ""}))


def _without_many_kernels(context: Context) -> Context:
    return _with_evaluation(
        context, lambda evaluation: evaluation.model_copy(update={"kernels": evaluation.kernels[:_KEPT_KERNELS]})
    )


def _with_evaluation(context: Context, change: Callable[[Evaluation], Evaluation]) -> Context:
    base = context.base
    if base is None or base.evaluation is None:
        return context
    changed = Base(number=base.number, source=base.source, evaluation=change(base.evaluation))
    return context.model_copy(update={"base": changed})


def _without_ideas(context: Context) -> Context:
    return context.model_copy(update={"stage": context.stage.model_copy(update={"ideas": ()})})


ORDER: tuple[tuple[str, Callable[[Context], Context]], ...] = (
    ("outcomes of earlier runs", lambda context: context.model_copy(update={"memories": ()})),
    ("partners", lambda context: context.model_copy(update={"partners": ()})),
    ("tables of points", lambda context: context.model_copy(update={"searches": ()})),
    ("cards", lambda context: context.model_copy(update={"cards": ()})),
    ("older attempts", _without_old_attempts),
    ("build log", _without_build_log),
    ("evidence of further kernels", _without_many_kernels),
    ("ideas", _without_ideas),
    ("all attempts", lambda context: context.model_copy(update={"history": ()})),
)
