// The only place that includes napi.h. CMakeLists.txt defines NAPI_VERSION 8 and lets every C++ exception become a
// JavaScript one.
#pragma once

#include <napi.h>
