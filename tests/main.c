/* SPDX-License-Identifier: MIT */
/*
 * main.c - the main() of every test program (test.h).
 *
 * usage: test_X [PATTERN]        all tests, or those whose names fit ("a_peer*")
 */
#include "crypto/ct.h"
#include "tests/test.h"

int main(int argc, char **argv)
{
    if (pv_crypto_init() != PV_OK)
        return 1;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return test_run_all() ? 0 : 1;
}
