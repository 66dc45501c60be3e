# Builds for Linux on arm64 on another machine, with a clang that knows SME (16 or newer). On Debian: clang-16, lld-16, and
# libstdc++-12-dev-arm64-cross, binutils-aarch64-linux-gnu.
#   export CC=clang-16 CXX=clang++-16 npm_config_arch=arm64
#   export PREBUILD_STRIP_BIN=aarch64-linux-gnu-strip OBJDUMP=aarch64-linux-gnu-objdump
#   LLAMA_SESSIONS_CMAKE="-DCMAKE_TOOLCHAIN_FILE=$PWD/scripts/parts/arm64.cmake" npm run prebuild
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER_TARGET aarch64-linux-gnu)
set(CMAKE_CXX_COMPILER_TARGET aarch64-linux-gnu)
string(APPEND CMAKE_SHARED_LINKER_FLAGS_INIT " -fuse-ld=lld") # GNU's is this machine's
string(APPEND CMAKE_MODULE_LINKER_FLAGS_INIT " -fuse-ld=lld")
string(APPEND CMAKE_EXE_LINKER_FLAGS_INIT " -fuse-ld=lld")
