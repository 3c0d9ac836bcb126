"""The compiled code of a candidate as two texts: SASS, disassembled here, and PTX, as the compiler handed it over.

They are files beside an attempt (kernel.sass, kernel.ptx) and no part of the evaluation, so that a journal stays small.

Limits: `MAX_CHARS` per text, the rest is left out and said so. SASS is read from the binary that was captured; PTX is
the word of the candidate's process, and of CUDA candidates there is none (nvcc is asked for the binary only).
"""

from collections.abc import Iterable, Iterator, Sequence

from evaluators.compiled import sass
from evaluators.compiled.cubin import UnreadableCubin
from evaluators.rungs import CapturedLaunch

SASS, PTX = "kernel.sass", "kernel.ptx"
MAX_CHARS = 600_000  # an unrolled kernel of 6000 instructions has 400 000


def listings_of(launches: Sequence[CapturedLaunch], arch: str) -> dict[str, str]:
    """Both texts of distinct kernels, by file name; a text that is empty is left out."""
    distinct = list({launch.cubin: launch for launch in launches}.values())
    texts = {
        SASS: _joined((_head(launch, arch), *_sass(launch.cubin)) for launch in distinct),
        PTX: _joined((_head(launch, arch), launch.ptx.strip()) for launch in distinct if launch.ptx.strip()),
    }
    return {name: text for name, text in texts.items() if text}


def sass_of(cubins: Sequence[bytes], arch: str) -> dict[str, str]:
    """SASS of every function in these binaries, by file name."""
    text = _joined((f"// {arch}", *_sass(cubin)) for cubin in cubins)
    return {SASS: text} if text else {}


def _head(launch: CapturedLaunch, arch: str) -> str:
    config = ", ".join(f"{name}={value}" for name, value in launch.config.items())
    meta = f"{launch.num_warps} warps, {launch.num_stages} stages"
    return f"// {launch.name} for {arch}, {meta}{f', {config}' if config else ''}"


def _sass(cubin: bytes) -> Iterator[str]:
    try:
        for listing in sass.listings(cubin):
            yield f"// function {listing.name}: {len(listing.opcodes)} instructions"
            yield listing.text
    except UnreadableCubin as error:
        yield f"// {error}"


def _joined(parts: Iterable[tuple[str, ...]]) -> str:
    text = "\n\n".join("\n".join(part) for part in parts)
    return (
        text
        if len(text) <= MAX_CHARS
        else f"{text[:MAX_CHARS]}\n// ... {len(text) - MAX_CHARS} more letters left out\n"
    )
