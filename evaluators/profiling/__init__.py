"""Metrics of one warmed call of a candidate: Nsight Compute where it is permitted, else durations through CUPTI.

wanted.py    what every profile holds
command.py   the ncu command line
table.py     its table of figures, read
reasons.py   why it delivered nothing, and what to do
box.py       one run of it in the sandbox
place.py     the layers of the sandbox behind which it works here, found once by trying
session.py   one pass over a candidate
trace.py     durations by kernel from the candidate's own process (CUPTI)

Everything here is written beside untrusted code: it informs prompts and gates of stages, it decides no verdict.
"""
