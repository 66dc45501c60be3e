# Builds on a newer Linux for one as old as Debian 11: its C and C++ library, this machine's compiler.
#   sh scripts/parts/debian11.sh /opt/debian11
#   LLAMA_SESSIONS_CMAKE="-DCMAKE_TOOLCHAIN_FILE=$PWD/scripts/parts/debian11.cmake -DDEBIAN11=/opt/debian11" npm run prebuild
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES DEBIAN11)
set(CMAKE_SYSROOT "${DEBIAN11}")
set(triple "${CMAKE_HOST_SYSTEM_PROCESSOR}-linux-gnu")
set(CMAKE_CXX_STANDARD_INCLUDE_DIRECTORIES "${DEBIAN11}/usr/include/c++/10" "${DEBIAN11}/usr/include/${triple}/c++/10")
# gcc looks beside itself before it looks there.
set(libraries "${DEBIAN11}/usr/lib/${triple}")
add_link_options("-B${libraries}" "-L${DEBIAN11}/usr/lib/gcc/${triple}/10" "-L${libraries}" "-L${DEBIAN11}/lib/${triple}")
