// Stands in for <torch/torch.h>.
#pragma once
#include <interface/torch.h>
