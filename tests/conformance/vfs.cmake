# The shim, driven through SQLite in Python (Debian's, which can load extensions).
find_program(BACKSTAY_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)
include(${PROJECT_SOURCE_DIR}/tests/support/recording.cmake)
foreach(name vfs_capture)
  add_test(NAME ${name} COMMAND ${BACKSTAY_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/${name}_test.py)
  set_tests_properties(${name} PROPERTIES ENVIRONMENT BUILD_DIR=${PROJECT_BINARY_DIR})
endforeach()
