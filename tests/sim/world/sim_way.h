/* SPDX-License-Identifier: MIT */
/*
 * sim_way.h - which functions control passes, in a build with -finstrument-functions
 * (scripts/chat-way), while a test says so. Without that option, or without PV_SIM_WAY=FILE,
 * nothing is written.
 */
#pragma once

/* From here on it is about this: a line "= what" in the file, and one for each function that is
 * entered ("E" and its distance from this one) or left ("X"). NULL: no more. */
void sim_way(const char *what);
