# The NSS module lives inside other people's programs: compiled on its own, without sanitizers, and
# with nothing but glibc beneath it. Only the names glibc looks for are visible.
file(GLOB nss_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/nss/*.c)
set(base ${PROJECT_SOURCE_DIR}/lib/base)
add_library(nss_p2pvpn MODULE ${nss_sources} ${base}/names.c ${base}/text.c ${base}/addr.c
            ${base}/bytes.c)
target_compile_definitions(nss_p2pvpn PRIVATE _GNU_SOURCE)
target_compile_options(nss_p2pvpn PRIVATE ${PV_WARNINGS} "SHELL:-iquote ${PROJECT_SOURCE_DIR}/lib"
    "SHELL:-iquote ${PROJECT_SOURCE_DIR}" -O2 -fPIC -fvisibility=hidden -ffunction-sections
    -fstack-protector-strong)
target_link_options(nss_p2pvpn PRIVATE -Wl,-soname,libnss_p2pvpn.so.2 -Wl,-z,relro,-z,now
    -Wl,-z,defs -Wl,--gc-sections)
set_target_properties(nss_p2pvpn PROPERTIES PREFIX "lib" SUFFIX ".so.2"
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
install(TARGETS nss_p2pvpn LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(PROGRAMS ${PROJECT_SOURCE_DIR}/scripts/install-nss DESTINATION sbin RENAME p2pvpn-nss)

# Installed on this machine (no DESTDIR: no package is being made) by root: names work from then on.
# The module must lie where the loader looks, or the word in nsswitch.conf would mean nothing.
install(CODE [[
    if(NOT DEFINED ENV{DESTDIR} AND EXISTS /etc/nsswitch.conf)
        execute_process(COMMAND id -u OUTPUT_VARIABLE uid OUTPUT_STRIP_TRAILING_WHITESPACE)
        if(uid STREQUAL "0")
            execute_process(COMMAND ldconfig OUTPUT_QUIET ERROR_QUIET)
            execute_process(COMMAND "${CMAKE_INSTALL_PREFIX}/sbin/p2pvpn-nss" RESULT_VARIABLE failed)
        else()
            set(failed 1)
        endif()
        if(failed)
            message(STATUS "p2pvpn is not in /etc/nsswitch.conf: run `p2pvpn-nss` as root")
        endif()
    endif()
]])
add_custom_target(uninstall COMMAND ${CMAKE_COMMAND} -D BUILD_DIR=${CMAKE_BINARY_DIR}
    -P ${PROJECT_SOURCE_DIR}/cmake/Uninstall.cmake VERBATIM)
