# What GCC has to be told; the programs of bench/limit.mjs include this too.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  # GCC tunes -march=native for the newest processor that it knows: GCC 12 takes AMD's Zen 5 for a Zen 3, for which it avoids chains
  # of fused multiply-adds, and 4,096 tokens are read a fifth slower. Tuned for none in particular, as the prebuilt binaries are, it
  # uses all that the machine has.
  if(GGML_NATIVE)
    add_compile_options(-mtune=generic)
  endif()
  if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13.3)
    include_directories(SYSTEM "$<$<COMPILE_LANGUAGE:CXX>:${CMAKE_CURRENT_LIST_DIR}/compiler>")
  endif()
endif()
