# The NSS module lives inside other people's programs: compiled on its own, without sanitizers, and
# with nothing but glibc beneath it. Only the names glibc looks for are visible.
file(GLOB nss_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/nss/*.c)
set(base ${PROJECT_SOURCE_DIR}/lib/base)
foreach(service p2pvpn p2pvpn_short)
    add_library(nss_${service} MODULE ${nss_sources} ${base}/names.c ${base}/text.c ${base}/addr.c
                ${base}/bytes.c)
    target_compile_definitions(nss_${service} PRIVATE _GNU_SOURCE)
    target_compile_options(nss_${service} PRIVATE ${PV_WARNINGS}
        "SHELL:-iquote ${PROJECT_SOURCE_DIR}/lib" "SHELL:-iquote ${PROJECT_SOURCE_DIR}"
        -O2 -g -fPIC -fvisibility=hidden -ffunction-sections -fstack-protector-strong)
    target_link_options(nss_${service} PRIVATE -Wl,-soname,libnss_${service}.so.2 -Wl,-z,relro,-z,now
        -Wl,-z,defs -Wl,--gc-sections)
    set_target_properties(nss_${service} PROPERTIES PREFIX "lib" SUFFIX ".so.2"
        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
    install(TARGETS nss_${service} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT node)
endforeach()
target_compile_definitions(nss_p2pvpn_short PRIVATE PV_NSS_SHORT)
install(PROGRAMS ${PROJECT_SOURCE_DIR}/nss/p2pvpn-nss DESTINATION ${CMAKE_INSTALL_SBINDIR}
        COMPONENT node)
