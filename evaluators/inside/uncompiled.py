"""Importing this keeps torch from importing its compiler (torch._dynamo: 0.9 s, 800 modules) where nothing is compiled.

torch marks 287 of its own Python functions as not to be compiled, and imports the compiler when one of them is first
called, e.g. for x * y on meta tensors; what it gets there is kept beside the function. Here that is the function.

Limits: the functions that exist when this is imported, as torch 2.13 marks them; elsewhere it is slower, not wrong.
"""

import gc
import types

import torch

for _found in gc.get_objects():
    if type(_found) is types.FunctionType and _found.__code__.co_filename == torch._compile.__file__:
        _held = dict(zip(_found.__code__.co_freevars, _found.__closure__ or (), strict=True))
        if "fn" in _held:
            _held["fn"].cell_contents.__dict__["__dynamo_disable"] = _held["fn"].cell_contents
