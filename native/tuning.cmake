# For a build for the machine that it runs on; the programs of bench/limit.mjs include this too. GCC tunes -march=native for the
# newest processor that it knows: GCC 12 takes AMD's Zen 5 for a Zen 3, for which it avoids chains of fused multiply-adds, and
# 4,096 tokens are read a fifth slower. Tuned for none in particular, as the prebuilt binaries are, it uses all that the machine has.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  add_compile_options(-mtune=generic)
endif()
