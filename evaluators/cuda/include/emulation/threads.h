// The execution model on one CPU thread: blocks run one after another, the threads of a block one after another - as plain
// calls where the source has no barrier, otherwise as fibers that switch at every barrier or warp exchange.
// Limits: no two threads ever run at the same time, so a race between threads or blocks is not seen.
#pragma once
#include <cstddef>
#include <cstdint>
#include "vector_types.h"

#define EMULATION_HIDDEN __attribute__((visibility("hidden")))

extern EMULATION_HIDDEN uint3 threadIdx;
extern EMULATION_HIDDEN uint3 blockIdx;
extern EMULATION_HIDDEN dim3 blockDim;
extern EMULATION_HIDDEN dim3 gridDim;
constexpr int warpSize = 32;

namespace emulation {

struct Launch {
  const char* name;
  const void* kernel;
  dim3 grid;
  dim3 block;
  size_t shared_bytes;
  bool has_barriers;
};

// Runs `thread(call)` once per CUDA thread of the launch and notes the launch; in recording mode it only notes it.
EMULATION_HIDDEN void run(const Launch& launch, void (*thread)(void* call), void* call);

EMULATION_HIDDEN void* dynamic_shared_bytes();
EMULATION_HIDDEN void block_barrier();
EMULATION_HIDDEN void warp_barrier(uint32_t lanes);
EMULATION_HIDDEN uint64_t* warp_slots();  // one 8-byte slot for each lane of the calling thread's warp
EMULATION_HIDDEN uint32_t warp_alive();   // lanes of the calling thread's warp that have not returned
EMULATION_HIDDEN int block_votes(bool vote);  // how many threads of the block voted true

inline unsigned thread_rank() { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }
inline unsigned lane() { return thread_rank() % 32; }

template <class T>
T* dynamic_shared() { return static_cast<T*>(dynamic_shared_bytes()); }

}  // namespace emulation
