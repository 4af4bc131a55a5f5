# store-postgres.so: the coordinator's PostgreSQL store, which the coordinator loads only if its settings name a database
# (coordinator/pgload.h). It has its own copy of the code that it uses, compiled again because a shared object needs
# other code than a program. Only the symbol that the coordinator looks for is visible.
file(GLOB postgres_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/coordinator/store/pg/*.c)
set(lib ${PROJECT_SOURCE_DIR}/lib)
set(coordinator ${PROJECT_SOURCE_DIR}/coordinator)
add_library(store-postgres MODULE ${postgres_sources} ${lib}/base/map.c ${lib}/base/pv.c ${lib}/base/text.c
    ${lib}/sys/proc/clock.c ${lib}/sys/proc/entropy.c ${coordinator}/core/member/home.c
    ${coordinator}/core/member/storeop.c ${coordinator}/store/store.c)
add_dependencies(store-postgres pv_coordinator_store pv_coordinator_store_pg) # which make the headers of the SQL
target_compile_options(store-postgres PRIVATE -fvisibility=hidden -ffunction-sections
    "SHELL:-iquote ${PROJECT_BINARY_DIR}/texts")
target_link_options(store-postgres PRIVATE -Wl,-z,relro,-z,now -Wl,-z,defs -Wl,--gc-sections -Wl,--exclude-libs,ALL)
target_link_libraries(store-postgres PRIVATE pv_flags PkgConfig::POSTGRES)
set_target_properties(store-postgres PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
install(TARGETS store-postgres LIBRARY DESTINATION lib/p2pvpn-coordinator/modules COMPONENT postgres)
