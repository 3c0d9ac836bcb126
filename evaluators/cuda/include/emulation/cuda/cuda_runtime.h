// Stands in for the CUDA toolkit's header where kernels are executed on a CPU. The standard headers come first: the
// qualifier macros must not touch them.
#pragma once
#include <array>
#include <cassert>
#include <cstdio>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>
#include "../device_math.h"
#include "../vector_types.h"
#include "../qualifiers.h"
#include "../threads.h"
#include "../host_api.h"
#include "../launch.h"
#include "../warp.h"
#include "../atomics.h"
