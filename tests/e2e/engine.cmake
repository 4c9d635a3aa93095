# The engine in real processes, on a folder as replica.
if(CMAKE_CROSSCOMPILING)
  return()
endif()
foreach(name bad_input close json cut_off damaged_log ends exclusive fork ground lifecycle mount pack page_size phantom releases replaced rollback savepoint sqlites monitoring status told traps watch)
  if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/${name}_test.py)
    backstay_script(${name} 600 /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/${name}_test.py)
  endif()
endforeach()
# Starts an S3 server by itself.
backstay_script(breaks 300 /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/breaks_test.py)
foreach(name heartbeat sse verify_live)
  backstay_script(${name} 300 /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/${name}_test.py)
endforeach()
