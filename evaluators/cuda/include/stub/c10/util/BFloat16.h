// Stands in for <c10/util/BFloat16.h>.
#pragma once
#include <interface/half.h>
