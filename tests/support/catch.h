// Catch2 v2 (Debian 12) and v3 behind one include. Test files include this and nothing of Catch2's.

#ifndef BACKSTAY_TESTS_SUPPORT_CATCH_H_
#define BACKSTAY_TESTS_SUPPORT_CATCH_H_

#ifdef BACKSTAY_CATCH2_V3
#include <catch2/catch_all.hpp>
#include <string>

// By the names that v2 has for them.
namespace Catch {
using Matchers::EndsWith;
using Matchers::StartsWith;
inline auto Contains(const std::string& part) { return Matchers::ContainsSubstring(part); }
}  // namespace Catch
#else
#include <catch2/catch.hpp>
#endif

#endif  // BACKSTAY_TESTS_SUPPORT_CATCH_H_
