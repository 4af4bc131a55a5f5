# The coordinator in a container, built from this checkout:
#     docker build -t p2pvpn-coordinator .
#     docker run -d --network host -v coordinator:/var/lib/p2pvpn-coordinator p2pvpn-coordinator \
#         --public 198.51.100.7
#     docker exec CONTAINER p2pvpn-coordinator url --public 198.51.100.7
# The network is the host's: a relay and a measurer of NATs must see addresses and ports as they are.
FROM debian:trixie-slim AS build
COPY . /src
WORKDIR /src
RUN scripts/deps package \
    && cmake -S . -B /build -G Ninja -DPV_STATIC=ON \
    && ninja -C /build p2pvpn-coordinator

FROM debian:trixie-slim
COPY --from=build /build/bin/p2pvpn-coordinator /usr/sbin/p2pvpn-coordinator
RUN useradd --system --user-group --home-dir /var/lib/p2pvpn-coordinator --create-home p2pvpn-coordinator
USER p2pvpn-coordinator
VOLUME /var/lib/p2pvpn-coordinator
EXPOSE 3478/udp 3478/tcp 3479/udp
ENTRYPOINT ["/usr/sbin/p2pvpn-coordinator"]
