# SPDX-License-Identifier: MIT
# The engine: libllama as one interface target, llama_engine, that only src/llama is compiled with.
#
# Default: the prebuilt libraries of an npm package (engine/), the headers of the source bundled with it (scripts/engine unpacks it).
# With WARMSLOT_LLAMA: a llama.cpp source tree with its own build. Sets engine_lib_dir and engine_data_dir, where the libraries and
# the vocabularies and templates are now, for the build's rpath, for paths.c and for `make install`.
set(WARMSLOT_LLAMA "" CACHE PATH "llama.cpp source tree with its build, instead of the engine package")
set(WARMSLOT_LLAMA_BUILD "" CACHE PATH "build directory of WARMSLOT_LLAMA (its build/ if empty)")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(package linux-arm64)
  set(engine_npm ${CMAKE_SOURCE_DIR}/engine/arm64)
else()
  set(package linux-x64)
  set(engine_npm ${CMAKE_SOURCE_DIR}/engine)
endif()
set(WARMSLOT_ENGINE_PACKAGE ${package} CACHE STRING "engine package: ${package}, or a GPU sibling such as linux-x64-cuda or linux-x64-vulkan")

# Ends the configure step unless the tree offers what src/llama calls; what and needle name the first thing that would be missed.
function(need_in_header header needle)
  set(found "")
  if(EXISTS ${engine_src}/${header})
    file(STRINGS ${engine_src}/${header} found REGEX "${needle}" LIMIT_COUNT 1)
  endif()
  if(NOT found)
    message(FATAL_ERROR "The llama.cpp in ${engine_src} is too old (its ${header} lacks ${needle}): check out release v0.5.0 or later there, build it, and configure again.")
  endif()
endfunction()

# Finds lib<name>.so, or the packages' lib<name>.v<release>.so and lib<name>.<gpu>.v<release>.so
function(engine_library name out)
  file(GLOB found ${engine_lib_dir}/lib${name}.so ${engine_lib_dir}/lib${name}.*v*.so)
  if(NOT found)
    if(WARMSLOT_LLAMA)
      message(FATAL_ERROR "No lib${name}.so in ${engine_lib_dir}: build llama.cpp with `cmake -S ${WARMSLOT_LLAMA} -B ${llama_build} -DBUILD_SHARED_LIBS=ON && cmake --build ${llama_build} --target llama llama-common`, and configure again.")
    endif()
    file(READ ${engine_npm}/package.json json)
    string(JSON version GET ${json} dependencies node-llama-cpp)
    message(FATAL_ERROR "No lib${name}.so in ${engine_lib_dir}: install the engine package with `make engine`, or a GPU one with `npm install --prefix ${engine_npm} --no-save @node-llama-cpp/${WARMSLOT_ENGINE_PACKAGE}@${version}`, and configure again.")
  endif()
  list(GET found 0 first)
  set(${out} ${first} PARENT_SCOPE)
endfunction()

if(WARMSLOT_LLAMA)
  get_filename_component(engine_src ${WARMSLOT_LLAMA} ABSOLUTE)
  set(llama_build ${engine_src}/build)
  if(WARMSLOT_LLAMA_BUILD)
    get_filename_component(llama_build ${WARMSLOT_LLAMA_BUILD} ABSOLUTE)
  endif()
  if(NOT EXISTS ${engine_src}/include/llama.h)
    message(FATAL_ERROR "WARMSLOT_LLAMA=${engine_src} is not a llama.cpp source tree (no include/llama.h): give the directory that was cloned, not its build.")
  endif()
  need_in_header(include/llama.h llama_state_seq_get_data_ext)
  need_in_header(common/chat.h common_chat_msgs_parse_oaicompat)
  need_in_header(common/fit.h common_fit_params)
  need_in_header(common/json-schema-to-grammar.h json_schema_to_grammar)
  set(engine_lib_dir ${llama_build}/bin)
else()
  set(engine_src ${CMAKE_SOURCE_DIR}/build/engine/src)
  set(engine_lib_dir ${engine_npm}/node_modules/@node-llama-cpp/${WARMSLOT_ENGINE_PACKAGE}/bins/${WARMSLOT_ENGINE_PACKAGE})
  if(NOT EXISTS ${engine_src}/include/llama.h)
    message(FATAL_ERROR "The engine's headers are not unpacked yet: run `make engine`, and configure again.")
  endif()
endif()
set(engine_data_dir ${engine_src}/models)

set(engine_libraries)
foreach(name llama-common llama ggml ggml-base)
  engine_library(${name} file)
  list(APPEND engine_libraries ${file})
endforeach()

add_library(llama_engine INTERFACE)
# SYSTEM: their warnings are not ours to fix.
target_include_directories(llama_engine SYSTEM INTERFACE
  ${engine_src}/include ${engine_src}/ggml/include ${engine_src}/common ${engine_src}/vendor)
target_link_libraries(llama_engine INTERFACE ${engine_libraries})
