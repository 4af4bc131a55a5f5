# One file that is p2pvpnctl, and p2pvpnd or p2pvpn-chatd when it is called by that name: what a user copies to a machine that has no
# package. Nothing is installed from such a build (scripts/package static).
target_sources(p2pvpnctl PRIVATE ${PROJECT_SOURCE_DIR}/daemon/main.c ${PROJECT_SOURCE_DIR}/chat/program/main.c)
target_link_libraries(p2pvpnctl PRIVATE pv_daemon pv_chat_program)
# Their main() is called by that of p2pvpnctl, which declares it.
set_source_files_properties(daemon/main.c PROPERTIES COMPILE_OPTIONS "-Dmain=pv_daemon_main;-Wno-missing-prototypes")
set_source_files_properties(chat/program/main.c PROPERTIES COMPILE_OPTIONS
    "-Dmain=pv_chatd_main;-Wno-missing-prototypes")
add_custom_target(p2pvpnd ALL DEPENDS p2pvpnctl
    COMMAND ${CMAKE_COMMAND} -E create_symlink p2pvpnctl ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/p2pvpnd)
