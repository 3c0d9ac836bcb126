// Runs the threads of a launch; see threads.h. Compiled once and linked to every emulated extension.
#include <sys/mman.h>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include "execution.h"
#include "host_api.h"
#include "threads.h"

uint3 threadIdx{0, 0, 0};
uint3 blockIdx{0, 0, 0};
dim3 blockDim;
dim3 gridDim;

// Saves the callee-saved registers and the stack pointer in *from, continues where `to` was saved. 20 ns a switch, where
// swapcontext costs two system calls.
#if defined(__x86_64__)
asm(R"(
.text
.hidden emulation_switch
.globl emulation_switch
.type emulation_switch, @function
emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulation_switch, .-emulation_switch
)");
extern "C" void emulation_switch(void** from, void* to);
#else
#include <ucontext.h>
#endif

namespace emulation {
namespace {

constexpr size_t kStackBytes = 256 << 10;  // local arrays of a kernel live here; touched pages only are real
constexpr size_t kGuardBytes = 4 << 10;
constexpr size_t kSharedBytes = 256 << 10;  // above the 227 KB any card offers
constexpr unsigned kMaxThreads = 1024;

enum class State { kRunnable, kAtBlockBarrier, kAtWarpBarrier, kDone };

struct Fiber {
#if defined(__x86_64__)
  void* stack_pointer;
#else
  ucontext_t context;
#endif
  uint3 index;
  State state;
  uint32_t warp_lanes;  // the mask this thread waits with
};

struct Warp {
  uint32_t alive, waiting;
  uint64_t slots[32];
};

alignas(128) char shared_buffer[kSharedBytes];
Fiber fibers[kMaxThreads];
Warp warps[kMaxThreads / 32];
unsigned thread_count, alive_count, barrier_count, votes, last_votes, current;
void (*thread_function)(void*);
void* thread_call;
char* stacks;
bool in_fiber = false;
#if defined(__x86_64__)
void* scheduler_stack_pointer;
#else
ucontext_t scheduler_context;
#endif

bool recording = false;
bool reversed = false;
uint64_t sampled_blocks = 0;  // 0: all
uint64_t sampled_parts = 1;
std::mt19937_64 sampling;
cudaError_t error_of_last_launch = cudaSuccess;

void allocate_stacks() {
  if (stacks) return;
  void* memory = mmap(nullptr, kMaxThreads * kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("emulation: no memory for the stacks of a block");
  stacks = static_cast<char*>(memory);
  for (unsigned i = 0; i < kMaxThreads; ++i) mprotect(stacks + i * kStackBytes, kGuardBytes, PROT_NONE);
}

void to_scheduler() {
  Fiber& self = fibers[current];
#if defined(__x86_64__)
  emulation_switch(&self.stack_pointer, scheduler_stack_pointer);
#else
  swapcontext(&self.context, &scheduler_context);
#endif
}

void to_fiber(unsigned index) {
  current = index;
  threadIdx = fibers[index].index;
#if defined(__x86_64__)
  emulation_switch(&scheduler_stack_pointer, fibers[index].stack_pointer);
#else
  swapcontext(&scheduler_context, &fibers[index].context);
#endif
}

void release_block_if_complete() {
  if (barrier_count == 0 || barrier_count < alive_count) return;
  barrier_count = 0;
  last_votes = votes;
  votes = 0;
  for (unsigned i = 0; i < thread_count; ++i)
    if (fibers[i].state == State::kAtBlockBarrier) fibers[i].state = State::kRunnable;
}

// Releases every group of lanes of which all that are alive have arrived.
void release_warp_if_complete(unsigned index) {
  Warp& warp = warps[index];
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (!(warp.waiting >> lane & 1u)) continue;
    const uint32_t wanted = fibers[index * 32 + lane].warp_lanes & warp.alive;
    if ((warp.waiting & wanted) != wanted) continue;
    for (unsigned other = 0; other < 32; ++other)
      if (wanted >> other & 1u) fibers[index * 32 + other].state = State::kRunnable;
    warp.waiting &= ~wanted;
  }
}

[[noreturn]] void fiber_main() {
  thread_function(thread_call);
  fibers[current].state = State::kDone;
  --alive_count;
  warps[current / 32].alive &= ~(1u << current % 32);
  release_block_if_complete();
  release_warp_if_complete(current / 32);
  to_scheduler();
  __builtin_unreachable();
}

void prepare_fiber(unsigned index) {
  Fiber& fiber = fibers[index];
  const unsigned x = blockDim.x, y = blockDim.y;
  fiber.index = {index % x, index / x % y, index / (x * y)};
  fiber.state = State::kRunnable;
  char* top = stacks + (index + 1) * kStackBytes;
#if defined(__x86_64__)
  // Six zeroed registers, the entry as return address, and a zero below it: the stack is 16-byte aligned at a call.
  auto* frame = reinterpret_cast<void**>(top) - 8;
  std::memset(frame, 0, 8 * sizeof(void*));
  frame[6] = reinterpret_cast<void*>(&fiber_main);
  fiber.stack_pointer = frame;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = top - kStackBytes + kGuardBytes;
  fiber.context.uc_stack.ss_size = kStackBytes - kGuardBytes;
  makecontext(&fiber.context, reinterpret_cast<void (*)()>(&fiber_main), 0);
#endif
}

[[noreturn]] void report_deadlock(const Launch& launch) {
  unsigned at_barrier = 0, at_warp = 0;
  for (unsigned i = 0; i < thread_count; ++i) {
    at_barrier += fibers[i].state == State::kAtBlockBarrier;
    at_warp += fibers[i].state == State::kAtWarpBarrier;
  }
  throw std::runtime_error(std::string("kernel ") + launch.name + " hangs: " + std::to_string(at_barrier) + " threads wait at __syncthreads and " +
                           std::to_string(at_warp) + " at a warp exchange, of " + std::to_string(thread_count) + " in the block");
}

void run_block_of_fibers(const Launch& launch) {
  alive_count = thread_count;
  barrier_count = votes = 0;
  for (unsigned i = 0; i < thread_count; ++i) prepare_fiber(i);
  for (unsigned w = 0; w * 32 < thread_count; ++w) {
    const unsigned lanes = thread_count - w * 32;
    warps[w] = {lanes >= 32 ? 0xffffffffu : (1u << lanes) - 1u, 0, {}};
  }
  in_fiber = true;
  while (alive_count > 0) {
    bool progressed = false;
    for (unsigned i = 0; i < thread_count; ++i) {
      if (fibers[i].state != State::kRunnable) continue;
      progressed = true;
      to_fiber(i);
    }
    if (!progressed) {
      in_fiber = false;
      report_deadlock(launch);
    }
  }
  in_fiber = false;
}

void run_block_of_calls() {
  for (threadIdx.z = 0; threadIdx.z < blockDim.z; ++threadIdx.z)
    for (threadIdx.y = 0; threadIdx.y < blockDim.y; ++threadIdx.y)
      for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x) thread_function(thread_call);
}

// The limits of every card from compute capability 7.0 on.
bool is_valid(const Launch& launch) {
  const uint64_t threads = uint64_t(launch.block.x) * launch.block.y * launch.block.z;
  return launch.grid.x > 0 && launch.grid.y > 0 && launch.grid.z > 0 && threads > 0 && launch.grid.x <= 2147483647u &&
         launch.grid.y <= 65535u && launch.grid.z <= 65535u && launch.block.z <= 64u && threads <= kMaxThreads &&
         launch.shared_bytes <= kSharedBytes;
}

// Of a launch with more blocks: the first, the last, and random ones, two thirds of them in the first and last part.
uint64_t sampled(uint64_t index, uint64_t blocks) {
  const uint64_t part = std::max<uint64_t>(1, blocks / sampled_parts);
  if (index < 2) return index == 0 ? 0 : blocks - 1;
  if (index % 3 == 0) return sampling() % blocks;
  return index % 3 == 1 ? sampling() % part : blocks - 1 - sampling() % part;
}

}  // namespace

