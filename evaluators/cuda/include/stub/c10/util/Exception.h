// Stands in for <c10/util/Exception.h>.
#pragma once
#include <interface/check.h>
