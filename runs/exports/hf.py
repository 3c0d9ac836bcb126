"""Format `hf`: the layout of Hugging Face `kernels`: sources for its builder, and the built tree its loader reads.

Nothing is uploaded. Publishing needs a trusted publisher or `trust_remote_code=True` on the other side.

Limits: the built tree is `torch-cuda` only; CUDA candidates compile on import and are no noarch kernel in the sense of
the builder. `[general.hub] repo-id` is left to who publishes.
"""

import base64
import hashlib
import json

from runs.exports.card import code_sha256
from runs.exports.torch_op import operator_sources, ops_source, rendered
from runs.exports.winner import Winner


def files(winner: Winner) -> dict[str, str]:
    """build.toml, the card, the sources and the built tree."""
    name = winner.identifier
    package = operator_sources(winner)
    namespace = f"_{name}_cuda_{code_sha256(winner.source)[:7]}"
    built = {**package, "_ops.py": ops_source(namespace)}
    return {
        "build.toml": rendered("build.toml.j2", winner),
        "CARD.md": rendered("README.md.j2", winner),
        **{f"torch-ext/{name}/{path}": text for path, text in package.items()},
        **{f"build/torch-cuda/{path}": text for path, text in built.items()},
        "build/torch-cuda/metadata.json": _metadata(winner, namespace, built),
    }


def _metadata(winner: Winner, namespace: str, built: dict[str, str]) -> str:
    digests = {
        path: base64.b64encode(hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()).decode()
        for path, text in sorted(built.items())
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
