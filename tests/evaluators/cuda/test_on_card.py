"""CUDA texts built for a card: real compilers and a real import; nothing is launched, which needs a card."""

import ctypes
import importlib.machinery
import importlib.util
from pathlib import Path

import pytest

from evaluators.cuda import on_card
from evaluators.cuda.extension import Extension

SOURCE = (Path(__file__).parent / "data" / "bound_by_hand.py").read_text()
CUDA = SOURCE.split('r"""')[1].split('"""')[0]


def extension(text: str = CUDA) -> Extension:
    return Extension(
        name="doubled", cpp_sources=(), cuda_sources=(text,), functions=None, cuda_flags=("-O3", "-Xptxas=-v")
    )


def test_a_text_becomes_a_module_that_counts_its_launches(nvcc: None, tmp_path: Path) -> None:
    wanted = extension()
    built = on_card.loadable("sm_90", wanted, SOURCE)
    assert built.module, (built.failure, built.unverified, built.log)
    assert built.seconds > 0
    assert "flags left out: -Xptxas=-v" in built.log
    again = on_card.loadable("sm_90", wanted, SOURCE)
    assert (again.module, again.seconds) == (built.module, built.seconds)

    path = tmp_path / "module.so"
    path.write_bytes(built.module)
    loader = importlib.machinery.ExtensionFileLoader(wanted.module_name, str(path))
    spec = importlib.util.spec_from_file_location(wanted.module_name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        module.run(1, s=(1, 2))
    assert ctypes.CDLL(str(path)).take_launched() == 0


def test_a_text_that_cannot_be_built_is_blamed_at_its_line(nvcc: None) -> None:
    built = on_card.loadable("sm_90", extension(CUDA.replace("factor[1] * x[i]", "factor[1] * z[i]")), SOURCE)
    assert not built.module
    assert built.failure is not None
    assert built.failure.kind == "compile_error"
    assert '"z" is undefined' in built.failure.message
    assert "line 11" in built.failure.message
