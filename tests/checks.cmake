# Checks of the tree and of the build as a whole, label "check". None of them means anything in a
# sanitizer or cross build.
if(BACKSTAY_SANITIZE OR CMAKE_CROSSCOMPILING)
  return()
endif()

# backstay_check(name command…): a script as a ctest entry; it finds the build in BUILD_DIR.
function(backstay_check name)
  add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS check ENVIRONMENT BUILD_DIR=${PROJECT_BINARY_DIR})
  backstay_longest_first(${name})
endfunction()

backstay_check(layers tests/layers.sh)
backstay_check(layers_test tests/layers_test.sh)
find_program(BACKSTAY_CLANG_FORMAT clang-format-14)
find_program(BACKSTAY_CLANG_TIDY clang-tidy-14)
if(BACKSTAY_CLANG_FORMAT)
  backstay_check(style_format tests/style.sh format)
endif()
if(BACKSTAY_CLANG_TIDY)
  backstay_check(style_tidy tests/style.sh tidy ${PROJECT_BINARY_DIR})
  # On every core.
  set_tests_properties(style_tidy PROPERTIES PROCESSORS 2 TIMEOUT 1500)
endif()

backstay_check(exports tests/exports.sh)
backstay_check(build_script tests/build_test.sh)
backstay_check(install tests/install_test.sh)
backstay_check(readme tests/readme_test.sh)
backstay_check(quickstart_file examples/quickstart.sh)
backstay_check(quickstart_s3 examples/quickstart.sh --s3)
foreach(example litestream shell python alerting)
  backstay_check(example_${example} examples/${example}/run.sh)
endforeach()
# Deployments: in namespaces, which need root.
foreach(example docker kubernetes systemd)
  backstay_check(example_${example} examples/${example}/run.sh)
  set_tests_properties(example_${example} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77)
endforeach()
