// Stands in for <torch/python.h>.
#pragma once
#include <interface/torch.h>
