# The engine in real processes, on a folder as replica.
if(CMAKE_CROSSCOMPILING)
  return()
endif()
foreach(name bad_input close cut_off ends exclusive fork ground lifecycle mount pack page_size phantom replaced rollback savepoint sqlites status told traps)
  if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/${name}_test.py)
    backstay_script(${name} 600 /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/${name}_test.py)
  endif()
endforeach()
