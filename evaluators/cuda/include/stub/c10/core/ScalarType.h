// Stands in for <c10/core/ScalarType.h>.
#pragma once
#include <interface/types.h>
