/* SPDX-License-Identifier: MIT */
/*
 * udpflow - numbered datagrams at a steady rate, and what of them arrives.
 *
 * usage: udpflow send ADDR PORT PER_SECOND SECONDS
 *        udpflow recv PORT
 *
 * send prints "sent N" when it is done, or is told to stop (SIGTERM). recv prints "ready", then a
 * line "gap BEGIN DURATION" for every silence of more than 150 ms, again and again while it lasts
 * (milliseconds; BEGIN by CLOCK_MONOTONIC, which all namespaces share), and on SIGTERM one line
 * "received N twice N disorder N": disorder = the most by which one came behind a newer one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"

enum {
    PAYLOAD = 64,
    SEEN = 1 << 22, /* numbers told apart; more are not sent in one test */
    GAP_MS = 150,
    BURST = 32, /* at once, after the machine was busy with others: queues are short */
};

static volatile sig_atomic_t stopping;

static void stop(int signal_number)
{
    stopping = 1;
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int fail(const char *what)
{
    fprintf(stderr, "udpflow: %s: %s\n", what, strerror(errno));
    return 1;
}

static int send_flow(const char *addr, const char *port, double per_second, double seconds)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    uint8_t payload[PAYLOAD] = {0};
    uint64_t n = 0;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || inet_pton(AF_INET, addr, &to.sin_addr) != 1 || per_second <= 0)
        return fail(addr);
    uint64_t begin = now_us();
    while (!stopping && now_us() < begin + (uint64_t)(seconds * 1e6)) {
        uint64_t due = (uint64_t)((double)(now_us() - begin) * per_second / 1e6);
        for (unsigned burst = 0; n < due && n < SEEN && burst < BURST; n++, burst++) {
            pv_store_be64(payload, n);
            /* A host without address or route for a moment loses what it sends then. */
            if (sendto(fd, payload, sizeof(payload), 0, (struct sockaddr *)&to, sizeof(to)) < 0 &&
                errno == ENOBUFS)
                break;
        }
        (void)poll(NULL, 0, 1); /* the beat of the flow */
    }
    printf("sent %llu\n", (unsigned long long)n);
    return 0;
}

struct tally {
    uint64_t received, twice, disorder, next;
    uint64_t last_us;
    uint8_t seen[SEEN / 8];
};

static void tell_gap(const struct tally *t, uint64_t now)
{
    if (t->last_us != 0 && now > t->last_us + GAP_MS * 1000)
        printf("gap %llu %llu\n", (unsigned long long)(t->last_us / 1000),
               (unsigned long long)((now - t->last_us) / 1000));
}

static void take(struct tally *t, uint64_t number, uint64_t now)
{
    if (number >= SEEN)
        return;
    if ((t->seen[number / 8] & 1u << number % 8) != 0) {
        t->twice++;
        return;
    }
    t->seen[number / 8] = (uint8_t)(t->seen[number / 8] | 1u << number % 8);
    t->received++;
    if (number >= t->next)
        t->next = number + 1;
    else if (t->next - 1 - number > t->disorder)
        t->disorder = t->next - 1 - number;
    tell_gap(t, now);
    t->last_us = now;
}

static int recv_flow(const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    struct timeval wait = {.tv_usec = 100000};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 4 << 20;
    struct tally *t = calloc(1, sizeof(*t));
    if (t == NULL || fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0) {
        free(t);
        return fail("socket");
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    printf("ready\n");
    while (!stopping) {
        uint8_t buf[2048];
        ssize_t len = recv(fd, buf, sizeof(buf), 0);
        if (len >= 8)
            take(t, pv_load_be64(buf), now_us());
        else
            tell_gap(t, now_us());
    }
    printf("received %llu twice %llu disorder %llu\n", (unsigned long long)t->received,
           (unsigned long long)t->twice, (unsigned long long)t->disorder);
    free(t);
    return 0;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 6 && strcmp(argv[1], "send") == 0)
        return send_flow(argv[2], argv[3], strtod(argv[4], NULL), strtod(argv[5], NULL));
    if (argc == 3 && strcmp(argv[1], "recv") == 0)
        return recv_flow(argv[2]);
    fprintf(stderr, "usage: udpflow send ADDR PORT PER_SECOND SECONDS | recv PORT\n");
    return 2;
}
