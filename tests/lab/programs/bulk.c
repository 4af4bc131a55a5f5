/* SPDX-License-Identifier: MIT */
/*
 * bulk - many bytes through one TCP connection, and what they were.
 *
 * usage: bulk send ADDR PORT MEGABYTES SEED
 *        bulk recv ADDR PORT                  prints "ready", takes one connection
 *
 * Both end by printing "BYTES SHA256". No two blocks of 4 KiB are alike, so that one which is lost,
 * doubled or misplaced changes the sum.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/bytes.h"

enum {
    CHUNK = 1 << 20,
    BLOCK = 4096,
};

static int fail(const char *what)
{
    fprintf(stderr, "bulk: %s: %s\n", what, strerror(errno));
    return 1;
}

static int address(const char *host, const char *port, struct addrinfo **ret_to)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    int r = getaddrinfo(host, port, &hints, ret_to);
    if (r != 0)
        fprintf(stderr, "bulk: %s port %s: %s\n", host, port, gai_strerror(r));
    return r;
}

static int print_sum(EVP_MD_CTX *md, uint64_t bytes)
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_DigestFinal_ex(md, sum, &len) != 1)
        return 1;
    printf("%llu ", (unsigned long long)bytes);
    for (unsigned i = 0; i < len; i++)
        printf("%02x", sum[i]);
    puts("");
    return fflush(stdout) == 0 ? 0 : 1;
}

static bool send_whole(int fd, const uint8_t *p, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

/* xorshift64*: good enough to be no pattern. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

static int send_bulk(const struct addrinfo *to, EVP_MD_CTX *md, uint64_t chunks, uint64_t seed)
{
    static uint8_t chunk[CHUNK];
    uint64_t state = seed + 1;
    int fd = socket(to->ai_family, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen) < 0)
        return fail("connect");
    for (size_t i = 0; i < CHUNK; i += 8)
        pv_store_le64(chunk + i, next_random(&state));
    for (uint64_t n = 0; n < chunks; n++) {
        for (size_t at = 0; at < CHUNK; at += BLOCK)
            pv_store_le64(chunk + at, n * (CHUNK / BLOCK) + at / BLOCK);
        if (EVP_DigestUpdate(md, chunk, CHUNK) != 1 || !send_whole(fd, chunk, CHUNK))
            return fail("send");
    }
    close(fd);
    return print_sum(md, chunks * CHUNK);
}

static int recv_bulk(const struct addrinfo *at, EVP_MD_CTX *md)
{
    static uint8_t buf[CHUNK];
    uint64_t bytes = 0;
    int yes = 1, listener = socket(at->ai_family, SOCK_STREAM, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
        bind(listener, at->ai_addr, at->ai_addrlen) < 0 || listen(listener, 1) < 0)
        return fail("listen");
    puts("ready");
    fflush(stdout);
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        return fail("accept");
    for (;;) {
        ssize_t n = recv(fd, buf, sizeof(buf), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || (n > 0 && EVP_DigestUpdate(md, buf, (size_t)n) != 1))
            return fail("receive");
        if (n == 0)
            break;
        bytes += (uint64_t)n;
    }
    close(fd);
    close(listener);
    return print_sum(md, bytes);
}

int main(int argc, char **argv)
{
    struct addrinfo *at = NULL;
    bool sends = argc == 6 && strcmp(argv[1], "send") == 0;
    if (!sends && !(argc == 4 && strcmp(argv[1], "recv") == 0)) {
        fprintf(stderr, "usage: bulk send ADDR PORT MEGABYTES SEED | recv ADDR PORT\n");
        return 2;
    }
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1 ||
        address(argv[2], argv[3], &at) != 0)
        return 1;
    int r = sends ? send_bulk(at, md, strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 10))
                  : recv_bulk(at, md);
    freeaddrinfo(at);
    EVP_MD_CTX_free(md);
    return r;
}
