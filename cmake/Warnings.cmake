# pv_flags: the one place where compiler and linker flags are chosen.
include(CheckCCompilerFlag)
add_library(pv_flags INTERFACE)
# A program maps what it uses, of the libraries that folders need (tests/shared-objects.txt). Debian's compiler says so
# by itself, but not with sanitizers.
target_link_options(pv_flags INTERFACE -Wl,--as-needed)
# Files above 2 GiB and dates after 2038 on machines of 32 bits, too.
if(CMAKE_SIZEOF_VOID_P EQUAL 4)
    target_compile_definitions(pv_flags INTERFACE _FILE_OFFSET_BITS=64 _TIME_BITS=64)
endif()
target_compile_definitions(pv_flags INTERFACE _GNU_SOURCE PV_VERSION="${PROJECT_VERSION}${PV_BUILD}")
# For "quoted" includes only: lib/sys/file/file.h must not stand in for the system's <sys/file.h>.
target_compile_options(pv_flags INTERFACE
    "SHELL:-iquote ${PROJECT_SOURCE_DIR}/lib" "SHELL:-iquote ${PROJECT_SOURCE_DIR}")
set(PV_WARNINGS
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
    -Wmissing-prototypes -Wold-style-definition -Wvla -Wundef -Wwrite-strings -Wcast-qual
    -Wcast-align -Wformat=2 -Wswitch -Wimplicit-fallthrough -Wdouble-promotion -Wnull-dereference
    -Wno-unused-parameter # most functions that leave one alone are called by a pointer
    -Wno-overlength-strings # C17 promises 4,095 characters, gcc and clang take any --help
    -Wno-enum-float-conversion # newer clangs warn where a number that an enum names is compared with a double
    -fno-strict-aliasing -fno-common)
if(PV_WERROR)
    list(APPEND PV_WARNINGS -Werror)
endif()
target_compile_options(pv_flags INTERFACE ${PV_WARNINGS})
if(PV_SANITIZE)
    target_compile_options(pv_flags INTERFACE
        -fsanitize=${PV_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(pv_flags INTERFACE -fsanitize=${PV_SANITIZE})
    if(PV_SANITIZE MATCHES "address,undefined")
        # Two checks at each pointer find nothing that AddressSanitizer does not stop at, and take a
        # tenth of the compiler's time each. So does a third, of arithmetic with pointers, which inputs from outside
        # can lead astray without a bad access: the fuzzers have it.
        target_compile_options(pv_flags INTERFACE -fno-sanitize=null,object-size)
        if(NOT PV_FUZZ)
            target_compile_options(pv_flags INTERFACE -fno-sanitize=pointer-overflow)
        endif()
    endif()
    # The lab starts and ends some thousands of programs, and most of what that costs is pages touched for the first
    # time. libubsan.so has tables of its own beside libasan's, which LeakSanitizer reads at each end, and needs a C++
    # library; a program whose address is fixed is not written to as it is loaded.
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
        if(PV_SANITIZE MATCHES "undefined")
            target_link_options(pv_flags INTERFACE -static-libubsan)
        endif()
        target_link_options(pv_flags INTERFACE
            $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-no-pie>)
    endif()
    # gcc's sanitizer instrumentation makes this warning fire on checked pointers.
    target_compile_options(pv_flags INTERFACE -Wno-null-dereference)
else()
    target_compile_options(pv_flags INTERFACE
        -fstack-protector-strong -fstack-clash-protection
        $<$<NOT:$<STREQUAL:$<TARGET_PROPERTY:TYPE>,MODULE_LIBRARY>>:-fPIE>)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|i.86")
        target_compile_options(pv_flags INTERFACE -fcf-protection)
    endif()
    if(CMAKE_BUILD_TYPE STREQUAL "Release")
        target_compile_options(pv_flags INTERFACE -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
    endif()
    # What a function forgot to set is zero, and not what another left on the stack. gcc has it from 12 on.
    check_c_compiler_flag(-ftrivial-auto-var-init=zero PV_HAS_AUTO_INIT)
    if(PV_HAS_AUTO_INIT)
        target_compile_options(pv_flags INTERFACE -ftrivial-auto-var-init=zero)
    endif()
    set(pie -pie)
    if(PV_STATIC)
        set(pie -static-pie)
        target_compile_definitions(pv_flags INTERFACE PV_STATIC)
    endif()
    target_link_options(pv_flags INTERFACE -Wl,-z,relro,-z,now
        $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:${pie}>)
endif()
if(PV_FUZZ)
    # libFuzzer's name for it. Some tables are smaller then: a run that clears megabytes takes
    # milliseconds, and no input of a fuzzer fills them.
    target_compile_definitions(pv_flags INTERFACE FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION)
endif()
if(PV_COVERAGE)
    target_compile_options(pv_flags INTERFACE --coverage)
    target_link_options(pv_flags INTERFACE --coverage)
endif()
# -O3 brings nothing measured and makes gcc 12 warn about array bounds that cannot be reached.
set(CMAKE_C_FLAGS_RELEASE "-O2")
# Reports need no more than lines; a fifth of the compiler's time goes into the rest. For a debugger:
# -DCMAKE_C_FLAGS=-g3, which the compiler obeys as well.
set(CMAKE_C_FLAGS_DEBUG "-O1 -g1")
# Four hundred programs with sanitizers are linked for the tests: a quarter of the time of their build
# by the linker that comes with the compiler, a twentieth by mold.
find_program(PV_MOLD mold)
if(PV_TESTS AND PV_MOLD AND NOT CMAKE_CROSSCOMPILING AND CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_link_options(pv_flags INTERFACE -fuse-ld=mold)
endif()
if(PV_FUZZ)
    set(CMAKE_C_FLAGS_DEBUG "-O2 -g1") # a third more runs a second
endif()
