# One static library a folder of cmake/folders.txt, named after its path: lib/proto/stun is
# pv_lib_proto_stun. main.c is no part of it, so that tests can link the rest of a program.
file(STRINGS ${PROJECT_SOURCE_DIR}/cmake/folders.txt pv_folder_lines REGEX "^[a-z]")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/folders.txt)

# pv_library_of(VARIABLE FOLDER...): the names of the libraries of these folders.
function(pv_library_of variable)
    set(names "")
    foreach(folder ${ARGN})
        string(REPLACE "/" "_" name pv_${folder})
        list(APPEND names ${name})
    endforeach()
    set(${variable} ${names} PARENT_SCOPE)
endfunction()

# pv_folders(): the libraries of all folders. PV_ALL_LIBS: their names.
function(pv_folders)
    set(all "")
    foreach(line ${pv_folder_lines})
        string(REGEX MATCH "^([^:]*): *(.*)$" matched "${line}")
        set(folder ${CMAKE_MATCH_1})
        string(REPLACE " " ";" below "${CMAKE_MATCH_2}")
        pv_library_of(name ${folder})
        pv_library_of(deps ${below})
        file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.c)
        list(FILTER sources EXCLUDE REGEX "/main\\.c$")
        add_library(${name} STATIC ${sources})
        target_link_libraries(${name} PUBLIC pv_flags ${deps})
        list(APPEND all ${name})
    endforeach()
    list(REVERSE all)
    set(PV_ALL_LIBS ${all} PARENT_SCOPE)
endfunction()

# pv_uses(FOLDER library...): third-party libraries, named only on the folder that uses them.
function(pv_uses folder)
    pv_library_of(name ${folder})
    target_link_libraries(${name} PUBLIC ${ARGN})
endfunction()

# pv_program(NAME FOLDER): FOLDER/main.c as a program.
function(pv_program name folder)
    add_executable(${name} ${PROJECT_SOURCE_DIR}/${folder}/main.c)
    pv_library_of(lib ${folder})
    target_link_libraries(${name} PRIVATE ${lib})
    install(TARGETS ${name} RUNTIME DESTINATION sbin)
endfunction()
