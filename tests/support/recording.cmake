# The shim beside an engine that only writes down its calls, in a folder of their own: the library
# looks for the engine in the folder that it was loaded from.
add_library(backstay_recording_engine MODULE ${CMAKE_CURRENT_LIST_DIR}/recording_engine.cc)
target_link_libraries(backstay_recording_engine PRIVATE nlohmann_json::nlohmann_json)
set_target_properties(backstay_recording_engine PROPERTIES OUTPUT_NAME backstay_engine
  LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/recording)
add_custom_target(backstay_recording ALL
  COMMAND ${CMAKE_COMMAND} -E create_symlink $<TARGET_FILE:backstay_extension>
    ${PROJECT_BINARY_DIR}/tests/recording/backstay.so
  COMMAND ${CMAKE_COMMAND} -E create_symlink $<TARGET_FILE:backstay_preload>
    ${PROJECT_BINARY_DIR}/tests/recording/libbackstay_preload.so
  DEPENDS backstay_extension backstay_preload backstay_recording_engine)
