/* SPDX-License-Identifier: MIT */
/* process.h - what p2pvpnd asks of the kernel and of the C library for itself, before it begins. */
#pragma once

/* Masks, limits and signals of this process and those that it makes. To be called once. */
void pv_process_prepare(void);
