// Stands in for <c10/macros/Macros.h>.
#pragma once
#include <interface/types.h>
