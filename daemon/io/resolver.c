/* SPDX-License-Identifier: MIT */
/* Asks the system's resolver, in a task of the helper; the other half, in the daemon, starts the
 * task and distrusts what it says. */
#include "daemon/io/resolver.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/io/tasks.h"
#include "sys/net/sockaddr.h"

struct answer {
    int32_t gai; /* of getaddrinfo() */
    uint32_t n;
    struct pv_addr addrs[PV_JOB_MAX_ADDRS];
};

void pv_resolver_run(struct pv_view args, int out)
{
    /* SOCK_STREAM only keeps the resolver from listing each address once for every protocol. */
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    struct answer a = {.n = 0};
    if (args.len != PV_JOB_HOST_MAX || memchr(args.ptr, '\0', args.len) == NULL)
        return;
    a.gai = getaddrinfo((const char *)args.ptr, NULL, &hints, &list);
    for (struct addrinfo *ai = list; a.gai == 0 && ai != NULL && a.n < PV_JOB_MAX_ADDRS;
         ai = ai->ai_next) {
        struct sockaddr_storage ss = {0};
        /* The length is another library's word. */
        if (ai->ai_addrlen > sizeof(ss))
            continue;
        memcpy(&ss, ai->ai_addr, ai->ai_addrlen);
        a.addrs[a.n] = pv_sockaddr_to(&ss);
        if (a.addrs[a.n].family != PV_AF_NONE)
            a.n++;
    }
    (void)!write(out, &a, sizeof(a)); /* less than PIPE_BUF: whole or not at all */
}

static void fail(struct pv_job_result *result, int status, const char *host, const char *why)
{
    result->status = status;
    snprintf(result->error, sizeof(result->error), "resolve %.120s: %.100s", host, why);
}

void pv_resolver_ask(struct pv_helper *helper, const struct pv_job_resolve *job,
                     const _Atomic pv_ns *until, struct pv_job_result *ret_result)
{
    char error[PV_HELPER_ERROR_MAX] = "";
    struct answer a;
    _Static_assert(sizeof(job->host) <= PV_HELPER_TASK_ARGS, "a name fits");
    if (pv_addr_parse_ip(job->host, &ret_result->addrs[0]) == PV_OK) {
        ret_result->addrs[0].port = job->port;
        ret_result->n_addrs = 1;
        return;
    }
    int r = pv_task_ask(helper, pv_view(job->host, sizeof(job->host)), until, &a, sizeof(a), error);
    if (r == PV_ERR_TIMEOUT || r == PV_ERR_CLOSED) {
        fail(ret_result, r, job->host, "the name server does not answer");
        return;
    }
    if (r < 0) {
        fail(ret_result, r, job->host, error);
        return;
    }
    if (a.gai != 0) {
        fail(ret_result, PV_ERR_NOT_FOUND, job->host, gai_strerror(a.gai));
        return;
    }
    for (uint32_t i = 0; i < a.n && ret_result->n_addrs < PV_JOB_MAX_ADDRS; i++) {
        struct pv_addr addr = a.addrs[i];
        addr.port = job->port;
        if (pv_addr_ip_len(&addr) != 0)
            ret_result->addrs[ret_result->n_addrs++] = addr;
    }
}
