# Where everything goes besides programs: man pages, units, accounts, completions, documents. The
# components node, chat, coordinator and postgres are the packages (cmake/Package.cmake); a plain `cmake --install`
# takes all.
set(pv_doc ${CMAKE_INSTALL_DATAROOTDIR}/doc)

# pv_install(COMPONENT DESTINATION FILE...)
function(pv_install component destination)
    install(FILES ${ARGN} DESTINATION ${destination} COMPONENT ${component})
endfunction()

# Debian's packages have their man pages compressed, and so does man read them.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/man)
file(GLOB pages CONFIGURE_DEPENDS docs/man/*.[158])
foreach(page ${pages})
    get_filename_component(name ${page} NAME)
    string(REGEX MATCH ".$" section ${page})
    set(component node)
    if(name MATCHES "coordinator")
        set(component coordinator)
    elseif(name MATCHES "chatd")
        set(component chat)
    endif()
    if(PV_PACKAGE)
        execute_process(COMMAND gzip -9nc ${page} OUTPUT_FILE ${CMAKE_BINARY_DIR}/man/${name}.gz)
        set(page ${CMAKE_BINARY_DIR}/man/${name}.gz)
    endif()
    pv_install(${component} ${CMAKE_INSTALL_MANDIR}/man${section} ${page})
endforeach()

# Units read the same below /usr/local as below /usr.
file(READ dist/systemd/node-sandbox.in sandbox)
file(READ dist/systemd/chat-sandbox.in chat_sandbox)
foreach(unit p2pvpnd p2pvpnd@ p2pvpn-chatd p2pvpn-chatd@ p2pvpn-coordinator)
    set(PV_STATE p2pvpn)
    set(component node)
    if(unit MATCHES "@$")
        set(PV_STATE p2pvpn-%i)
    endif()
    if(unit STREQUAL "p2pvpn-coordinator")
        set(component coordinator)
    elseif(unit MATCHES "chatd")
        set(component chat)
    endif()
    string(CONFIGURE "${sandbox}" PV_NODE_SANDBOX @ONLY)
    string(CONFIGURE "${chat_sandbox}" PV_CHAT_SANDBOX @ONLY)
    configure_file(dist/systemd/${unit}.service.in ${CMAKE_BINARY_DIR}/systemd/${unit}.service @ONLY)
    pv_install(${component} lib/systemd/system ${CMAKE_BINARY_DIR}/systemd/${unit}.service)
endforeach()
foreach(unit p2pvpnd p2pvpnd@ p2pvpn-serve@)
    configure_file(dist/systemd/user/${unit}.service.in ${CMAKE_BINARY_DIR}/systemd/user/${unit}.service @ONLY)
    pv_install(node lib/systemd/user ${CMAKE_BINARY_DIR}/systemd/user/${unit}.service)
endforeach()
configure_file(dist/systemd/p2pvpn-web.service.in ${CMAKE_BINARY_DIR}/systemd/p2pvpn-web.service @ONLY)
pv_install(node lib/systemd/system ${CMAKE_BINARY_DIR}/systemd/p2pvpn-web.service)
pv_install(node lib/sysusers.d dist/sysusers/p2pvpn.conf)
pv_install(chat lib/sysusers.d dist/sysusers/p2pvpn-chat.conf)
pv_install(coordinator lib/sysusers.d dist/sysusers/p2pvpn-coordinator.conf)
pv_install(node lib/tmpfiles.d dist/tmpfiles/p2pvpn.conf)
install(PROGRAMS dist/setup DESTINATION lib/p2pvpn COMPONENT node)
install(PROGRAMS dist/setup DESTINATION lib/p2pvpn-coordinator COMPONENT coordinator)

# Each shell looks in a place of its own; Debian's packages have one of theirs for zsh and fish.
if(PV_PACKAGE)
    set(zsh zsh/vendor-completions)
    set(fish fish/vendor_completions.d)
else()
    set(zsh zsh/site-functions)
    set(fish fish/vendor_completions.d)
endif()
set(completions ${CMAKE_BINARY_DIR}/completions)
add_custom_command(OUTPUT ${completions}/bash ${completions}/zsh ${completions}/fish
    COMMAND ${CMAKE_COMMAND} -E make_directory ${completions}
    COMMAND p2pvpnctl completion bash >${completions}/bash
    COMMAND p2pvpnctl completion zsh >${completions}/zsh
    COMMAND p2pvpnctl completion fish >${completions}/fish
    DEPENDS p2pvpnctl)
add_custom_target(completions ALL DEPENDS ${completions}/bash ${completions}/zsh ${completions}/fish)
set(share ${CMAKE_INSTALL_DATAROOTDIR})
install(FILES ${completions}/bash DESTINATION ${share}/bash-completion/completions RENAME p2pvpnctl COMPONENT node)
install(FILES ${completions}/zsh DESTINATION ${share}/${zsh} RENAME _p2pvpnctl COMPONENT node)
install(FILES ${completions}/fish DESTINATION ${share}/${fish} RENAME p2pvpnctl.fish COMPONENT node)

pv_install(coordinator ${share}/bash-completion/completions dist/completion/p2pvpn-coordinator)

pv_install(node ${pv_doc}/p2pvpn README.md docs/SECURITY.md docs/PROTOCOL.md docs/PROTOCOL-NETWORK.md
    docs/PROTOCOL-COORDINATOR.md docs/PROTOCOL-PEERS.md docs/PROTOCOL-LOCAL.md docs/GLOSSARY.md)
file(GLOB guide CONFIGURE_DEPENDS docs/guide/*.md)
pv_install(node ${pv_doc}/p2pvpn/guide ${guide})
pv_install(coordinator ${pv_doc}/p2pvpn-coordinator/guide ${guide})
pv_install(node ${pv_doc}/p2pvpn/examples dist/examples/p2pvpnd.conf dist/examples/notify-as-owner.conf
    dist/examples/notify-desktop dist/examples/grafana-dashboard.json dist/examples/prometheus-alerts.yml)
pv_install(coordinator ${pv_doc}/p2pvpn-coordinator docs/PROTOCOL-COORDINATOR.md)
pv_install(coordinator ${pv_doc}/p2pvpn-coordinator/examples dist/examples/coordinator.conf
    dist/examples/grafana-dashboard.json dist/examples/prometheus-alerts.yml)

# ssh reads it from /etc, whatever the prefix is: a package has it there, as a conffile. CPack takes no absolute path
# without DESTDIR.
if(PV_PACKAGE)
    pv_install(node ../etc/ssh/ssh_config.d dist/ssh/p2pvpn.conf)
else()
    file(GLOB guide CONFIGURE_DEPENDS docs/guide/*.md)
pv_install(node ${pv_doc}/p2pvpn/guide ${guide})
pv_install(coordinator ${pv_doc}/p2pvpn-coordinator/guide ${guide})
pv_install(node ${pv_doc}/p2pvpn/examples/ssh dist/ssh/p2pvpn.conf)
endif()

# The steps of `cmake --install` besides copying files: on this machine (no DESTDIR: no package is being
# made) and as root it runs dist/setup.
install(CODE "set(setup \"\${CMAKE_INSTALL_PREFIX}/lib/p2pvpn/setup\")
set(bindir \"${CMAKE_INSTALL_BINDIR}\")
set(sbindir \"${CMAKE_INSTALL_SBINDIR}\")")
install(CODE [[
    if(NOT DEFINED ENV{DESTDIR})
        execute_process(COMMAND id -u OUTPUT_VARIABLE uid OUTPUT_STRIP_TRAILING_WHITESPACE)
        if(uid STREQUAL "0")
            execute_process(COMMAND "${setup}" node "${CMAKE_INSTALL_PREFIX}/${sbindir}/p2pvpn-nss")
            execute_process(COMMAND "${setup}" chat)
            execute_process(COMMAND "${setup}" coordinator)
            execute_process(COMMAND systemctl daemon-reload OUTPUT_QUIET ERROR_QUIET)
        else()
            message(STATUS "not root: no group p2pvpn is made and /etc/nsswitch.conf is left alone")
        endif()
    endif()
]])
add_custom_target(uninstall COMMAND ${CMAKE_COMMAND} -D BUILD_DIR=${CMAKE_BINARY_DIR}
    -P ${PROJECT_SOURCE_DIR}/cmake/Uninstall.cmake VERBATIM)
