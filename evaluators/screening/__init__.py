"""Static rules on the text of a candidate, one file per group; `rules.ALL` lists them in the order they are reported.

A rule is a function `(Source, Problem) -> Iterable[Violation]`. It reads the parsed file, never runs it.

Limits: an early, readable filter. A program can always hide from its own text; the proof is in the runtime checks.
"""
