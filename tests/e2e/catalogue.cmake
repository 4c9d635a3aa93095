# Debian's package catalogue through crashes and lost disks. Python would have to preload a sanitizer.
if(BACKSTAY_SANITIZE OR CMAKE_CROSSCOMPILING)
  return()
endif()
add_test(NAME catalogue_file COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/catalogue_test.py)
add_test(NAME catalogue_s3 COMMAND ${PROJECT_SOURCE_DIR}/tests/support/s3server/with-s3.sh
  /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/catalogue_test.py)
set_tests_properties(catalogue_file catalogue_s3 PROPERTIES
  ENVIRONMENT BACKSTAY_BUILD=${PROJECT_BINARY_DIR} TIMEOUT 300)
