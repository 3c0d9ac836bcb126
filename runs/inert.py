"""Text of models and candidates made harmless for a terminal: escapes and invisible letters are shown, not obeyed.

Limits: several lines at a time; for one line that may lose such letters see `runs.live.printable`.
"""

MAX_LINE = 2000  # letters of a line of a long text


def inert(text: str) -> str:
    """The text with every letter that could move the cursor, ring, hide or reorder written as `\\x1b` or `<U+202E>`."""
    if text.isprintable():
        return text  # nearly every text: a page shows tens of thousands
    return "".join(letter if letter == "\n" or letter.isprintable() else _shown(letter) for letter in text)


def one_line(text: str, limit: int = 160) -> str:
    """The inert text on one line, cut at `limit` characters."""
    line = " ".join(inert(text).split())
    return line if len(line) <= limit else line[: limit - 4] + " ..."


def harmless(line: str) -> str:
    """One line of any length, inert, cut at `MAX_LINE` letters and saying so."""
    cut = line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]} [... {len(line) - MAX_LINE} more letters]"
    return cut if cut.isprintable() else inert(cut)


def _shown(letter: str) -> str:
    if letter == "\t":
        return "    "
    if letter == "\r":
        return ""
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"<U+{code:04X}>"
