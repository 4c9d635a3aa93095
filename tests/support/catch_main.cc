// main() of every Catch2 program.

#ifndef BACKSTAY_CATCH2_V3
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif
