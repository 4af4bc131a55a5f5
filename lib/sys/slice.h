/* SPDX-License-Identifier: MIT */
/*
 * slice.h - a thread that is to run soon rather than long (sched_setattr(2)).
 *
 * Linux gives equal shares whatever the slice is; a thread with a short one gets its share in more
 * and smaller pieces, and so waits less for the first when it wakes up.
 */
#ifndef PV_SLICE_H
#define PV_SLICE_H

/* The calling thread runs in short slices from now on (Linux 6.12; earlier kernels ignore it).
 * Needs no right. A thread with a real-time or idle policy is left alone. */
void pv_slice_shorten(void);

#endif /* PV_SLICE_H */
