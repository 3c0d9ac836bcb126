// Stands in for <torch/extension.h>.
#pragma once
#include <interface/binding.h>
