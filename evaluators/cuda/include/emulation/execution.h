// What the Python side asks of the emulation: note launches instead of running them, reverse their blocks, and hand over what was noted.
#pragma once
#include <string>
#include <vector>
#include "threads.h"

namespace emulation {

struct Noted {
  std::string name;
  std::string symbol;  // mangled name of the kernel; empty where it has internal linkage
  const void* kernel;
  dim3 grid;
  dim3 block;
  size_t shared_bytes;
  unsigned long count;
  bool partial;  // only sampled blocks ran
  bool same_shape(const Launch& launch) const;
};

EMULATION_HIDDEN void set_recording(bool value);
EMULATION_HIDDEN void set_sampling(uint64_t blocks, uint64_t seed, uint64_t parts);  // 0 blocks: all
EMULATION_HIDDEN void set_reversed(bool value);  // blocks from the last to the first
EMULATION_HIDDEN void note(const Launch& launch, bool partial);
EMULATION_HIDDEN std::vector<Noted> take_noted();

}  // namespace emulation
