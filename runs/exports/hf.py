"""Format `hf`: the layout of Hugging Face `kernels`: sources for its builder, and the built trees its loader reads.

A Triton kernel is pure Python and needs one build for every system: `build/torch-cuda`, the noarch variant that the
loader prefers (kernels 0.17), and the same again as `build/torch-universal`, which earlier loaders ask for and which is
taken whatever the backend. A CUDA kernel compiles on import and gets `torch-cuda` only.

Nothing is uploaded. Publishing needs a trusted publisher or `trust_remote_code=True` on the other side.

Limits: `[general.hub] repo-id` and a signature are left to who publishes.
"""

import base64
import hashlib
import json
from pathlib import Path

from runs.exports.card import code_sha256
from runs.exports.torch_op import operator_sources, ops_source, rendered
from runs.exports.winner import Winner

# They import the folder named as the kernel, by path and under a name of their own: it has no parent to import from.
_FOR_EARLIER_LOADERS = '''\
"""The package above, for loaders that look for it here."""

import importlib.util
import sys
from pathlib import Path

_path = Path(__file__).resolve().parents[1] / "__init__.py"
_name = f"{__name__}_{abs(hash(_path))}"
_spec = importlib.util.spec_from_file_location(_name, _path)
_module = sys.modules[_name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
globals().update({name: getattr(_module, name) for name in _module.__all__})
'''


def files(winner: Winner) -> dict[str, str]:
    """build.toml, the card, the sources and the built trees."""
    name = winner.identifier
    package = operator_sources(winner)
    variants = ("cuda", "universal") if winner.language == "triton" else ("cuda",)
    built = [_built(winner, variant, package) for variant in variants]
    return {
        "build.toml": rendered("build.toml.j2", winner),
        "CARD.md": rendered("CARD.md.j2", winner),
        **{f"torch-ext/{name}/{path}": text for path, text in package.items()},
        **{path: text for tree in built for path, text in tree.items()},
    }


def loading(winner: Winner, at: Path) -> str:
    """How the folder is loaded; CARD.md says how without the package `kernels`."""
    return f'load it: kernels.get_local_kernel(Path("{at}")); without a GPU, or without kernels, as in {at / "CARD.md"}'


def _built(winner: Winner, variant: str, package: dict[str, str]) -> dict[str, str]:
    """One tree: the package, its namespace, the folder of its name that earlier loaders import, and what it is."""
    name = winner.identifier
    namespace = f"_{name}_{variant}_{code_sha256(winner.source)[:7]}"
    tree = {
        **package,
        "_ops.py": ops_source(namespace),
        f"{name}/__init__.py": _FOR_EARLIER_LOADERS,
    }
    tree["metadata.json"] = _metadata(winner, namespace, tree)
    return {f"build/torch-{variant}/{path}": text for path, text in tree.items()}


def _metadata(winner: Winner, namespace: str, tree: dict[str, str]) -> str:
    digests = {
        path: base64.b64encode(hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()).decode()
        for path, text in sorted(tree.items())
    }
    return json.dumps(
        {
            "name": winner.identifier.replace("_", "-"),
            "id": namespace,
            "version": 1,
            "license": "apache-2.0",
            "python-depends": [],
            "backend": {"type": "cuda"},
            "digest": {"algorithm": "sha256", "files": digests},
        },
        indent=2,
    )
