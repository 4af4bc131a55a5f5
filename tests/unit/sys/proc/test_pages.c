/* SPDX-License-Identifier: MIT */
/* Pages of code that are given back are gone and come back as they were; what was written stays. */
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys/proc/pages.h"
#include "tests/unit/test_util.h"

struct code {
    const uint8_t *begin; /* the largest segment of code of this program */
    size_t len;
};

/* The first object is the program. */
static int find_code(struct dl_phdr_info *object, size_t size, void *ctx)
{
    struct code *c = ctx;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &object->dlpi_phdr[i];
        if (h->p_type == PT_LOAD && (h->p_flags & PF_X) != 0 && h->p_filesz > c->len)
            *c = (struct code){(const void *)(object->dlpi_addr + h->p_vaddr), h->p_filesz};
    }
    return 1;
}

static uint64_t sum(const struct code *c)
{
    uint64_t s = 0;
    for (size_t i = 0; i < c->len; i++)
        s = s * 31 + c->begin[i];
    return s;
}

/* KiB of files that are mapped here and in memory. */
static unsigned long mapped_kib(void)
{
    char line[256];
    unsigned long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        (void)!sscanf(line, "RssFile: %lu kB", &kib);
    fclose(f);
    return kib;
}

static int written = 5;
static const char *const relocated[] = {"one", "two"}; /* the linker has put addresses here */

PV_TEST(code_is_given_back_and_comes_back_as_it_was)
{
    struct code c = {.len = 0};
    dl_iterate_phdr(find_code, &c);
    assert_true(c.len > 0);
    written = 7;
    uint64_t before = sum(&c);
    unsigned long all = mapped_kib();
    pv_pages_drop_code();
    unsigned long left = mapped_kib();
    assert_in_range(left, 1, all - c.len / 1024 / 2);
    assert_int_equal(sum(&c), before);
    assert_int_equal(written, 7);
    assert_string_equal(relocated[1], "two");
}
