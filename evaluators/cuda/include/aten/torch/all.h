// Stands in for <torch/all.h>.
#pragma once
#include <interface/torch.h>
