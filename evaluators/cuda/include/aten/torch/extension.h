// Stands in for <torch/extension.h>.
#pragma once
#include <interface/torch.h>
