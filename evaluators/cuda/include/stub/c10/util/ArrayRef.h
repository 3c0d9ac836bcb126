// Stands in for <c10/util/ArrayRef.h>.
#pragma once
#include <interface/types.h>
