// Stands in for <ATen/Dispatch.h>.
#pragma once
#include <interface/tensor.h>
