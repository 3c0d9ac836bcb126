"""Read what the analyst wrote: four labelled lines, in any dress a model gives them.

Limits: text in, text out. A reply without any of the labels is taken whole as the plan: nothing paid for is lost.
"""

import re

from prompts.context import Analysis

MOST_CHARS = 600  # of one field: an author reads a plan, not an essay
FULLEST = Analysis(**dict.fromkeys(Analysis.model_fields, "x" * MOST_CHARS))  # what an analysis can add to a prompt
_LABEL = re.compile(
    r"^[\s>*#\-\d.]*\**(bottleneck|method|plan|expected gain)\**\s*:\**\s*", re.IGNORECASE | re.MULTILINE
)
_THINKING = re.compile(r"<think(ing)?>.*?</think(ing)?>", re.DOTALL | re.IGNORECASE)


def read_analysis(reply: str) -> Analysis:
    """The analysis in a reply; of a label that comes twice the last one counts."""
    text = _THINKING.sub("", reply)
    found = list(_LABEL.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)]
    fields = {
        match[1].lower().replace(" ", "_"): _short(text[match.end() : end])
        for match, end in zip(found, ends, strict=False)
    }
    return Analysis(**fields) if any(fields.values()) else Analysis(plan=_short(text))


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= MOST_CHARS else flat[: MOST_CHARS - 3] + "..."
