// Table: rows of texts in columns, for people.
//
// A value; Text() is what to print. Width is counted in characters of UTF-8.

#ifndef BACKSTAY_TOOLS_TABLE_H_
#define BACKSTAY_TOOLS_TABLE_H_

#include <string>
#include <vector>

namespace backstay {

class Table {
 public:
  explicit Table(std::vector<std::string> head) { rows_.push_back(std::move(head)); }
  // As many as the head has.
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string Text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_TABLE_H_