void set_recording(bool value) { recording = value; }
void set_sampling(uint64_t blocks, uint64_t seed, uint64_t parts) {
  sampled_blocks = blocks;
  sampled_parts = std::max<uint64_t>(1, parts);
  sampling.seed(seed);
}
void set_reversed(bool value) { reversed = value; }

cudaError_t last_error(bool clear) {
  const cudaError_t error = error_of_last_launch;
  if (clear) error_of_last_launch = cudaSuccess;
  return error;
}

void run(const Launch& launch, void (*thread)(void*), void* call) {
  const uint64_t blocks = uint64_t(launch.grid.x) * launch.grid.y * launch.grid.z;
  const uint64_t ran = sampled_blocks && blocks > sampled_blocks ? sampled_blocks : blocks;
  note(launch, ran < blocks);
  if (recording) return;
  if (!is_valid(launch)) {  // as on a card: nothing runs, the error waits for whoever asks
    error_of_last_launch = cudaErrorInvalidConfiguration;
    return;
  }
  gridDim = launch.grid;
  blockDim = launch.block;
  thread_count = blockDim.x * blockDim.y * blockDim.z;
  thread_function = thread;
  thread_call = call;
  if (launch.has_barriers) allocate_stacks();
  for (uint64_t i = 0; i < ran; ++i) {
    const uint64_t at = ran < blocks ? sampled(i, blocks) : reversed ? blocks - 1 - i : i;
    blockIdx = {unsigned(at % gridDim.x), unsigned(at / gridDim.x % gridDim.y), unsigned(at / gridDim.x / gridDim.y)};
    std::memset(shared_buffer, 0xff, launch.shared_bytes);  // NaN: shared memory starts undefined
    if (launch.has_barriers) run_block_of_fibers(launch);
    else run_block_of_calls();
  }
}

void* dynamic_shared_bytes() { return shared_buffer; }

void block_barrier() {
  if (!in_fiber) return;
  fibers[current].state = State::kAtBlockBarrier;
  ++barrier_count;
  release_block_if_complete();
  to_scheduler();
}

int block_votes(bool vote) {
  votes += vote;
  block_barrier();
  return static_cast<int>(last_votes);
}

void warp_barrier(uint32_t lanes) {
  if (!in_fiber) return;
  const unsigned index = current / 32;
  fibers[current].state = State::kAtWarpBarrier;
  fibers[current].warp_lanes = lanes | 1u << current % 32;
  warps[index].waiting |= 1u << current % 32;
  release_warp_if_complete(index);
  to_scheduler();
}

uint64_t* warp_slots() { return warps[current / 32].slots; }
uint32_t warp_alive() { return warps[current / 32].alive; }

}  // namespace emulation
