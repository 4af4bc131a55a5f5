# pv_layer(NAME DIR [DEPS libs...] [LIBS third-party...]): DIR/*.c as one static library.
# Third-party libraries are named only on the layer that uses them.
function(pv_layer name dir)
    cmake_parse_arguments(L "" "" "DEPS;LIBS" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${dir}/*.c)
    list(FILTER sources EXCLUDE REGEX "/main\\.c$")
    if(sources)
        add_library(${name} STATIC ${sources})
        target_link_libraries(${name} PUBLIC pv_flags ${L_DEPS} ${L_LIBS})
    else()
        add_library(${name} INTERFACE)
        target_link_libraries(${name} INTERFACE pv_flags ${L_DEPS} ${L_LIBS})
    endif()
endfunction()

# pv_program(NAME DIR ...): DIR/main.c as the program NAME, the rest of DIR as library NAME_shell.
function(pv_program name dir)
    string(REPLACE "-" "_" lib ${name}_shell)
    pv_layer(${lib} ${dir} ${ARGN})
    # The daemon's program needs its engine.
    if(EXISTS ${PROJECT_SOURCE_DIR}/${dir}/main.c AND
       (NOT dir STREQUAL daemon OR EXISTS ${PROJECT_SOURCE_DIR}/daemon/core/engine.c))
        add_executable(${name} ${PROJECT_SOURCE_DIR}/${dir}/main.c)
        target_link_libraries(${name} PRIVATE ${lib})
        install(TARGETS ${name} RUNTIME DESTINATION sbin)
    endif()
endfunction()
