"""Judging on the GPU itself: correctness at the published size, time by the judge's clock, baselines, the duel.

card.py        the GPU: name, fingerprint, clocks, who else uses it, the lease
published.py   the reference at its published size: secret inputs, what is right
beyond.py      the reference at larger sizes: calls that show what is fixed to a published one
bench.py       what one candidate has open on the device: its process and its memory
protocol.py    what the way of measuring costs, from a trusted null candidate
medians.py     how well the median of samples is known
sampling.py    samples until the median is known well enough; inside against outside clock
baselines.py   the library at its settings
duel.py        challenger against incumbent
"""
