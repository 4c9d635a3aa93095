# Debian's package catalogue through crashes and lost disks.
if(CMAKE_CROSSCOMPILING)
  return()
endif()
backstay_script(catalogue_file 300 /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/catalogue_test.py)
backstay_script(catalogue_s3 300 ${PROJECT_SOURCE_DIR}/tests/support/s3server/with-s3.sh
  /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/catalogue_test.py)
