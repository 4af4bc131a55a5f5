/* SPDX-License-Identifier: MIT */
/* fuzz_scrape - HTTP requests for the metrics: whatever comes, one well-formed answer or the wish
 * for more, and the page only for who may have it. The first byte says whether it is local. */
#include <stdlib.h>
#include <string.h>

#include "proto/local/scrape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char page[] = "the page";
    struct pv_scrape s, open;
    char *text = NULL;
    size_t n = 0;
    if (len == 0)
        return 0;
    bool local = (data[0] & 1) != 0;
    struct pv_view request = pv_view(data + 1, len - 1);
    int r = pv_scrape_parse(request, local, &s);
    if (r == PV_ERR_AGAIN && request.len >= PV_SCRAPE_REQUEST_MAX)
        abort();
    if (r == PV_ERR_AGAIN)
        return 0;
    if (r != PV_OK ||
        pv_scrape_answer(&s, pv_view(page, sizeof(page) - 1), "t", &text, &n) != PV_OK)
        abort();
    bool shown =
        n >= sizeof(page) - 1 && memcmp(text + n - (sizeof(page) - 1), page, sizeof(page) - 1) == 0;
    if (n < 16 || memcmp(text, "HTTP/1.1 ", 9) != 0 || shown != (s.status == 200 && !s.head))
        abort();
    free(text);
    if (s.status == 200 && pv_scrape_parse(request, false, &open) != PV_OK)
        abort();
    return 0;
}
