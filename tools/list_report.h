// What `backstay list` says of replicas: tables for people, or parts of its JSON object.
//
// Pure functions; main thread.

#ifndef BACKSTAY_TOOLS_LIST_REPORT_H_
#define BACKSTAY_TOOLS_LIST_REPORT_H_

#include <string>
#include <vector>

#include "tools/inventory.h"
#include "tools/json_output.h"
#include "tools/moment.h"
#include "uploader/base/status.h"

namespace backstay {

// One replica that was asked.
struct Listed {
  std::string database;  // path; empty where a URL was asked for
  std::string replica;
  Result<Inventory> inventory;
};

Json ToJson(const Listed& listed);
// All there is to say of one replica.
std::string DescribeInventory(const Listed& listed, const Zone& zone);
// Its restore points, as they were wanted.
std::string DescribePoints(const Listed& listed, const Zone& zone);
// One line for each.
std::string DescribeInventories(const std::vector<Listed>& all);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_LIST_REPORT_H_
