// `kernel<<<grid, block, bytes, stream>>>(arguments)` arrives here as `emulation::kernel("name", kernel).configured(...)(...)`.
#pragma once
#include <tuple>
#include "threads.h"

#ifndef EMULATION_HAS_BARRIERS
#define EMULATION_HAS_BARRIERS true
#endif

namespace emulation {

template <class... Parameters>
struct Configured {
  Launch launch;
  void (*function)(Parameters...);

  // The arguments are converted once, by value, as a CUDA launch does.
  void operator()(Parameters... arguments) {
    struct Call {
      void (*function)(Parameters...);
      std::tuple<Parameters...> arguments;
    } call{function, std::tuple<Parameters...>(arguments...)};
    run(launch, [](void* opaque) {
      auto* each = static_cast<Call*>(opaque);
      std::apply(each->function, each->arguments);
    }, &call);
  }
};

template <class... Parameters>
struct Kernel {
  const char* name;
  void (*function)(Parameters...);
  Configured<Parameters...> configured(dim3 grid, dim3 block, size_t shared_bytes = 0, const void* = nullptr) const {
    return {{name, reinterpret_cast<const void*>(function), grid, block, shared_bytes, EMULATION_HAS_BARRIERS}, function};
  }
};

template <class... Parameters>
Kernel<Parameters...> kernel(const char* name, void (*function)(Parameters...)) { return {name, function}; }

}  // namespace emulation
