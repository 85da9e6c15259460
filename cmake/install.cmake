# SPDX-License-Identifier: MIT
# `make install`: the program, the engine's libraries in a folder of their own, and the data that `warmslot mkmodel` reads. Every
# place is found relative to the program, so the installed tree can be moved, and the build tree removed.
set_target_properties(warmslot PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/warmslot")
install(TARGETS warmslot RUNTIME DESTINATION bin)
install(DIRECTORY ${engine_lib_dir}/ DESTINATION lib/warmslot
  FILES_MATCHING PATTERN "libllama*.so*" PATTERN "libggml*.so*" PATTERN "libllama-server*" EXCLUDE)
install(DIRECTORY ${engine_data_dir}/ DESTINATION share/warmslot/models
  FILES_MATCHING PATTERN "ggml-vocab-*.gguf" PATTERN "*.jinja")
# What the program says about itself, as other programs find it.
install(CODE [[
  foreach(page "--help-man share/man/man1 warmslot.1" "--completion-bash share/bash-completion/completions warmslot")
    separate_arguments(page)
    list(GET page 0 option)
    list(GET page 1 folder)
    list(GET page 2 name)
    set(folder "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/${folder}")
    file(MAKE_DIRECTORY "${folder}")
    execute_process(COMMAND "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/bin/warmslot" ${option} OUTPUT_FILE "${folder}/${name}" COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
]])
# The libraries of a llama.cpp build look in its build directory; the packages' already look beside themselves.
if(WARMSLOT_LLAMA)
  install(CODE [[
    file(GLOB libraries "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/lib/warmslot/lib*.so*")
    foreach(library IN LISTS libraries)
      file(READ_ELF "${library}" RUNPATH runpath CAPTURE_ERROR error)
      if(runpath AND NOT IS_SYMLINK "${library}")
        file(RPATH_SET FILE "${library}" NEW_RPATH "$ORIGIN")
      endif()
    endforeach()
  ]])
endif()
