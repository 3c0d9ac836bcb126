"""A recorded `load_inline` call: the texts a candidate asks to be compiled, as values.

Limits: what load_inline is told; whether it compiles is device.py's and host.py's business.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from evaluators.frozen import Frozen

_Text = Annotated[str, Field(max_length=1 << 20)]
_Texts = Annotated[tuple[_Text, ...], Field(max_length=64)]
_Name = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z_]\w*$")]

# Flags that change what is compiled without reading or writing other files; all others are left out and said.
_SAFE_FLAG = re.compile(
    r"-O[0-3]|-D\w+(=[\w.+-]*)?|-U\w+|-std=c\+\+\d\w|(--|-)use_fast_math|(--|-)fmad=\w+|(--|-)ftz=\w+|(--|-)prec-(div|sqrt)=\w+"
    r"|--?expt-(relaxed-constexpr|extended-lambda)|--?extended-lambda|-lineinfo|--?maxrregcount=\d+|-w"
)


class Section(Frozen):
    """One source text under the name that compiler messages will give it."""

    name: str
    text: str


class Extension(Frozen):
    """The arguments of one load_inline call that decide what is built."""

    name: Annotated[str, Field(max_length=200)]
    cpp_sources: _Texts
    cuda_sources: _Texts
    functions: Annotated[tuple[_Name, ...], Field(max_length=256)] | None
    cuda_flags: _Texts = ()
    has_implicit_headers: bool = True

    @property
    def id(self) -> str:
        """First 16 hex digits of the sha256 of everything that decides the build."""
        text = self.model_dump_json(exclude={"name"})
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def module_name(self) -> str:
        """What TORCH_EXTENSION_NAME expands to; the same for equal sources."""
        return f"extension_{self.id}"

    @property
    def sections(self) -> tuple[Section, ...]:
        """Every text, named as in messages: `cuda_sources`, or `cuda_sources[1]` where there are several."""
        return (*_sections("cpp_sources", self.cpp_sources), *_sections("cuda_sources", self.cuda_sources))

    @property
    def cuda_text(self) -> str:
        """All CUDA texts as one."""
        return "\n".join(self.cuda_sources)

    def safe_cuda_flags(self) -> tuple[list[str], list[str]]:
        """extra_cuda_cflags, split into those that are used here and those that are left out."""
        used = [flag for flag in self.cuda_flags if _SAFE_FLAG.fullmatch(flag)]
        return used, [flag for flag in self.cuda_flags if flag and flag not in used]

    def device_unit(self) -> str:
        """cuda.cu as torch.utils.cpp_extension writes it, with #line so that messages name the sections."""
        return _unit(
            self._headers("torch/types.h", "cuda.h", "cuda_runtime.h"), _sections("cuda_sources", self.cuda_sources)
        )

    def main_unit(self) -> str:
        """main.cpp as torch.utils.cpp_extension writes it: the declarations and the binding."""
        binding = [Section(name="binding", text="\n".join(self._binding()))] if self.functions is not None else []
        return _unit(self._headers("torch/extension.h"), (*_sections("cpp_sources", self.cpp_sources), *binding))

    def _headers(self, *names: str) -> str:
        return "".join(f"#include <{name}>\n" for name in names) if self.has_implicit_headers else ""

    def _binding(self) -> Iterator[str]:
        yield "PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {"
        for name in self.functions or ():
            yield f'm.def("{name}", torch::wrap_pybind_function({name}), "{name}");'
        yield "}"


def _sections(name: str, texts: tuple[str, ...]) -> tuple[Section, ...]:
    if len(texts) == 1:
        return (Section(name=name, text=texts[0]),)
    return tuple(Section(name=f"{name}[{index}]", text=text) for index, text in enumerate(texts))


def _unit(headers: str, sections: tuple[Section, ...]) -> str:
    return headers + "\n".join(f'#line 1 "{section.name}"\n{section.text}' for section in sections) + "\n"
