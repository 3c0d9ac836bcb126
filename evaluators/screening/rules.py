"""The rule groups in the order a report shows them. A new group is one file with `check` and one line here.

Limits: none of these runs a candidate; see evaluators/screening/__init__.py.
"""

from evaluators.evaluation import Kind
from evaluators.screening import cpp, dynamic, escapes, imports, library, placeholder, state, structure, undefined
from evaluators.screening.rule import Rule

# check name -> (what a violation is, the rule); a rejected candidate is reported before one that does not compile
ALL: dict[str, tuple[Kind, Rule]] = {
    "structure": ("rejected", structure.check),
    "placeholder": ("rejected", placeholder.check),
    "imports": ("rejected", imports.check),
    "dynamic_code": ("rejected", dynamic.check),
    "process_state": ("rejected", state.check),
    "library_calls": ("rejected", library.check),
    "escapes": ("rejected", escapes.check),
    "cpp_text": ("rejected", cpp.check),
    "undefined_names": ("compile_error", undefined.check),
    "load_inline": ("compile_error", cpp.signatures),
}
