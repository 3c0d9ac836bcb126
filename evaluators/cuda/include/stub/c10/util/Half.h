// Stands in for <c10/util/Half.h>.
#pragma once
#include <interface/half.h>
