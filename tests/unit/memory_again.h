/* SPDX-License-Identifier: MIT */
/* memory_again.h - behind the sources whose allocations no_memory.h has fail. */
#undef malloc
#undef calloc
#undef realloc
#undef reallocarray
#undef aligned_alloc
