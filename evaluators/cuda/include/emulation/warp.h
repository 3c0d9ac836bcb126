// Barriers, warp shuffles and votes.
#pragma once
#include <cstring>
#include "threads.h"

inline void __syncthreads() { emulation::block_barrier(); }
inline int __syncthreads_count(int vote) { return emulation::block_votes(vote != 0); }
inline int __syncthreads_or(int vote) { return emulation::block_votes(vote != 0) > 0; }
inline int __syncthreads_and(int vote) { return emulation::block_votes(vote == 0) == 0; }
inline void __syncwarp(unsigned lanes = 0xffffffffu) { emulation::warp_barrier(lanes); }
inline unsigned __activemask() { return emulation::warp_alive(); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

namespace emulation {

// Every lane of `lanes` offers its value, then takes the one of lane `source`.
template <class T>
T exchange(unsigned lanes, T value, unsigned source) {
  static_assert(sizeof(T) <= 8, "shuffles move at most 8 bytes");
  uint64_t* slots = warp_slots();
  std::memcpy(&slots[lane()], &value, sizeof(T));
  warp_barrier(lanes);
  T taken;
  std::memcpy(&taken, &slots[source % 32], sizeof(T));
  warp_barrier(lanes);  // nobody overwrites a slot before all have read
  return taken;
}

inline unsigned ballot(unsigned lanes, bool vote) {
  uint64_t* slots = warp_slots();
  slots[lane()] = vote;
  warp_barrier(lanes);
  unsigned result = 0;
  const unsigned present = lanes & warp_alive();
  for (unsigned i = 0; i < 32; ++i)
    if ((present >> i & 1u) && slots[i]) result |= 1u << i;
  warp_barrier(lanes);
  return result;
}

template <class T, class Combine>
T reduce(unsigned lanes, T value, Combine combine) {
  uint64_t* slots = warp_slots();
  std::memcpy(&slots[lane()], &value, sizeof(T));
  warp_barrier(lanes);
  const unsigned present = lanes & warp_alive();
  bool first = true;
  T result = value;
  for (unsigned i = 0; i < 32; ++i) {
    if (!(present >> i & 1u)) continue;
    T other;
    std::memcpy(&other, &slots[i], sizeof(T));
    result = first ? other : combine(result, other);
    first = false;
  }
  warp_barrier(lanes);
  return result;
}

}  // namespace emulation

template <class T>
T __shfl_sync(unsigned lanes, T value, int source, int width = 32) {
  const unsigned base = emulation::lane() & ~(width - 1u);
  return emulation::exchange(lanes, value, base | (source & (width - 1u)));
}
template <class T>
T __shfl_up_sync(unsigned lanes, T value, unsigned delta, int width = 32) {
  const unsigned lane = emulation::lane(), base = lane & ~(width - 1u);
  return emulation::exchange(lanes, value, lane >= base + delta ? lane - delta : lane);
}
template <class T>
T __shfl_down_sync(unsigned lanes, T value, unsigned delta, int width = 32) {
  const unsigned lane = emulation::lane(), last = lane | (width - 1u);
  return emulation::exchange(lanes, value, lane + delta <= last ? lane + delta : lane);
}
template <class T>
T __shfl_xor_sync(unsigned lanes, T value, int flipped, int width = 32) {
  const unsigned lane = emulation::lane(), last = lane | (width - 1u), source = lane ^ unsigned(flipped);
  return emulation::exchange(lanes, value, source <= last ? source : lane);
}
inline unsigned __ballot_sync(unsigned lanes, int vote) { return emulation::ballot(lanes, vote != 0); }
inline int __any_sync(unsigned lanes, int vote) { return emulation::ballot(lanes, vote != 0) != 0; }
inline int __all_sync(unsigned lanes, int vote) { return emulation::ballot(lanes, vote == 0) == 0; }
template <class T>
T __reduce_add_sync(unsigned lanes, T value) { return emulation::reduce(lanes, value, [](T a, T b) { return a + b; }); }
template <class T>
T __reduce_max_sync(unsigned lanes, T value) { return emulation::reduce(lanes, value, [](T a, T b) { return a > b ? a : b; }); }
template <class T>
T __reduce_min_sync(unsigned lanes, T value) { return emulation::reduce(lanes, value, [](T a, T b) { return a < b ? a : b; }); }
