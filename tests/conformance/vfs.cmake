# The shim, driven through SQLite in Python (Debian's, which can load extensions).
find_program(BACKSTAY_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)
include(${PROJECT_SOURCE_DIR}/tests/support/recording.cmake)

# A program and a plugin with a static, hidden SQLite each.
find_library(BACKSTAY_STATIC_SQLITE libsqlite3.a REQUIRED)
add_executable(vfs_static_host ${CMAKE_CURRENT_LIST_DIR}/vfs_static_host.cc)
add_library(vfs_static_plugin MODULE ${CMAKE_CURRENT_LIST_DIR}/vfs_static_host.cc)
target_compile_definitions(vfs_static_plugin PRIVATE PLUGIN)
foreach(target vfs_static_host vfs_static_plugin)
  target_link_libraries(${target} PRIVATE ${BACKSTAY_STATIC_SQLITE} m)
  target_link_options(${target} PRIVATE -Wl,--exclude-libs,ALL -Wl,--strip-all)
  set_target_properties(${target} PROPERTIES PREFIX ""
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
endforeach()
add_library(shifted_clock MODULE ${PROJECT_SOURCE_DIR}/tests/support/shifted_clock.cc)
set_target_properties(shifted_clock PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
add_dependencies(backstay_recording vfs_static_host vfs_static_plugin shifted_clock)

# A sanitized library needs its runtime before it in a program that is not sanitized: the preloaded one is
# called by the runtime before that is ready.
set(tests vfs_capture vfs_adoption vfs_selection vfs_process vfs_rollback)
if(NOT BACKSTAY_SANITIZE)
  list(APPEND tests vfs_preload vfs_told)
endif()
foreach(name ${tests})
  backstay_script(${name} 600 ${BACKSTAY_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/${name}_test.py)
endforeach()
