# Toolchain file: builds for the architecture that PV_ARCH names as dpkg does (arm64), with Debian's
# compiler and libraries for it. scripts/chroot SUITE-arm64 has both.
if(NOT "$ENV{PV_ARCH}" STREQUAL "")
    set(PV_ARCH $ENV{PV_ARCH} CACHE STRING "Debian architecture that is built for")
endif()
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PV_ARCH)
execute_process(COMMAND dpkg-architecture -f -a${PV_ARCH} -qDEB_HOST_GNU_TYPE
    OUTPUT_VARIABLE gnu_type OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND dpkg-architecture -f -a${PV_ARCH} -qDEB_HOST_GNU_CPU
    OUTPUT_VARIABLE CMAKE_SYSTEM_PROCESSOR OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER ${gnu_type}-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE ${gnu_type})
# Of the two architectures' libraries that lie side by side, the right one's.
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/${gnu_type}/pkgconfig:/usr/share/pkgconfig)
# The build runs what it made: p2pvpnctl writes its completions.
find_program(PV_QEMU NAMES qemu-${CMAKE_SYSTEM_PROCESSOR}-static qemu-${CMAKE_SYSTEM_PROCESSOR} REQUIRED)
set(CMAKE_CROSSCOMPILING_EMULATOR ${PV_QEMU})
