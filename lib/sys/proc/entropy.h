/* SPDX-License-Identifier: MIT */
/*
 * entropy.h - the kernel's randomness as a struct pv_rng.
 *
 * No generator of its own. Safe to use from any thread.
 */
#pragma once

#include "base/pv.h"

/* getrandom(2): blocks only before the kernel's pool was first filled after boot. struct pv_rng
 * cannot report failure and no key may ever be made without randomness, so the process aborts
 * should the kernel refuse. */
struct pv_rng pv_entropy(void);
