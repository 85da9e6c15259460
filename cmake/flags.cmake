# SPDX-License-Identifier: MIT
# Flags of every target: warnings, hardening of release builds, and the sanitizers.
option(WARMSLOT_WERROR "warnings are errors (CI)" OFF)
set(WARMSLOT_SANITIZE "" CACHE STRING "sanitizers for everything, as -fsanitize= takes them: address,undefined or thread")

# Asserts stay on in release: a broken invariant of the cache ends the process rather than serves a wrong answer.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g")
# Position independent even where the compiler's default is not: a function's address must be the one in its library (base/paths.h).
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_compile_options(-Wall -Wextra -Wshadow $<$<COMPILE_LANGUAGE:C>:-Wconversion> $<$<BOOL:${WARMSLOT_WERROR}>:-Werror>)
add_compile_definitions(_GNU_SOURCE)

if(WARMSLOT_SANITIZE)
  add_compile_options(-fsanitize=${WARMSLOT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${WARMSLOT_SANITIZE})
  # A source of every program (not of a library, where nothing would ask for it).
  set(sanitizer_defaults ${CMAKE_SOURCE_DIR}/cmake/sanitizers.c)
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-fstack-protector-strong -D_FORTIFY_SOURCE=2)
  add_link_options(-Wl,-z,relro,-z,now)
endif()
