# What the compiler has to be told; the programs of bench/limit.mjs include this too.

if(NOT MSVC AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  if(GGML_NATIVE)
    # With AVX512-FP16 ggml multiplies 128 numbers of f16 at a time, and what is left one by one: all of a head of 64. Attention takes
    # ten times as long then.
    include(CheckCXXCompilerFlag)
    check_cxx_compiler_flag(-mno-avx512fp16 KNOWS_AVX512FP16)
    if(KNOWS_AVX512FP16)
      add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-mno-avx512fp16>")
    endif()
  endif()
  if(GGML_NATIVE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC tunes -march=native for the newest processor that it knows: GCC 12 takes AMD's Zen 5 for a Zen 3, for which it avoids chains
    # of fused multiply-adds, and 4,096 tokens are read a fifth slower. Tuned for none in particular, as the prebuilt binaries are, it
    # uses all that the machine has.
    add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-mtune=generic>")
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13.3)
    include_directories(SYSTEM "$<$<COMPILE_LANGUAGE:CXX>:${CMAKE_CURRENT_LIST_DIR}/compiler>")
  endif()
endif()

# aligned_work.h says why. llama.cpp's folders are not known yet when this is read, but at the end.
if(NOT LLAMA_USE_SYSTEM_GGML)
  get_filename_component(aligned_work "${CMAKE_CURRENT_LIST_DIR}/aligned_work.h" ABSOLUTE)
  get_filename_component(ggml_sources "${CMAKE_CURRENT_LIST_DIR}/../vendor/llama.cpp/ggml/src" ABSOLUTE)
  if(MSVC)
    set(include_aligned_work "/FI${aligned_work}")
  else()
    set(include_aligned_work -include "${aligned_work}")
  endif()
  cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL set_source_files_properties
    "${ggml_sources}/ggml-cpu/ggml-cpu.cpp" DIRECTORY "${ggml_sources}"
    PROPERTIES COMPILE_OPTIONS "${include_aligned_work}")
endif()
