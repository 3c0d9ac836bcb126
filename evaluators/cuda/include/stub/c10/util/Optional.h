// Stands in for <c10/util/Optional.h>.
#pragma once
#include <interface/types.h>
