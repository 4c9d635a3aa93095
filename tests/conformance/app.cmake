# One whole application, in a process that a sanitizer can see into.
backstay_test(app_test app_test.cc)
target_link_libraries(app_test PRIVATE SQLite::SQLite3)
target_compile_definitions(app_test PRIVATE BACKSTAY_EXTENSION="$<TARGET_FILE:backstay_extension>"
  BACKSTAY_TOOL="$<TARGET_FILE:backstay_tool>")
add_dependencies(app_test backstay_extension backstay_engine backstay_tool)
set_tests_properties(app_test PROPERTIES TIMEOUT 300)
