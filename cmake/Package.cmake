# The Debian packages that scripts/package makes: p2pvpn, p2pvpn-chat, p2pvpn-coordinator, p2pvpn-coordinator-postgres, and a package
# of debug symbols for each. PV_SUITE is the suite they are for ("deb12", "deb13"): it ends their version, so that a
# machine that is upgraded to the next suite takes that one's.
set(PV_SUITE "" CACHE STRING "Debian suite of the packages: the end of their version")
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION}${PV_BUILD})
set(CPACK_PACKAGE_CONTACT "p2pvpn maintainers <maintainers@p2pvpn.invalid>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL node chat coordinator postgres)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
    WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1${PV_SUITE})
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_DEBUGINFO_PACKAGE ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)

# pv_package(COMPONENT NAME DEPENDS SUMMARY TEXT [RECOMMENDS])
macro(pv_package component name depends summary text)
    string(TOUPPER ${component} upper)
    set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name})
    set(CPACK_DEBIAN_${upper}_FILE_NAME DEB-DEFAULT)
    set(CPACK_DEBIAN_${upper}_PACKAGE_SHLIBDEPS ON)
    set(CPACK_DEBIAN_${upper}_DEBUGINFO_PACKAGE ON)
    set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS ${depends})
    set(CPACK_DEBIAN_${upper}_DESCRIPTION "${summary}\n${text}")
    set(CPACK_COMPONENT_${upper}_DESCRIPTION "${summary}\n${text}")
    set(CPACK_DEBIAN_${upper}_PACKAGE_RECOMMENDS "${ARGN}")
    set(control "")
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/deb/${component})
    foreach(script preinst postinst prerm postrm triggers conffiles)
        if(EXISTS ${PROJECT_SOURCE_DIR}/dist/deb/${component}-${script})
            file(COPY_FILE ${PROJECT_SOURCE_DIR}/dist/deb/${component}-${script}
                 ${CMAKE_BINARY_DIR}/deb/${component}/${script} ONLY_IF_DIFFERENT)
            list(APPEND control ${CMAKE_BINARY_DIR}/deb/${component}/${script})
        endif()
    endforeach()
    set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA "${control}")
    set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_STRICT_PERMISSION ON)

    # The changelog of the package says which source it is from; that of p2pvpn is for its users.
    file(WRITE ${CMAKE_BINARY_DIR}/deb/${component}/changelog
"${name} (${CPACK_PACKAGE_VERSION}-1${PV_SUITE}) stable; urgency=medium

  * Made from the source by scripts/package; changelog.gz says what is new.

 -- p2pvpn maintainers <maintainers@p2pvpn.invalid>  Thu, 01 Jan 2026 00:00:00 +0000
")
    execute_process(COMMAND gzip -9nc ${CMAKE_BINARY_DIR}/deb/${component}/changelog
        OUTPUT_FILE ${CMAKE_BINARY_DIR}/deb/${component}/changelog.Debian.gz)
    execute_process(COMMAND gzip -9nc ${PROJECT_SOURCE_DIR}/CHANGELOG.md
        OUTPUT_FILE ${CMAKE_BINARY_DIR}/deb/${component}/changelog.gz)
    pv_install(${component} ${pv_doc}/${name} ${PROJECT_SOURCE_DIR}/dist/deb/copyright
        ${CMAKE_BINARY_DIR}/deb/${component}/changelog.Debian.gz ${CMAKE_BINARY_DIR}/deb/${component}/changelog.gz)
    if(EXISTS ${PROJECT_SOURCE_DIR}/dist/deb/${component}-lintian)
        install(FILES ${PROJECT_SOURCE_DIR}/dist/deb/${component}-lintian DESTINATION share/lintian/overrides
            RENAME ${name} COMPONENT ${component})
    endif()
endmacro()

# Loaded when they are needed (docs/adr/0127). The number of miniupnpc's interface is that of Debian's package.
file(STRINGS ${MINIUPNPC_INCLUDEDIR}/miniupnpc/miniupnpc.h upnp_api REGEX "define MINIUPNPC_API_VERSION")
string(REGEX MATCH "[0-9]+$" upnp_api "${upnp_api}")
pv_package(node p2pvpn "iproute2, passwd"
    "peer-to-peer virtual LAN, by direct encrypted paths"
    "p2pvpnd gives this machine an address in a private network, and finds direct\n\
paths to the other members through the NATs between them. p2pvpnctl manages it.\n\
The package p2pvpn-chat adds messages, rooms and files. Installing starts and\n\
joins nothing."
    "nftables, libminiupnpc${upnp_api}, libqrencode4, p2pvpn-chat")
# Both programs speak a language that has no versions (chat/nodewire.h).
pv_package(chat p2pvpn-chat "p2pvpn (= ${CPACK_PACKAGE_VERSION}-1${PV_SUITE}), passwd"
    "messages, rooms and files between the members of a p2pvpn network"
    "p2pvpn-chatd runs beside p2pvpnd, as a user of its own. It keeps messages for\n\
members that are away, and takes files that people send each other.")
pv_package(coordinator p2pvpn-coordinator "passwd"
    "meeting point and relay of p2pvpn networks"
    "One server with a public address on which nodes of p2pvpn networks meet; it is\n\
also a STUN and TURN server. Installing starts nothing.")
set(CPACK_DEBIAN_COORDINATOR_PACKAGE_SUGGESTS p2pvpn-coordinator-postgres)
# A program and a shared object of two versions refuse each other (coordinator/pgload.c).
pv_package(postgres p2pvpn-coordinator-postgres "p2pvpn-coordinator (= ${CPACK_PACKAGE_VERSION}-1${PV_SUITE})"
    "PostgreSQL store of p2pvpn's coordinator"
    "With it several coordinators of p2pvpn networks share a PostgreSQL database and\n\
stand in for each other. A coordinator that keeps its networks in a file does\n\
without it.")
include(CPack)
