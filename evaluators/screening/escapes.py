"""Objects that run later or elsewhere: tensor subclasses, modes, hooks, special methods.

Limits: by name; streams and graphs fall under the allow-list of evaluators/screening/allowed.py.
"""

import ast
from collections.abc import Iterator

from evaluators.problem import Problem
from evaluators.screening.rule import Violation
from evaluators.screening.source import Source

SUBCLASSED = frozenset({"torch.Tensor", "torch.nn.Parameter", "torch.nn.parameter.Parameter", "torch.FloatTensor"})
SPECIAL_METHODS = {
    "__torch_function__": "return a plain torch.Tensor that is already computed",
    "__torch_dispatch__": "return a plain torch.Tensor that is already computed",
    "__getattribute__": "use plain attributes",
    "__reduce__": "nothing of a candidate is pickled",
    "__reduce_ex__": "nothing of a candidate is pickled",
    "__init_subclass__": "write out what a class does",
    "__set_name__": "write out what a class does",
    "__del__": "leave nothing to run after forward returns",
    "__array__": "return a plain torch.Tensor",
    "__dlpack__": "return a plain torch.Tensor",
}
METHODS = {
    "as_subclass": "return a plain torch.Tensor",
    "_make_subclass": "return a plain torch.Tensor",
    "_make_wrapper_subclass": "return a plain torch.Tensor",
    "register_hook": "do the work in forward",
    "register_forward_hook": "do the work in forward",
    "register_forward_pre_hook": "do the work in forward",
    "register_full_backward_hook": "do the work in forward or autograd.Function",
    "register_full_backward_pre_hook": "do the work in forward or autograd.Function",
    "register_state_dict_pre_hook": "rearrange weights in forward",
    "register_load_state_dict_pre_hook": "rearrange weights in forward when `weight._version` has changed",
    "register_load_state_dict_post_hook": "rearrange weights in forward when `weight._version` has changed",
    "register_post_accumulate_grad_hook": "do the work in forward",
    "register_module_forward_hook": "do the work in forward",
    "wait_stream": "use the caller's current stream only",
    "record_stream": "use the caller's current stream only",
    "untyped_storage": "use shape, stride() and data_ptr()",
    "_typed_storage": "use shape, stride() and data_ptr()",
}
TO_HOST = {
    "tolist": "a kernel computes with tensor values, Python does not",
    "numpy": "a kernel computes with tensor values, numpy does not",
    "cpu": "leave tensors on their device",
}


def check(source: Source, _: Problem) -> Iterator[Violation]:
    """Subclasses of tensors, special methods, hooks, and `__call__` in place of forward."""
    for node in source.walk(ast.ClassDef):
        yield from _check_class(source, node)
    for attribute in source.walk(ast.Attribute):
        name = attribute.attr
        if name in METHODS:
            yield Violation("escape", attribute.lineno, f"`.{name}` is not allowed: {METHODS[name]}")
        if name in TO_HOST and _is_called(source, attribute) and not _at_construction(source, attribute):
            yield Violation("host_values", attribute.lineno, f"`.{name}()` is not allowed: {TO_HOST[name]}")


def _is_called(source: Source, attribute: ast.Attribute) -> bool:
    parent = source.parents[attribute]
    return isinstance(parent, ast.Call) and parent.func is attribute and not parent.args


def _at_construction(source: Source, node: ast.AST) -> bool:
    return getattr(source.function(node), "name", "") in ("__init__", "reset_parameters")


def _check_class(source: Source, node: ast.ClassDef) -> Iterator[Violation]:
    bases = {source.path(base) for base in node.bases}
    if bases & SUBCLASSED:
        message = (
            f"class {node.name} subclasses a tensor: forward returns a plain torch.Tensor that is already computed"
        )
        yield Violation("escape", node.lineno, message)
    for item in node.body:
        name = getattr(item, "name", "")
        if name in SPECIAL_METHODS:
            yield Violation("escape", item.lineno, f"`{name}` is not allowed: {SPECIAL_METHODS[name]}")
        if name == "__call__" and "torch.nn.Module" in bases:
            yield Violation("escape", item.lineno, f"{node.name} defines `__call__`: define forward instead")
