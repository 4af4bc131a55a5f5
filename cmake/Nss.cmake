# The NSS module lives inside other people's programs: compiled on its own, without sanitizers, and
# with nothing but glibc beneath it. Only the names glibc looks for are visible.
file(GLOB nss_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/nss/*.c)
set(base ${PROJECT_SOURCE_DIR}/lib/base)
add_library(nss_p2pvpn MODULE ${nss_sources} ${base}/names.c ${base}/text.c ${base}/addr.c
            ${base}/bytes.c)
target_compile_definitions(nss_p2pvpn PRIVATE _GNU_SOURCE)
target_compile_options(nss_p2pvpn PRIVATE ${PV_WARNINGS} "SHELL:-iquote ${PROJECT_SOURCE_DIR}/lib"
    "SHELL:-iquote ${PROJECT_SOURCE_DIR}" -O2 -g -fPIC -fvisibility=hidden -ffunction-sections
    -fstack-protector-strong)
target_link_options(nss_p2pvpn PRIVATE -Wl,-soname,libnss_p2pvpn.so.2 -Wl,-z,relro,-z,now
    -Wl,-z,defs -Wl,--gc-sections)
set_target_properties(nss_p2pvpn PROPERTIES PREFIX "lib" SUFFIX ".so.2"
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
install(TARGETS nss_p2pvpn LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT node)
install(PROGRAMS ${PROJECT_SOURCE_DIR}/nss/p2pvpn-nss DESTINATION ${CMAKE_INSTALL_SBINDIR}
        COMPONENT node)
