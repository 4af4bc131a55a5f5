/* SPDX-License-Identifier: MIT */
/* level.c - loaded before a program by `scripts/bench --level avx2` or sse: lets IPsec-MB take this
 * processor for one that has no AVX-512, or no AVX2. It has no setting for that, as OpenSSL has. */
#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void init_mb_mgr_auto(IMB_MGR *mgr, IMB_ARCH *ret_arch)
{
    const char *level = getenv("PV_BENCH_LEVEL");
    bool sse = level != NULL && strcmp(level, "sse") == 0;
    void (*init)(IMB_MGR *);
    *(void **)&init = dlsym(RTLD_NEXT, sse ? "init_mb_mgr_sse" : "init_mb_mgr_avx2");
    if (init == NULL)
        abort();
    init(mgr);
    mgr->features &=
        ~(uint64_t)(sse ? IMB_FEATURE_AVX2 | IMB_FEATURE_AVX512_SKX : IMB_FEATURE_AVX512_SKX);
    if (ret_arch != NULL)
        *ret_arch = sse ? IMB_ARCH_SSE : IMB_ARCH_AVX2;
}
