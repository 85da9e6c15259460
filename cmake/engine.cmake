# The engine: libllama from the npm package (engine/), headers from its bundled source (build/engine/src).
set(engine_src ${CMAKE_SOURCE_DIR}/build/engine/src)
set(engine_bin ${CMAKE_SOURCE_DIR}/engine/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64)
add_library(llama_engine INTERFACE)
target_include_directories(llama_engine SYSTEM INTERFACE ${engine_src}/include ${engine_src}/ggml/include ${engine_src}/common ${engine_src}/vendor)
target_link_libraries(llama_engine INTERFACE
  ${engine_bin}/libllama-common.so ${engine_bin}/libllama.v0.5.0.so ${engine_bin}/libggml.v0.5.0.so ${engine_bin}/libggml-base.so)
target_compile_definitions(llama_engine INTERFACE WARM_ENGINE_LIB_DIR="${engine_bin}")
target_link_options(llama_engine INTERFACE -Wl,-rpath,${engine_bin})
