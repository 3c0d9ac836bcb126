"""All texts of a run in one compressed block: every distinct line once, every text a list of line numbers.

Prompts and replies of one run repeat most of their lines; 200 attempts of 70 kB come to a few hundred kB so. The page's
script unpacks the block and shows a text as text, never as markup.

Limits: lines longer than `runs.inert.MAX_LINE` are cut in the page; the file beside it has them whole.
"""

import base64
import gzip
import json

from runs.inert import harmless

MAX_TEXT = 400_000  # letters of one text in the page; the longest prompt of a real run has 35 000


class Texts:
    """Collects texts by key and packs them."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._lines: list[str] = []
        self._texts: dict[str, list[int]] = {}

    def add(self, key: str, text: str | None) -> bool:
        """Take a text in; False where there is none."""
        if not text or not text.strip():
            return False
        self._texts[key] = [self._number(line) for line in lines_of(text)]
        return True

    def packed(self) -> str:
        """The block: base64 of gzip of JSON; line numbers are written as steps, which compress to almost nothing."""
        steps = {key: _steps(numbers) for key, numbers in self._texts.items()}
        document = json.dumps({"lines": self._lines, "texts": steps}, ensure_ascii=False, separators=(",", ":"))
        return base64.b64encode(gzip.compress(document.encode("utf-8"), 6, mtime=0)).decode("ascii")

    def _number(self, line: str) -> int:
        number = self._numbers.get(line)
        if number is None:
            number = self._numbers[line] = len(self._lines)
            self._lines.append(harmless(line))
        return number


def lines_of(text: str) -> list[str]:
    """The lines of a text that the page can show; a very long one is cut."""
    more = len(text) - MAX_TEXT
    shown = text if more <= 0 else f"{text[:MAX_TEXT]}\n[... {more} more letters: see the file]"
    return shown.rstrip("\n").split("\n")


def _steps(numbers: list[int]) -> list[int]:
    previous, steps = -1, []
    for number in numbers:
        steps.append(number - previous)
        previous = number
    return steps
