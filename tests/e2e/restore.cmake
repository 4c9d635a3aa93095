# The tool's restore, list, status and version, as a user runs them.
find_program(BACKSTAY_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)
add_executable(replica_maker ${CMAKE_CURRENT_LIST_DIR}/replica_maker.cc
  ${PROJECT_SOURCE_DIR}/tests/support/replica_builder.cc)
target_link_libraries(replica_maker PRIVATE backstay_test_support)
set_target_properties(replica_maker PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
add_executable(growth_maker ${CMAKE_CURRENT_LIST_DIR}/growth_maker.cc)
target_link_libraries(growth_maker PRIVATE backstay_uploader)
set_target_properties(growth_maker PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
add_dependencies(tests_e2e replica_maker growth_maker backstay_tool)
backstay_script(restore_cli 300 ${BACKSTAY_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/restore_cli_test.py)
backstay_script(growth 60 ${BACKSTAY_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/growth_test.py)
backstay_script(tls 60 ${BACKSTAY_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/tls_test.py)
backstay_script(run 120 ${BACKSTAY_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/run_test.py)
