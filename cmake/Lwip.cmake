# pv_lwip: lwIP from the source that scripts/libraries has fetched, with lib/sys/stack/lwipopts.h and with our flags, so that
# sanitizers, fuzzers and coverage see into it.
set(lwip ${PROJECT_SOURCE_DIR}/build/lwip-src/src)
if(NOT EXISTS ${lwip}/core/tcp.c)
    return()
endif()
set(lwip_sources "")
foreach(name def inet_chksum init ip mem memp netif pbuf stats tcp tcp_in tcp_out timeouts udp
             ipv4/icmp ipv4/ip4 ipv4/ip4_addr ipv4/ip4_frag
             ipv6/icmp6 ipv6/inet6 ipv6/ip6 ipv6/ip6_addr ipv6/ip6_frag ipv6/nd6)
    list(APPEND lwip_sources ${lwip}/core/${name}.c)
endforeach()
add_library(pv_lwip STATIC EXCLUDE_FROM_ALL ${lwip_sources})
# Nothing but these two is found beside lwIP's own headers.
configure_file(lib/sys/stack/lwipopts.h ${PROJECT_BINARY_DIR}/lwip/lwipopts.h COPYONLY)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/lwip/arch/cc.h CONTENT "/* lwipopts.h has it */\n")
target_include_directories(pv_lwip SYSTEM PUBLIC ${lwip}/include ${PROJECT_BINARY_DIR}/lwip)
target_link_libraries(pv_lwip PRIVATE pv_flags PUBLIC pv_lib_sys_stack) # which has its memory and its clock
# Its warnings are its developers'. Programs name its files as they are below its own directory.
target_compile_options(pv_lwip PRIVATE -w -ffile-prefix-map=${lwip}=lwip)
# It puts a time together by a shift into the sign, which our compilers define.
set_source_files_properties(${lwip}/core/tcp_in.c PROPERTIES COMPILE_OPTIONS -fno-sanitize=shift-base)
