"""What a kernel can be exported as: one file per format, its name is its key (`torch_op` is typed `torch-op`).

A format is a module with `files(winner) -> dict[str, str]`: texts by relative path; and `loading(winner, at) -> str`:
how what was written to `at` is used, in one line.
"""
