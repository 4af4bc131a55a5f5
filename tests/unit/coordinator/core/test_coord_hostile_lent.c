/* SPDX-License-Identifier: MIT */
/* The tests of test_coord_hostile.c, where the core's owner works on what newcomers prove. */
#define CW_LENDS true
/* clang-format off */
#include "tests/unit/coordinator/core/test_coord_hostile.c"
/* clang-format on */
