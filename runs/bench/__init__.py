"""The record of a benchmark: many problems, one run each, in one directory.

    transcripts/bench-<YYYYMMDD-HHMMSS>-<set>-<gpu>/
        bench.json                  what was asked for, with the text of every problem
        <run-id>/                   an ordinary run per problem
        bench.html, kernelbench/    made from the above whenever the benchmark ends

Which problem is done and what it cost is read from its run's journal, so there is nothing else to lose.
"""
