"""`agent extract`: show which code of a reply would be judged, and why.

Limits: text only; nothing is compiled or run.
"""

import json
import sys
from pathlib import Path

from agent.commands.source_text import reply_text
from agent.reply import read_reply


def extract(file: Path, *, as_json: bool) -> None:
    """Print the chosen code on stdout and the reasons on stderr; exit 1 where the reply holds no candidate."""
    reading = read_reply(reply_text(file))
    if as_json:
        candidate = reading.candidate
        print(json.dumps({"candidate_id": candidate.id if candidate else None, **reading.model_dump(mode="json")}))
    else:
        for block in reading.blocks:
            print(f"lines {block.first_line}-{block.last_line} [{block.tag}]: {block.verdict}", file=sys.stderr)
        print(reading.reason, file=sys.stderr)
        if reading.candidate:
            print(reading.candidate.source)
    sys.exit(0 if reading.candidate else 1)
