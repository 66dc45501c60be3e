# Builds for Windows on arm64 with clang, as ggml has no code for arm64 that MSVC compiles; llama.cpp's own file for that wants
# ARMv8.7, which Windows does not. Without -march it is ARMv8.0, as ggml chooses no variant there.
#   CMAKE_GENERATOR="Ninja Multi-Config" LLAMA_SESSIONS_CMAKE="-DCMAKE_TOOLCHAIN_FILE=scripts/parts/windows-arm64.cmake" npm run prebuild
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR arm64)
set(CMAKE_C_COMPILER clang)
set(CMAKE_CXX_COMPILER clang++)
set(CMAKE_C_COMPILER_TARGET arm64-pc-windows-msvc)
set(CMAKE_CXX_COMPILER_TARGET arm64-pc-windows-msvc)
