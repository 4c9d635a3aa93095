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
add_dependencies(backstay_recording vfs_static_host vfs_static_plugin)

# A sanitized library needs its runtime first in a program that is not sanitized, which is the place
# of the preloaded library in vfs_preload.
set(environment BUILD_DIR=${PROJECT_BINARY_DIR})
set(tests vfs_capture vfs_adoption vfs_process vfs_rollback)
if(BACKSTAY_SANITIZE MATCHES "address")
  list(APPEND environment RUNTIME=libasan.so "ASAN_OPTIONS=detect_leaks=0")
elseif(BACKSTAY_SANITIZE MATCHES "thread")
  list(APPEND environment RUNTIME=libtsan.so "TSAN_OPTIONS=die_after_fork=0")
elseif(NOT BACKSTAY_SANITIZE)
  list(APPEND tests vfs_preload)
endif()
foreach(name ${tests})
  add_test(NAME ${name} COMMAND ${BACKSTAY_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/${name}_test.py)
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "${environment}" TIMEOUT 600)
endforeach()
